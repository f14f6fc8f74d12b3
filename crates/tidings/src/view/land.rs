//! Where a load lands: the accept rule, and the entry that becomes visible if it is met.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidings_core::fence::landing::{hindsight, is_followed, is_worth_repeating, verdict};
use tidings_core::fence::{Held, Refusal, Tick, Turn};
use tidings_core::shared::level::{Part, Thing};
use tidings_core::shared::{AsOf, Exposed};

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
    /// The entry that a load brings, and why it is not kept, if so. `behind`: it is known to have read an older state than
    /// others have.
    pub(super) fn land(
        &self,
        key: &K,
        loaded: Loaded<V>,
        holds: Vec<Hold>,
        fill: &Fill,
        (is_last, behind): (bool, bool),
    ) -> (Arc<Entry<V>>, Option<Refusal>) {
        let now = self.fence.clock().elapsed();
        let verdict = self.verdict(&holds, fill, now);
        let verdict = if behind { verdict.and(Err(Refusal::BelowFloor(self.fence.tick()))) } else { verdict };
        let (soft, hard) = self.life(now, fill.hard_limit());
        let seen = fill.seen();
        let followed = self.is_followed(&holds, fill);
        let entry = Arc::new(Entry {
            followed,
            good_at: AtomicU64::new(verdict.map_or(0, |tick| tick.0)),
            holds: holds.into(),
            own: loaded.version.unwrap_or_default(),
            epoch: fill.ticket().epoch,
            as_of: Moment::of(seen),
            soft,
            hard,
            refreshing: AtomicBool::new(false),
            things: self.level.is_some().then(|| things(&fill.parts())),
            value: loaded.value,
        });
        let refusal = self.publish(key, &entry, verdict, fill, is_last).err();
        if let Some(refusal) = refusal {
            self.counts.refused(refusal);
        }
        (entry, refusal)
    }

    /// Until when what lands now is fresh enough, and may be served.
    pub(super) fn life(&self, now: Duration, limit: Moment) -> (Moment, Moment) {
        let life =
            |ttl: Duration| Moment::of(now.saturating_add(ttl.mul_f64(1.0 - self.jitter * self.roll())));
        let hard = life(self.hard).min(limit);
        (if self.soft < self.hard { life(self.soft).min(hard) } else { Moment(u32::MAX) }, hard)
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
        let lags = seen < ticket.started;
        let margin = self.fence.settings().visible_within;
        let mut verdict = Ok(tick);
        for hold in holds.iter().filter(|_| self.fence.is_enforced()) {
            // A state from before this copy began to follow: nobody can tell, even in step. What was shown before may have been
            // ahead of what had been heard, and nobody remembers. Nor of one from before news that this copy forgot.
            let forgot = || !in_step && self.fence.forgot_since(hold.key, seen);
            if lags && (seen < self.fence.followed_since() || forgot()) {
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

    /// Makes the entry visible, unless a newer state may have been shown already. Under the lock of the key's deck: of two
    /// that land at once, the second must see the first.
    fn publish(
        &self,
        key: &K,
        entry: &Arc<Entry<V>>,
        verdict: Result<Tick, Refusal>,
        fill: &Fill,
        is_last: bool,
    ) -> Result<(), Refusal> {
        let (hash, deck) = self.deck(key);
        let mut deck = deck.lock();
        if !self.fence.is_enforced() {
            self.cache.insert(key.clone(), entry.clone());
            return Ok(());
        }
        let reading = fill.reading();
        let verdict = most_telling(verdict, deck.shown.check(hash, reading, self.fence.tick()));
        let is_shown = is_last || !is_worth_repeating(verdict.err());
        let is_behind = matches!(verdict, Err(Refusal::BelowFloor(_)));
        if entry.is_unversioned() && is_shown && !is_behind {
            let turn = Turn(self.turn.fetch_add(1, Ordering::AcqRel) + 1);
            let now = self.fence.clock().elapsed();
            deck.shown.note(hash, fill.newest(), turn, now);
            if self.level.is_some() {
                // Its loader may offer it, and then it has something to be known again by.
                deck.exposed.note(hash, Exposed::of(fill.newest_position(), None, now));
            }
            // What is shown and not kept leaves no older answer behind; of versions, floors see to that.
            if verdict.is_err() {
                self.cache.remove(key);
            }
        }
        if verdict.is_ok() {
            self.cache.insert(key.clone(), entry.clone());
        }
        verdict
    }

    /// What was shown without versions, and is still what is held, is this answer of the shared level, too.
    pub(super) fn recognise(&self, key: &K, entry: &Arc<Entry<V>>, position: Option<AsOf>, bytes: &[u8]) {
        let (hash, deck) = self.deck(key);
        let mut deck = deck.lock();
        // Another may have been shown since.
        let is_last = self.cache.peek(key).is_some_and(|held| Arc::ptr_eq(&held, entry));
        if is_last && entry.is_unversioned() && position.is_some() {
            let (answer, now) = (self.fence.bytes_key(bytes), self.fence.clock().elapsed());
            deck.exposed.note(hash, Exposed::of(position, Some(answer), now));
        }
    }

    /// Makes the entry visible in the place of another, unless that is no longer there.
    pub(super) fn replace(&self, key: &K, old: &Arc<Entry<V>>, new: Entry<V>) {
        let _landing = self.deck(key).1.lock();
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

pub(super) fn things(parts: &[Part]) -> Arc<[Thing]> {
    parts.iter().map(|part| part.thing.clone()).collect()
}

/// What order says may say more than what was found before.
fn most_telling(verdict: Result<Tick, Refusal>, order: Result<(), Refusal>) -> Result<(), Refusal> {
    match (verdict, order) {
        (Ok(_), order) => order,
        (Err(behind @ Refusal::BelowFloor(_)), _) | (_, Err(behind @ Refusal::BelowFloor(_))) => Err(behind),
        (_, Err(Refusal::Forgotten)) => Err(Refusal::Forgotten),
        (Err(refusal), _) => Err(refusal),
    }
}
