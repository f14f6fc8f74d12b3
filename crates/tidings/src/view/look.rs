//! The hit path: synchronous, without allocation.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidings_core::certificate::{Certificate, Freshness, Path};
use tidings_core::fence::landing::{Doubt, doubt};

use super::Inner;
use super::entry::Entry;
use crate::cached::Cached;
use crate::clock::Moment;

/// What the cache holds under a key.
pub(super) enum Look<V> {
    /// Nothing that may be served.
    Miss,
    /// An answer within its bound.
    Hit(Cached<V>),
    /// The same, but past its soft time to live.
    Aging(Cached<V>),
    /// Nothing is known against it, but not enough is known for it.
    Doubtful(Arc<Entry<V>>, Doubt),
}

impl<K: Hash + Eq, V> Inner<K, V> {
    pub(super) fn look(&self, key: &K) -> Look<V> {
        let Some(entry) = self.cache.get(key) else { return Look::Miss };
        // Before the floors, since marks are published after them: what is known by now, the floors show.
        let known = self.known_of(&entry);
        let holds = entry.holds.as_slice();
        if !self.fence.stands(holds, &entry.good_at) {
            return Look::Miss;
        }
        let now = self.fence.clock().moment();
        let (expired, age) = (now.plus(Moment::BLUR) >= entry.hard, now.age_of(known));
        let same_epoch = entry.epoch == self.epoch.load(Ordering::Acquire);
        if let Some(doubt) = doubt(expired, same_epoch, age > self.bound_units)
            && self.fence.is_enforced()
        {
            return Look::Doubtful(entry, doubt);
        }
        self.counts.hit(holds.first().map_or(0, |hold| hold.key.0));
        let aging = now >= entry.soft;
        let freshness = Freshness::Within(Moment::duration(age));
        let certificate = Certificate { version: entry.version(), path: Path::L1, freshness };
        let hit = Cached::new(entry, certificate);
        if aging { Look::Aging(hit) } else { Look::Hit(hit) }
    }

    /// What is kept under a key and what nothing is known against, however old it is; and whether marks of this epoch vouch
    /// for it.
    pub(super) fn standing(&self, key: &K) -> Option<(Arc<Entry<V>>, bool)> {
        let entry = self.cache.peek(key)?;
        let stands = self.fence.stands(entry.holds.as_slice(), &entry.good_at);
        let vouched = entry.followed && entry.epoch == self.epoch.load(Ordering::Acquire);
        stands.then_some((entry, vouched))
    }

    /// Everything committed before this would have unseated the entry.
    fn known_of(&self, entry: &Entry<V>) -> Moment {
        match entry.followed {
            true => entry.as_of.max(Moment(self.known.load(Ordering::Acquire))),
            false => entry.as_of,
        }
    }
}
