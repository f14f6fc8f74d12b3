//! The bounded memory of floors.
//!
//! Floors only rise. They outlive the entries they guard, because what they guard against is the load still in flight
//! and the source that lags: so a floor is kept at least for [`Limits::keep`]. Beyond the count limit the oldest is
//! forgotten, and then two honest consequences follow: an entry last found good before the forgotten floor moved can
//! no longer be vouched for, and if the floor was young, no fill is accepted until `keep` has passed.
//!
//! A floor may also be *learned* from a fill that saw a newer version before its event came. It makes sure that one
//! copy never shows an entity's new version and then its old one. Learned floors are dropped as soon as the events
//! up to that moment have been applied.

use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use super::rule::{Held, Refusal, Standing, stands};
use super::{Fingerprint, Tick};
use crate::version::Stamp;

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most floors raised by events.
    pub raised: usize,
    /// The most floors learned from fills.
    pub learned: usize,
    /// How long a floor must be kept: hard load timeout + the source's greatest lag + the redelivery window.
    pub keep: Duration,
}

/// What raising a floor did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raised {
    /// The floor moved: older answers are refused from now on.
    Moved,
    /// It was already there, or higher: the news is old.
    Old,
}

#[derive(Debug)]
struct Floor {
    standing: Standing,
    at: Duration,
    /// Its last move was learned from a fill; the event has not come yet.
    learned: bool,
    /// An event has raised it before: it is kept by the rules for raised floors.
    raised: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Event,
    Fill,
}

/// The floors of a set of entities and regions. `now` is monotonic time since any fixed point.
#[derive(Debug)]
pub struct Floors {
    limits: Limits,
    known: Table,
    raised: VecDeque<(Fingerprint, Tick)>,
    learned: VecDeque<(Fingerprint, Tick)>,
    /// Entries last found good before this tick cannot be vouched for.
    forgotten: Tick,
    /// When the newest news came that was forgotten for want of room.
    forgot: Option<Duration>,
    /// No fill is accepted before this time.
    blind_until: Duration,
}

impl Floors {
    /// No floors yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            known: Table::default(),
            raised: VecDeque::new(),
            learned: VecDeque::new(),
            forgotten: Tick(0),
            forgot: None,
            blind_until: Duration::ZERO,
        }
    }

    /// An event's news: answers below `floor` are refused from `tick` on.
    pub fn raise(&mut self, key: Fingerprint, floor: Stamp, tick: Tick, now: Duration) -> Raised {
        match self.known.get(&key) {
            // What was only learned must still move when its event comes: an unversioned fill that began after the
            // learning may have read the old state.
            Some(known) if known.standing.floor > floor => return Raised::Old,
            Some(known) if known.standing.floor == floor && !known.learned => return Raised::Old,
            _ => {}
        }
        self.put(key, floor, tick, now, Cause::Event);
        Raised::Moved
    }

    /// A region's bump, or an entity's change of unknown version: whatever was read before `tick` is refused.
    pub fn bump(&mut self, key: Fingerprint, tick: Tick, now: Duration) {
        let floor = self.known.get(&key).map(|known| known.standing.floor).unwrap_or_default();
        self.put(key, floor, tick, now, Cause::Event);
    }

    /// A fill saw this version: older answers are refused from `tick` on.
    pub fn learn(&mut self, key: Fingerprint, seen: Stamp, tick: Tick, now: Duration) -> Raised {
        if self.known.get(&key).is_some_and(|known| known.standing.floor >= seen) {
            return Raised::Old;
        }
        self.put(key, seen, tick, now, Cause::Fill);
        Raised::Moved
    }

    /// What is known of this entity or region.
    #[must_use]
    pub fn standing(&self, key: Fingerprint) -> Option<Standing> {
        self.known.get(&key).map(|floor| floor.standing)
    }

    /// When the newest news of it, or a fill that had seen some, came.
    #[must_use]
    pub fn heard(&self, key: Fingerprint) -> Option<Duration> {
        self.known.get(&key).map(|floor| floor.at)
    }

    /// When a fill taught the floor, if its event has not come since.
    #[must_use]
    pub fn learned_at(&self, key: Fingerprint) -> Option<Duration> {
        self.known.get(&key).filter(|floor| floor.learned).map(|floor| floor.at)
    }

    /// Whether news that came at `seen` or later was forgotten: a state from then cannot be judged any more.
    #[must_use]
    pub fn forgot_since(&self, seen: Duration) -> bool {
        self.forgot.is_some_and(|forgot| forgot >= seen)
    }

    /// May an entry, last found good at `since`, still be served as far as this dependency goes?
    pub fn check_entry(&self, key: Fingerprint, held: Held, since: Tick) -> Result<(), Refusal> {
        if since < self.forgotten {
            return Err(Refusal::Forgotten);
        }
        stands(held, since, self.standing(key))
    }

    /// May a fill under a ticket of `since` be kept as far as this dependency goes?
    pub fn check_fill(
        &self,
        key: Fingerprint,
        held: Held,
        since: Tick,
        now: Duration,
    ) -> Result<(), Refusal> {
        if now < self.blind_until || since < self.forgotten {
            return Err(Refusal::Forgotten);
        }
        stands(held, since, self.standing(key))
    }

    /// The events of everything that happened before `then` have been applied: what was learned before is settled.
    pub fn settle(&mut self, then: Duration) {
        while let Some(&(key, tick)) = self.learned.front() {
            if self.known.get(&key).is_some_and(|floor| floor.standing.moved == tick && floor.at >= then) {
                return;
            }
            self.learned.pop_front();
            self.remove(key, tick);
        }
    }

    /// The events of what was learned before `then` may never come: it is kept by the rules for raised floors.
    pub fn keep_learned_before(&mut self, then: Duration) {
        while let Some(&(key, tick)) = self.learned.front() {
            if let Some(floor) = self.known.get_mut(&key).filter(|floor| floor.standing.moved == tick) {
                if floor.at >= then {
                    return;
                }
                floor.raised = true;
                self.raised.push_back((key, tick));
            }
            self.learned.pop_front();
        }
    }

    /// How many floors are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn put(&mut self, key: Fingerprint, floor: Stamp, tick: Tick, now: Duration, cause: Cause) {
        let learned = cause == Cause::Fill;
        let raised = !learned || self.known.get(&key).is_some_and(|known| known.raised);
        let standing = Standing { floor, moved: tick };
        self.known.insert(key, Floor { standing, at: now, learned, raised });
        if raised {
            self.raised.push_back((key, tick));
        } else {
            self.learned.push_back((key, tick));
        }
        // Most of the queue may be about floors that have moved again.
        if self.raised.len() > 2 * self.limits.raised {
            let known = &self.known;
            self.raised
                .retain(|(key, tick)| known.get(key).is_some_and(|floor| floor.standing.moved == *tick));
        }
        self.enforce_limits(now);
    }

    fn enforce_limits(&mut self, now: Duration) {
        while self.learned.len() > self.limits.learned {
            if let Some((key, tick)) = self.learned.pop_front()
                && let Some(floor) = self.remove(key, tick)
            {
                self.forgot = self.forgot.max(Some(floor.at));
                self.forgotten = self.forgotten.max(Tick(tick.0 + 1));
            }
        }
        while self.known.len() > self.limits.raised + self.learned.len() {
            let Some((key, tick)) = self.raised.pop_front() else { return };
            let Some(floor) = self.remove(key, tick) else { continue };
            self.forgot = self.forgot.max(Some(floor.at));
            self.forgotten = self.forgotten.max(Tick(tick.0 + 1));
            let due = floor.at.saturating_add(self.limits.keep);
            if due > now {
                self.blind_until = self.blind_until.max(due);
            }
        }
    }

    /// Removes a floor unless it has moved since it was queued.
    fn remove(&mut self, key: Fingerprint, tick: Tick) -> Option<Floor> {
        let current = self.known.get(&key).is_some_and(|floor| floor.standing.moved == tick);
        if current { self.known.remove(&key) } else { None }
    }
}

/// Fingerprints are hashes already; hashing them again would only cost time.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

#[expect(clippy::disallowed_types, reason = "the hasher is fixed, and the order of the table is never used")]
type Table = std::collections::HashMap<Fingerprint, Floor, BuildHasherDefault<Identity>>;

#[cfg(test)]
mod tests;
