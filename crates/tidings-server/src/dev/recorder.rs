//! What happened, on its way to the history checker.
//!
//! The platform's threads hand records in and go on; one thread of its own judges them a little later, when everything
//! that was under way has been handed in, and writes them down if a history is asked for. If it falls behind, whoever
//! brings the next record waits: a record is never dropped. What is old is forgotten by the checker, so a run may last
//! for days.
//!
//! - `judge`: that thread;
//! - `marks`: what the consumer's marks claim, by the history's clock;
//! - `latency`: from commit to effect.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use retail::{Fact, Observed, Witness};
use tidings::Observer;
use tidings_core::{
    Code, Entity, Error, Event, Freshness, Outcome, Partition, Path, Position, Result, Stamp, Time,
};
use tidings_testkit::Verdict;
use tidings_testkit::checker::Counts;
use tidings_testkit::history::{Applied, Commit, Nanos, Read, Record, Shown, State};

use super::history::Writing;

mod judge;
mod latency;
mod marks;

use judge::Judge;
use marks::{Both, Marks};

/// Who must account for every event: the Experience API's consumer.
pub(crate) const COPY: &str = "experience-api";

/// How many records may wait to be judged.
const ROOM: usize = 100_000;

/// Takes records from any thread.
pub(crate) struct Recorder {
    shared: Arc<Shared>,
    marks: Mutex<Marks>,
    copy: Arc<str>,
    bound: Duration,
    knows: bool,
}

struct Shared {
    began: Instant,
    inbox: Mutex<Inbox>,
    filled: Condvar,
    emptied: Condvar,
    judged: Mutex<Judged>,
    waits: AtomicU64,
    unrecorded: AtomicU64,
    /// Why the history could not be written to its end, if so.
    unwritten: Mutex<Option<Error>>,
}

#[derive(Default)]
struct Inbox {
    records: Vec<Record>,
    /// How many have a record in their hands and wait for room.
    waiting: usize,
    ended: bool,
    deaf: bool,
}

/// What the checker has found so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judged {
    pub(crate) counts: Counts,
    /// From a commit's acknowledgement to its event's effect, in microseconds: half of all events, and 99 in 100.
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    /// The first violations, a sentence each.
    pub(crate) violations: Vec<String>,
}

/// What the checker found in the end.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) verdict: Verdict,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    /// How often somebody had to wait until there was room for a record.
    pub(crate) waits: u64,
    /// Records that came when nobody took them any more: 0, or the verdict is worth nothing.
    pub(crate) unrecorded: u64,
    /// Why the history could not be written to its end, if so.
    pub(crate) unwritten: Option<Error>,
}

/// The thread that judges.
pub(crate) struct Judging {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<judge::Done>>,
}

/// What a run is judged, and recorded, with.
pub(crate) struct Beginning {
    /// What reads promise.
    pub(crate) bound: Duration,
    /// What was there before; without it the platform's own word is taken, which leaves out the events that an earlier
    /// run did not get to.
    pub(crate) known: Option<Vec<Record>>,
    /// Where the history is written.
    pub(crate) writing: Option<Writing>,
}

impl Recorder {
    /// Begins to record and to judge.
    pub(crate) fn start(beginning: Beginning) -> Result<(Arc<Self>, Judging)> {
        let Beginning { bound, known, writing } = beginning;
        let shared = Arc::new(Shared {
            began: Instant::now(),
            inbox: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            judged: Mutex::default(),
            waits: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
            unwritten: Mutex::default(),
        });
        let knows = known.is_some();
        let marks = Mutex::new(Marks::new(shared.both()));
        let judge = Judge::new(shared.clone(), writing)?;
        let known = known.unwrap_or_default();
        let thread =
            std::thread::Builder::new().name("tidings-checker".to_owned()).spawn(move || judge.run(known));
        let thread =
            thread.map_err(|e| Error::new(Code::OVERLOADED, "no thread could be started").because(e))?;
        let judging = Judging { shared: shared.clone(), thread };
        Ok((Arc::new(Self { shared, marks, copy: COPY.into(), bound, knows }), judging))
    }

    /// Takes one record.
    pub(crate) fn take(&self, record: Record) {
        let mut inbox = lock(&self.shared.inbox);
        if inbox.records.len() >= ROOM && !inbox.deaf {
            self.shared.waits.fetch_add(1, Ordering::Relaxed);
            inbox.waiting += 1;
            drop(inbox);
            // Other tasks of this thread go on elsewhere meanwhile.
            tokio::task::block_in_place(|| self.shared.wait_for_room());
            inbox = lock(&self.shared.inbox);
            inbox.waiting -= 1;
        }
        if inbox.deaf {
            self.shared.unrecorded.fetch_add(1, Ordering::Relaxed);
            return;
        }
        inbox.records.push(record);
        if inbox.records.len() == 1 {
            self.shared.filled.notify_one();
        }
    }

    /// Takes what the copies hold, now that everything acknowledged before `upto` has been taken in.
    pub(crate) fn held(&self, held: Vec<retail::Shown>, upto: Nanos) {
        for one in held {
            // There may be so many that the first are settled when the last are handed in.
            let at = self.shared.now();
            self.take(Record::Held { copy: self.copy.clone(), shown: shown(one), upto, at });
        }
    }

    /// Something was seen that cannot be told as a record: whatever is judged without it proves nothing.
    pub(crate) fn missed(&self) {
        self.shared.unrecorded.fetch_add(1, Ordering::Relaxed);
    }

    /// What was found so far.
    pub(crate) fn judged(&self) -> Judged {
        lock(&self.shared.judged).clone()
    }

    /// Why the history cannot be written any more, if so.
    pub(crate) fn unwritten(&self) -> Option<Error> {
        lock(&self.shared.unwritten).clone()
    }
}

impl Shared {
    fn now(&self) -> Nanos {
        nanos(self.began.elapsed())
    }

    fn both(&self) -> Both {
        let nanos = self.now();
        Both { nanos, wall: crate::survey::now() }
    }

    /// Takes nothing more; returns what was taken and not yet judged.
    fn close(&self) -> Vec<Record> {
        let mut inbox = lock(&self.inbox);
        inbox.deaf = true;
        let last = std::mem::take(&mut inbox.records);
        drop(inbox);
        self.emptied.notify_all();
        last
    }

    fn wait_for_room(&self) {
        let mut inbox = lock(&self.inbox);
        while inbox.records.len() >= ROOM && !inbox.deaf {
            inbox = self.emptied.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Judging {
    /// Judges the rest, and the whole.
    pub(crate) async fn finish(self) -> Result<Found> {
        let Self { shared, thread } = self;
        lock(&shared.inbox).ended = true;
        shared.filled.notify_one();
        let defect = || Error::new(Code::DEFECT, "the checker panicked");
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        let done = joined.ok().and_then(std::result::Result::ok).ok_or_else(defect)??;
        let judge::Done { verdict, p50_us, p99_us, writing } = done;
        let (waits, unrecorded) =
            (shared.waits.load(Ordering::Relaxed), shared.unrecorded.load(Ordering::Relaxed));
        // A history that lacks something is left without its end, so that nobody takes it for the whole.
        if let Some(writing) = writing.filter(|_| unrecorded == 0)
            && let Err(error) = writing.finish()
        {
            *lock(&shared.unwritten) = Some(error);
        }
        let unwritten = lock(&shared.unwritten).clone();
        Ok(Found { verdict, p50_us, p99_us, waits, unrecorded, unwritten })
    }
}

impl Witness for Recorder {
    fn now_ns(&self) -> Nanos {
        self.shared.now()
    }

    fn baseline(&self, entity: Entity, stamp: Stamp) {
        self.take(Record::baseline(entity, stamp));
    }

    fn commit(&self, fact: &Fact, began: Nanos, ended: Nanos) {
        let ended = (ended != Nanos::MAX).then_some(ended);
        let commit = Commit::of(fact.entity.clone(), fact.stamp, began, ended);
        self.take(Record::Commit(Commit { digest: Some(fact.digest), ..commit }));
    }

    fn read(&self, read: Observed) {
        self.take(Record::Read(Read {
            copy: self.copy.clone(),
            session: session(read.session, read.certificate.freshness, read.certificate.path),
            view: read.view.into(),
            key: read.key.into(),
            shows: read.shows.into_iter().map(shown).collect(),
            token: read.token,
            began: read.began_ns,
            ended: read.ended_ns,
            freshness: read.certificate.freshness,
            path: read.certificate.path,
            bound: Some(self.bound),
        }));
    }

    fn wants_baseline(&self) -> bool {
        !self.knows
    }
}

impl Observer for Recorder {
    fn outcomes(&self, outcomes: &[(Arc<Event>, Outcome)]) {
        let at = self.shared.now();
        for (event, outcome) in outcomes {
            self.take(Record::Applied(Applied {
                copy: self.copy.clone(),
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
        let now = self.shared.both();
        let claim = marks.caught_up(partition, time, now);
        // The copy spoke once all its partitions had: what each of them applied was handed in before.
        drop(marks);
        if let Some((kind, upto)) = claim {
            let (copy, kind) = (self.copy.clone(), Some(kind.into()));
            self.take(Record::Marked { copy, kind, upto, at: now.nanos });
        }
    }

    fn gap(&self, _: &Partition, _: &str) {
        self.take(Record::Epoch { copy: self.copy.clone(), at: self.shared.now() });
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

fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(Nanos::MAX)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
