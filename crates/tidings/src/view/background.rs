//! What a view does when its fence, and through it a consumer, asks.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidings_core::fence::Held;
use tidings_core::{Entity, Event, Stamp, Topic};
use tokio::runtime::Handle;

use super::entry::Entry;
use super::fill::Fill;
use super::{Inner, View};
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

    fn caught_up(&self, since: Moment) {
        self.known.store(since.0, Ordering::Release);
    }

    fn open_epoch(&self) {
        self.known.store(0, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    fn refresh(&self, key: &str) {
        if let Some(key) = self.parse.as_ref().and_then(|parse| parse(key)) {
            self.in_background(&key, ());
        }
    }

    fn update(&self, key: &str, event: &Event) {
        if let Some(key) = self.parse.as_ref().and_then(|parse| parse(key)) {
            self.update_with(&key, event);
        }
    }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Loads `key` in a task of its own, keeping `token` until it is done; gives it back if that cannot be.
    pub(super) fn in_background<T: Send + 'static>(&self, key: &K, token: T) -> Option<T> {
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
            let _ = inner.fill(&key, None, &load).await;
            drop((permit, token));
        });
        None
    }

    /// Puts what the event carries into a cached answer. The answer then stands at the event's version; whatever else
    /// it was derived from is checked as for any fill.
    fn update_with(&self, key: &K, event: &Event) {
        let Some((old, update)) = self.cache.peek(key).zip(self.updater.as_ref()) else { return };
        let Some(holds) = self.holds_after(&old, &event.entity, event.stamp) else { return };
        let Some(value) = old.value.as_ref().and_then(|value| update(key, value, event)) else { return };
        // Unversioned holds were good at the old entry's stamp, and must not have moved since.
        let ticket = tidings_core::fence::Tick(old.good_at.load(Ordering::Acquire));
        let Ok(good_at) = self.fence.admit(&holds, ticket) else { return };
        let entry = Entry {
            good_at: AtomicU64::new(good_at.0),
            holds: holds.into(),
            version: old.version,
            epoch: old.epoch,
            as_of: old.as_of,
            soft: old.soft,
            hard: old.hard,
            refreshing: AtomicBool::new(false),
            value: Some(value),
        };
        self.cache.insert(key.clone(), Arc::new(entry));
    }

    /// The holds with this entity at this version; `None` if the entry is not derived from it, or is newer already.
    fn holds_after(&self, old: &Entry<V>, entity: &Entity, stamp: Stamp) -> Option<Vec<Hold>> {
        let key = self.fence.key(entity.kind(), entity.id());
        let mut holds = old.holds.as_slice().to_vec();
        let hold = holds.iter_mut().find(|hold| hold.key == key)?;
        match hold.held() {
            Held::At(seen) if seen < stamp => *hold = Hold::new(key, Held::At(stamp)),
            Held::At(_) | Held::Unmoved => return None,
        }
        Some(holds)
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
        self.0.cache.clear();
    }
}
