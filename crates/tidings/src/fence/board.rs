//! What is known of entities and regions, for many threads at once.
//!
//! The hit path reads one atomic per dependency, its **stripe**: the last tick at which any entity with the same hash
//! bits moved. Only if that is newer than what the entry was last found good at are the exact floors asked, under a
//! lock, and the entry's stamp is brought up to date. So a hit normally takes no lock of ours, costs no memory per
//! entity, and an invalidation is one store, however many entries depend on it.
//!
//! Why a stamp can be trusted: an invalidation takes its tick *inside* the lock of its floors, and records the floor
//! before it lets go. Whoever has read tick `t` and then takes that lock sees every floor that moved up to `t`.
//!
//! The locks and atomics come from the module `sync` beside this one, so that a test can run this very file against
//! others which try every interleaving (`tests/it/interleavings.rs`). Whoever changes an order here runs that.

use std::time::Duration;

use tidings_core::Stamp;
use tidings_core::fence::{Fingerprint, Floors, Held, Limits, Raised, Refusal, Tick};

use super::hold::Hold;
use super::sync::{AtomicU64, Mutex, Ordering};

pub(super) struct Board {
    tick: AtomicU64,
    stripes: Box<[AtomicU64]>,
    shards: Box<[Mutex<Floors>]>,
}

impl Board {
    /// A board with so many locks, each with floors within these limits, and so many stripes. Both are powers of two.
    pub(super) fn new(shards: usize, stripes: usize, limits: Limits) -> Self {
        debug_assert!(shards.is_power_of_two() && stripes.is_power_of_two(), "they are found with masks");
        Self {
            tick: AtomicU64::new(0),
            stripes: (0..stripes).map(|_| AtomicU64::new(0)).collect(),
            shards: (0..shards).map(|_| Mutex::new(Floors::new(limits))).collect(),
        }
    }

    /// The order of now. What is loaded under this ticket is refused if something it was derived from moves later.
    pub(super) fn tick(&self) -> Tick {
        Tick(self.tick.load(Ordering::Acquire))
    }

    /// An event's news: answers derived from an older version are no longer served.
    pub(super) fn raise(&self, key: Fingerprint, floor: Stamp, now: Duration) {
        self.moving(key, |floors, tick| floors.raise(key, floor, tick, now));
    }

    /// Answers derived from it are no longer served, whatever their version.
    pub(super) fn bump(&self, key: Fingerprint, now: Duration) {
        self.moving(key, |floors, tick| {
            floors.bump(key, tick, now);
            Raised::Moved
        });
    }

    /// The events of everything that happened before `then` have been applied: what fills taught before is settled, but
    /// for what they taught before `missed`, whose events may not have come.
    pub(super) fn settle(&self, then: Duration, missed: Duration) {
        for shard in &self.shards {
            let mut floors = shard.lock();
            floors.keep_learned_before(missed);
            floors.settle(then);
        }
    }

    /// The lowest version that may still be served, if any is known.
    pub(super) fn floor(&self, key: Fingerprint) -> Option<Stamp> {
        self.shard(key).lock().standing(key).map(|standing| standing.floor)
    }

    /// When the newest news of it, or a fill that had seen some, came.
    pub(super) fn heard(&self, key: Fingerprint) -> Option<Duration> {
        self.shard(key).lock().heard(key)
    }

    /// When a fill taught its floor, if the event has not come since.
    pub(super) fn learned_at(&self, key: Fingerprint) -> Option<Duration> {
        self.shard(key).lock().learned_at(key)
    }

    /// Whether news that came at `seen` or later, perhaps of it, was forgotten.
    pub(super) fn forgot_since(&self, key: Fingerprint, seen: Duration) -> bool {
        self.shard(key).lock().forgot_since(seen)
    }

    /// How many floors are held.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether an entry with these holds, found good at `good_at`, may still be served. Lock-free unless one of the
    /// stripes has moved since.
    pub(super) fn stands(&self, holds: &[Hold], good_at: &AtomicU64) -> bool {
        let stamp = good_at.load(Ordering::Acquire);
        let newest =
            holds.iter().map(|hold| self.stripe(hold.key).load(Ordering::Acquire)).max().unwrap_or(0);
        newest <= stamp || self.stands_exactly(holds, good_at, Tick(stamp), newest)
    }

    #[cold]
    fn stands_exactly(&self, holds: &[Hold], good_at: &AtomicU64, stamp: Tick, newest: u64) -> bool {
        let check = |hold: &Hold| self.shard(hold.key).lock().check_entry(hold.key, hold.held(), stamp);
        // All of them, after `newest` was read: see the module's page.
        let stands = holds.iter().all(|hold| check(hold).is_ok());
        if stands {
            good_at.fetch_max(newest, Ordering::AcqRel);
        }
        stands
    }

    /// Whether any of this has moved since the ticket, so that a load is bound to be refused.
    pub(super) fn is_outrun(&self, holds: &[Hold], ticket: Tick, now: Duration) -> bool {
        let check = |hold: &Hold| self.shard(hold.key).lock().check_fill(hold.key, hold.held(), ticket, now);
        holds.iter().any(|hold| check(hold).is_err())
    }

    /// The accept rule for a fill, and what it teaches: whatever becomes of the fill, the versions it saw are true, so
    /// nothing older is served here from now on. Returns the tick at which the fill is good.
    pub(super) fn admit(
        &self,
        holds: &[Hold],
        ticket: Tick,
        teach: bool,
        now: Duration,
    ) -> Result<Tick, Refusal> {
        // Of before the checks: they see every floor that moved up to then.
        let mut good_at = self.tick();
        for hold in holds.iter().filter(|_| teach) {
            if let Held::At(seen) = hold.held() {
                good_at = self.moving(hold.key, |floors, tick| floors.learn(hold.key, seen, tick, now));
            }
        }
        let mut verdict = Ok(());
        for hold in holds {
            let found = self.shard(hold.key).lock().check_fill(hold.key, hold.held(), ticket, now);
            // Of several refusals, the one that shows the source behind says the most.
            if verdict.is_ok() || matches!(found, Err(Refusal::BelowFloor(_))) {
                verdict = found;
            }
        }
        verdict.map(|()| good_at)
    }

    fn moving(&self, key: Fingerprint, change: impl FnOnce(&mut Floors, Tick) -> Raised) -> Tick {
        let mut floors = self.shard(key).lock();
        let tick = Tick(self.tick.fetch_add(1, Ordering::AcqRel) + 1);
        if change(&mut floors, tick) == Raised::Moved {
            self.stripe(key).fetch_max(tick.0, Ordering::AcqRel);
        }
        tick
    }

    fn stripe(&self, key: Fingerprint) -> &AtomicU64 {
        &self.stripes[masked(key.0, self.stripes.len())]
    }

    fn shard(&self, key: Fingerprint) -> &Mutex<Floors> {
        &self.shards[masked(key.0 >> 32, self.shards.len())]
    }
}

fn masked(bits: u64, len: usize) -> usize {
    usize::try_from(bits & (len as u64 - 1)).unwrap_or(0)
}
