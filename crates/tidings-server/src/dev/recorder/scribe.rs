//! What one copy does, as records: its reads, what becomes of each event, and what its marks claim.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use retail::storefront::Holdings;
use retail::{Fact, Observed, Witness};
use tidings::Observer;
use tidings_core::{Entity, Event, Freshness, Outcome, Partition, Path, Position, Stamp, Time};
use tidings_testkit::history::{Applied, Commit, Nanos, Read, Record, Shown, State};

use super::lock;
use super::marks::{Both, Marks};
use crate::dev::clock::RunClock;
use crate::dev::compared::Compared;

/// Where records go.
pub(crate) trait Take: Send + Sync {
    /// Takes one; waits if there is no room.
    fn take(&self, record: Record);
}

/// Whose records they are.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) name: Arc<str>,
    /// What its reads promise.
    pub(crate) bound: Duration,
    /// Whether what was there before is known already.
    pub(crate) knows: bool,
    /// Its sessions are numbered from here, so that no other process has the same.
    pub(crate) sessions: u64,
}

/// Writes down what one copy does, from any thread.
pub(crate) struct Scribe<T> {
    to: T,
    copy: Copy,
    clock: RunClock,
    marks: Mutex<Marks>,
}

impl<T: Take> Scribe<T> {
    pub(crate) fn new(to: T, copy: Copy, clock: RunClock) -> Self {
        let marks = Mutex::new(Marks::new(Both { nanos: clock.now(), wall: crate::survey::now() }));
        Self { to, copy, clock, marks }
    }

    /// Where its records go.
    pub(crate) const fn to(&self) -> &T {
        &self.to
    }

    /// The clock of the history.
    pub(crate) const fn clock(&self) -> RunClock {
        self.clock
    }

    /// Takes what the copy holds, now that everything acknowledged before `upto` has been taken in. Returns how much that was.
    pub(crate) fn held(&self, held: Holdings, upto: Nanos) -> Compared {
        let Holdings { modelled, cached, parts, unvouched } = held;
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let compared = Compared {
            modelled: number(modelled.len()),
            cached: number(cached.len()),
            parts: number(parts.len()),
            unvouched: number(unvouched),
        };
        for one in modelled.into_iter().chain(cached).chain(parts) {
            // There may be so many that the first are settled when the last are handed in.
            let at = self.clock.now();
            self.to.take(Record::Held { copy: self.copy.name.clone(), shown: shown(one), upto, at });
        }
        compared
    }

    fn session(&self, session: u64) -> u64 {
        if session == 0 { 0 } else { self.copy.sessions + session }
    }

    fn both(&self) -> Both {
        let nanos = self.clock.now();
        Both { nanos, wall: crate::survey::now() }
    }
}

impl<T: Take> Witness for Scribe<T> {
    fn now_ns(&self) -> Nanos {
        self.clock.now()
    }

    fn baseline(&self, entity: Entity, stamp: Stamp) {
        self.to.take(Record::baseline(entity, stamp));
    }

    fn commit(&self, fact: &Fact, began: Nanos, ended: Nanos) {
        let ended = (ended != Nanos::MAX).then_some(ended);
        let commit = Commit::of(fact.entity.clone(), fact.stamp, began, ended);
        self.to.take(Record::Commit(Commit { digest: Some(fact.digest), ..commit }));
    }

    fn read(&self, read: Observed) {
        self.to.take(Record::Read(Read {
            copy: self.copy.name.clone(),
            session: session(self.session(read.session), read.certificate.freshness, read.certificate.path),
            view: read.view.into(),
            key: read.key.into(),
            shows: read.shows.into_iter().map(shown).collect(),
            token: read.token,
            began: read.began_ns,
            ended: read.ended_ns,
            freshness: read.certificate.freshness,
            path: read.certificate.path,
            bound: Some(self.copy.bound),
        }));
    }

    fn repaired(&self, taken: Vec<retail::Shown>) {
        for one in taken {
            let Some(stamp) = one.stamp else { continue };
            let (copy, at) = (self.copy.name.clone(), self.clock.now());
            let (entity, outcome) = (one.entity, Outcome::Applied);
            self.to.take(Record::Applied(Applied { copy, entity, stamp, outcome, at }));
        }
    }

    fn wants_baseline(&self) -> bool {
        !self.copy.knows
    }
}

impl<T: Take> Observer for Scribe<T> {
    fn outcomes(&self, outcomes: &[(Arc<Event>, Outcome)]) {
        let at = self.clock.now();
        for (event, outcome) in outcomes {
            self.to.take(Record::Applied(Applied {
                copy: self.copy.name.clone(),
                entity: event.entity.clone(),
                stamp: event.stamp,
                outcome: *outcome,
                at,
            }));
        }
    }

    fn began(&self, positions: &[Position]) {
        lock(&self.marks).began(positions);
    }

    fn caught_up(&self, partition: &Partition, time: Time) {
        let mut marks = lock(&self.marks);
        let now = self.both();
        let claim = marks.caught_up(partition, time, now);
        // The copy spoke once all its partitions had: what each of them applied was handed in before.
        drop(marks);
        if let Some((kind, upto)) = claim {
            let (copy, kind) = (self.copy.name.clone(), Some(kind.into()));
            self.to.take(Record::Marked { copy, kind, upto, at: now.nanos });
        }
    }

    fn gap(&self, _: &Partition, _: &str) {
        self.to.take(Record::Epoch { copy: self.copy.name.clone(), at: self.clock.now() });
    }
}

/// Whose read it was, as far as anything was promised: an answer that was not kept and claims nothing is the source's, and
/// may be older than what the same reader saw before (ADR 0008). Who cannot have that reads with a token.
pub(crate) fn session(reader: u64, freshness: Freshness, path: Path) -> u64 {
    let claims = !matches!(freshness, Freshness::Stale(_) | Freshness::Unverified);
    if claims || path != Path::SourceUnkept { reader } else { 0 }
}

/// What an answer, or a copy, shows of an entity.
pub(crate) fn shown(shown: retail::Shown) -> Shown {
    let at = |stamp| State::At { stamp, digest: shown.digest, in_force: None };
    Shown { entity: shown.entity, state: shown.stamp.map_or(State::Absent, at) }
}

#[cfg(test)]
mod tests {
    use tidings_core::certificate::Cause;

    use super::*;

    #[test]
    fn only_what_claims_nothing_and_was_not_kept_is_outside_a_session() {
        let (stale, kept, unkept) = (Freshness::Stale(Cause::SourceBehind), Path::Source, Path::SourceUnkept);
        let session_of = |freshness, path| session(7, freshness, path);
        assert_eq!([session_of(stale, unkept), session_of(Freshness::Unverified, unkept)], [0, 0]);
        assert_eq!([session_of(stale, kept), session_of(Freshness::Unverified, Path::L1)], [7, 7]);
        assert_eq!([session_of(Freshness::Fresh, unkept), session_of(Freshness::Direct, unkept)], [7, 7]);
    }
}
