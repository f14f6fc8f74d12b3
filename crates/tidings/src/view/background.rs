//! What a view does when its fence, and through it a consumer, asks.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidings_core::fence::{Held, Tick};
use tidings_core::{Event, Topic, Version};
use tokio::runtime::Handle;

use super::entry::Entry;
use super::fill::Fill;
use super::level::Via;
use super::{Inner, View, count};
use crate::clock::Moment;
use crate::fence::{Hold, Subscriber};

impl<K, V> Subscriber for Inner<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn sources(&self) -> &[Topic] {
        &self.sources
    }

    fn bound(&self) -> Duration {
        self.bound
    }

    fn caught_up(&self, since: Moment) {
        self.known.store(since.0, Ordering::Release);
    }

    fn open_epoch(&self) {
        self.known.store(0, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    fn refresh(&self, key: &str) {
        self.safely(key, |key| {
            let _ = self.in_background(key, Via::Shared, ());
        });
    }

    fn update(&self, key: &str, events: &[Arc<Event>]) {
        self.safely(key, |key| self.update_with(key, events));
    }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The floors are up already: if the user's code for keys or updates panics, the answer stays invalidated, and that
    /// is all.
    fn safely(&self, key: &str, act: impl FnOnce(&K)) {
        let parsed = || self.parse.as_ref().and_then(|parse| parse(key)).map(|key| act(&key));
        if catch_unwind(AssertUnwindSafe(parsed)).is_err() {
            count(&self.counts.defects);
        }
    }

    /// Loads `key` in a task of its own, keeping `token` until it is done; gives it back if that cannot be.
    pub(super) fn in_background<T: Send + 'static>(&self, key: &K, via: Via, token: T) -> Option<T> {
        let permit = self.background.clone().try_acquire_owned();
        let (Some(loader), Some(inner), Ok(runtime), Ok(permit)) =
            (self.loader.clone(), self.me.upgrade(), Handle::try_current(), permit)
        else {
            return Some(token);
        };
        let key = key.clone();
        runtime.spawn(async move {
            let load = |fill: Fill| loader(key.clone(), fill);
            // A failure leaves things as they are, and is counted.
            let _ = inner.fill(&key, None, via, &load).await;
            drop((permit, token));
        });
        None
    }

    /// Puts what the events of one entity carry into a cached answer of the version just before them. The answer then
    /// stands at the version of the last; whatever else it was derived from is checked as for any fill.
    fn update_with(&self, key: &K, events: &[Arc<Event>]) {
        let Some((old, update)) = self.cache.peek(key).zip(self.updater.as_ref()) else { return };
        let Some((holds, before, after)) = self.holds_after(&old, events) else { return };
        let mut value = None;
        for event in events {
            let Some(current) = value.as_ref().or(old.value.as_ref()) else { return };
            let Some(next) = update(key, current, event) else { return };
            value = Some(next);
        }
        // Unversioned holds were good at the old entry's stamp, and must not have moved since.
        let ticket = Tick(old.good_at.load(Ordering::Acquire));
        let Ok(good_at) = self.fence.admit(&holds, ticket) else { return };
        let ends = events.iter().filter_map(|event| event.window.until);
        let entry = Entry {
            good_at: AtomicU64::new(good_at.0),
            holds: holds.into(),
            own: if old.own == before { after } else { old.own },
            epoch: old.epoch,
            as_of: old.as_of,
            followed: old.followed,
            soft: old.soft,
            hard: ends.map(|end| Moment::of(self.fence.surely_before(end))).fold(old.hard, Moment::min),
            refreshing: AtomicBool::new(false),
            things: old.things.clone(),
            value,
        };
        self.replace(key, &old, entry);
    }

    /// The holds with the events' entity at the version of the last, and its versions before and after; `None` unless
    /// the entry is of the version just before the first, and each follows the one before it, since an event carries no
    /// more than what it changed.
    fn holds_after(&self, old: &Entry<V>, events: &[Arc<Event>]) -> Option<(Vec<Hold>, Version, Version)> {
        let entity = &events.first()?.entity;
        let key = self.fence.key(entity.kind(), entity.id());
        let mut holds = old.holds.as_slice().to_vec();
        let hold = holds.iter_mut().find(|hold| hold.key == key)?;
        let Held::At(seen) = hold.held() else { return None };
        let mut last = seen;
        for event in events {
            let follows = event.stamp.timeline == last.timeline && last.version.next() == event.stamp.version;
            if !follows || !self.fence.is_surely_in(event.window) {
                return None;
            }
            last = event.stamp;
        }
        *hold = Hold::new(key, Held::At(last));
        Some((holds, seen.version, last.version))
    }
}

impl<K, V> View<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Everything held becomes unverified: it is checked against the source before it counts as good again. For an
    /// operator who has reason to doubt; gaps and restarts do it by themselves.
    pub fn open_epoch(&self) {
        Subscriber::open_epoch(&*self.0);
    }

    /// Drops every entry. An emergency brake: each key is loaded again when it is next read.
    pub fn clear(&self) {
        // The loads in flight as well.
        self.open_epoch();
        self.0.cache.clear();
    }
}
