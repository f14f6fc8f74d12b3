//! Where a load lands: the accept rule, and the entry that becomes visible if it is met.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidings_core::fence::landing::{hindsight, is_followed, verdict};
use tidings_core::fence::{Held, Refusal, Tick};

use super::Inner;
use super::entry::Entry;
use super::fill::{Fill, Loaded};
use crate::clock::Moment;
use crate::fence::Hold;

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The entry that a load brings, and why it is not kept, if so.
    pub(super) fn land(
        &self,
        key: &K,
        loaded: Loaded<V>,
        holds: Vec<Hold>,
        fill: &Fill,
    ) -> (Arc<Entry<V>>, Option<Refusal>) {
        let now = self.fence.clock().elapsed();
        let verdict = self.verdict(&holds, fill, now);
        let life =
            |ttl: Duration| Moment::of(now.saturating_add(ttl.mul_f64(1.0 - self.jitter * self.roll())));
        let hard = life(self.hard).min(fill.hard_limit());
        let seen = fill.seen();
        let followed = self.is_followed(&holds, fill);
        let entry = Arc::new(Entry {
            followed,
            good_at: AtomicU64::new(verdict.map_or(0, |tick| tick.0)),
            holds: holds.into(),
            own: loaded.version.unwrap_or_default(),
            epoch: fill.ticket().epoch,
            as_of: Moment::of(seen),
            as_of_micros: low_bits(seen.as_micros()),
            soft: if self.soft < self.hard { life(self.soft).min(hard) } else { Moment(u32::MAX) },
            hard,
            refreshing: AtomicBool::new(false),
            value: loaded.value,
        });
        let refusal = verdict.err().or_else(|| self.publish(key, &entry).err());
        if let Some(refusal) = refusal {
            self.counts.refused(refusal);
        }
        (entry, refusal)
    }

    fn verdict(&self, holds: &[Hold], fill: &Fill, now: Duration) -> Result<Tick, Refusal> {
        let (ticket, epoch) = (fill.ticket(), self.epoch.load(Ordering::Acquire));
        let admitted = match self.fence.admit(holds, ticket.tick) {
            Ok(tick) => self.hindsight(holds, fill, tick),
            // Outrun, and behind as well: what it lacks may have been shown already.
            Err(Refusal::Moved(tick)) => self.hindsight(holds, fill, tick).and(Err(Refusal::Moved(tick))),
            refused => refused,
        };
        verdict(admitted, &ticket, epoch, now, self.fence.settings().keep)
    }

    /// What lags, and what was read without a version, is held to when news came, too. Of several refusals, the one that
    /// shows the source behind says the most.
    fn hindsight(&self, holds: &[Hold], fill: &Fill, tick: Tick) -> Result<Tick, Refusal> {
        let (ticket, seen, in_step) = (fill.ticket(), fill.seen(), fill.is_in_step());
        let lags = seen < ticket.started && !in_step;
        let margin = self.fence.settings().visible_within;
        let mut verdict = Ok(tick);
        for hold in holds.iter().filter(|_| self.fence.is_enforced()) {
            // A state from before this copy began to follow, or from before news that it forgot: nobody can tell.
            if lags && (seen < self.fence.followed_since() || self.fence.forgot_since(hold.key, seen)) {
                verdict = Err(Refusal::Forgotten);
            }
            if hold.held() != Held::Unmoved {
                continue;
            }
            let found = hindsight(self.fence.heard(hold.key), seen, &ticket, in_step, margin);
            match found.map_err(|refusal| refusal(tick)) {
                Ok(()) => {}
                Err(behind @ Refusal::BelowFloor(_)) => return Err(behind),
                Err(moved) => verdict = verdict.and(Err(moved)),
            }
        }
        verdict
    }

    /// Makes the entry visible, unless a newer state is there already. Under the lock of the key's flights: of two that
    /// land at once, the second must see the first.
    fn publish(&self, key: &K, entry: &Arc<Entry<V>>) -> Result<(), Refusal> {
        let _landing = self.flights(key).lock();
        let is_outdated = self.cache.peek(key).is_some_and(|held| entry.is_outdated_by(&held));
        if is_outdated && self.fence.is_enforced() {
            return Err(Refusal::BelowFloor(self.fence.tick()));
        }
        self.cache.insert(key.clone(), entry.clone());
        Ok(())
    }

    /// Makes the entry visible in the place of another, unless that is no longer there.
    pub(super) fn replace(&self, key: &K, old: &Arc<Entry<V>>, new: Entry<V>) {
        let _landing = self.flights(key).lock();
        if self.cache.peek(key).is_some_and(|held| Arc::ptr_eq(&held, old)) {
            self.cache.insert(key.clone(), Arc::new(new));
        }
    }

    /// What lags but is never behind this copy shows an event as soon as this copy has heard of it.
    fn is_followed(&self, holds: &[Hold], fill: &Fill) -> bool {
        let in_step = fill.is_in_step();
        let margin = if in_step { Duration::ZERO } else { self.fence.settings().visible_within };
        let since = self.fence.followed_since().saturating_add(margin);
        is_followed(holds.iter().map(Hold::held), fill.seen(), &fill.ticket(), in_step, since)
    }
}

fn low_bits(number: u128) -> u32 {
    u32::try_from(number & u128::from(u32::MAX)).unwrap_or(0)
}
