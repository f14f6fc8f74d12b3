//! What happened, on its way to the history checker.
//!
//! The platform's threads hand records in and go on; one thread of its own judges them a little later, when everything
//! that was under way has been handed in. If it falls behind, whoever brings the next record waits: a record is never
//! dropped. What is old is forgotten by the checker, so a run may last for days.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use retail::{Observed, Witness};
use tidings::Observer;
use tidings_core::{Code, Entity, Error, Event, Outcome, Result, Stamp};
use tidings_testkit::checker::Counts;
use tidings_testkit::history::{Applied, Commit, Nanos, Read, Record};
use tidings_testkit::{Checker, Verdict};

/// Who must account for every event: the Experience API's consumer.
pub(crate) const COPY: &str = "experience-api";

/// How many records may wait to be judged.
const ROOM: usize = 100_000;
/// What happened is judged this much later.
const LATER: Duration = Duration::from_secs(3);
/// What can no longer matter to any read is forgotten after this long.
const HORIZON: Duration = Duration::from_secs(30);
const JUDGE_EVERY: Duration = Duration::from_millis(250);
const FORGET_EVERY: Duration = Duration::from_secs(5);

/// Takes records from any thread.
pub(crate) struct Recorder {
    shared: Arc<Shared>,
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
}

#[derive(Default)]
struct Inbox {
    records: Vec<Record>,
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
}

/// The thread that judges.
pub(crate) struct Judging {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(Verdict, Latency)>>,
}

impl Recorder {
    /// Begins to record, and to judge, reads that promise this bound. `known` is what was there before; without it the
    /// platform's own word is taken, which leaves out the events that an earlier run did not get to.
    pub(crate) fn start(bound: Duration, known: Option<Vec<Record>>) -> Result<(Arc<Self>, Judging)> {
        let shared = Arc::new(Shared {
            began: Instant::now(),
            inbox: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            judged: Mutex::default(),
            waits: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
        });
        let knows = known.is_some();
        let judge = Judge::new(shared.clone(), known.unwrap_or_default())?;
        let thread =
            std::thread::Builder::new().name("tidings-checker".to_owned()).spawn(move || judge.run());
        let thread =
            thread.map_err(|e| Error::new(Code::OVERLOADED, "no thread could be started").because(e))?;
        let judging = Judging { shared: shared.clone(), thread };
        Ok((Arc::new(Self { shared, copy: COPY.into(), bound, knows }), judging))
    }

    /// Takes one record.
    pub(crate) fn take(&self, record: Record) {
        let mut inbox = lock(&self.shared.inbox);
        if inbox.records.len() >= ROOM && !inbox.deaf {
            self.shared.waits.fetch_add(1, Ordering::Relaxed);
            drop(inbox);
            // Other tasks of this thread go on elsewhere meanwhile.
            tokio::task::block_in_place(|| self.shared.wait_for_room());
            inbox = lock(&self.shared.inbox);
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

    /// What was found so far.
    pub(crate) fn judged(&self) -> Judged {
        lock(&self.shared.judged).clone()
    }
}

impl Shared {
    fn now(&self) -> Nanos {
        nanos(self.began.elapsed())
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
        let (verdict, latency) = joined.ok().and_then(std::result::Result::ok).ok_or_else(defect)??;
        let (p50_us, p99_us) = latency.quantiles();
        let (waits, unrecorded) =
            (shared.waits.load(Ordering::Relaxed), shared.unrecorded.load(Ordering::Relaxed));
        Ok(Found { verdict, p50_us, p99_us, waits, unrecorded })
    }
}

impl Witness for Recorder {
    fn now_ns(&self) -> Nanos {
        self.shared.now()
    }

    fn baseline(&self, entity: Entity, stamp: Stamp) {
        if !self.knows {
            self.take(Record::Baseline { entity, stamp });
        }
    }

    fn commit(&self, entity: &Entity, stamp: Stamp, began: Nanos, ended: Nanos) {
        self.take(Record::Commit(Commit { entity: entity.clone(), stamp, began, ended: Some(ended) }));
    }

    fn read(&self, read: Observed) {
        self.take(Record::Read(Read {
            copy: self.copy.clone(),
            session: 0,
            view: read.view.into(),
            key: read.key.into(),
            deps: read.versions,
            began: read.began_ns,
            ended: read.ended_ns,
            freshness: read.certificate.freshness,
            path: read.certificate.path,
            bound: Some(self.bound),
        }));
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
}

/// The thread's own state.
struct Judge {
    shared: Arc<Shared>,
    checker: Checker,
    latency: Latency,
    judged_at: Instant,
    forgot_at: Instant,
}

impl Judge {
    fn new(shared: Arc<Shared>, known: Vec<Record>) -> Result<Self> {
        let (judged_at, forgot_at) = (Instant::now(), Instant::now());
        let mut checker = Checker::new();
        known.into_iter().for_each(|record| checker.record(record));
        checker.record(Record::Subscribed { copy: COPY.into(), kind: None, from: 0 });
        Ok(Self { shared, checker, latency: Latency::new()?, judged_at, forgot_at })
    }

    fn run(mut self) -> Result<(Verdict, Latency)> {
        let _deaf = DeafWhenDropped(self.shared.clone());
        loop {
            let (records, ended) = self.next();
            for record in records {
                self.take(record);
            }
            if ended {
                return Ok((self.verdict()?, self.latency));
            }
            if self.judged_at.elapsed() >= JUDGE_EVERY {
                self.judged_at = Instant::now();
                self.judge();
            }
        }
    }

    /// A run in which nobody asked for anything broke no promise.
    fn verdict(&mut self) -> Result<Verdict> {
        let counts = *self.checker.counts();
        match self.checker.verdict() {
            Err(_) if self.checker.counts().reads == 0 && counts.applied == 0 => {
                Ok(Verdict { counts, accounts: Vec::new(), violations: Vec::new() })
            }
            other => other,
        }
    }

    fn next(&self) -> (Vec<Record>, bool) {
        let inbox = lock(&self.shared.inbox);
        let nothing = |inbox: &mut Inbox| inbox.records.is_empty() && !inbox.ended;
        let waited = self.shared.filled.wait_timeout_while(inbox, JUDGE_EVERY, nothing);
        let (mut inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let (records, ended) = (std::mem::take(&mut inbox.records), inbox.ended);
        drop(inbox);
        self.shared.emptied.notify_all();
        (records, ended)
    }

    fn take(&mut self, record: Record) {
        match &record {
            Record::Commit(commit) => self.latency.committed(commit),
            Record::Applied(applied) => self.latency.applied(applied),
            _ => {}
        }
        self.checker.record(record);
    }

    fn judge(&mut self) {
        let now = self.shared.now();
        self.checker.settle(now.saturating_sub(nanos(LATER)));
        if self.forgot_at.elapsed() >= FORGET_EVERY {
            self.forgot_at = Instant::now();
            let horizon = now.saturating_sub(nanos(HORIZON));
            self.checker.forget_before(horizon);
            self.latency.forget_before(horizon);
        }
        let violations = self.checker.violations().iter().take(5);
        let violations = violations.map(|v| format!("{:?}: {}", v.invariant, v.what)).collect();
        let (p50_us, p99_us) = self.latency.quantiles();
        *lock(&self.shared.judged) = Judged { counts: *self.checker.counts(), p50_us, p99_us, violations };
    }
}

/// Nobody waits for room in an inbox that is no longer read.
struct DeafWhenDropped(Arc<Shared>);

impl Drop for DeafWhenDropped {
    fn drop(&mut self) {
        let mut inbox = lock(&self.0.inbox);
        inbox.deaf = true;
        self.0.unrecorded.fetch_add(inbox.records.len() as u64, Ordering::Relaxed);
        drop(inbox);
        self.0.emptied.notify_all();
    }
}

/// From the acknowledgement of a commit to the effect of its event. Either may be told of first.
struct Latency {
    committed: HashMap<(Entity, Stamp), Nanos>,
    applied: HashMap<(Entity, Stamp), Nanos>,
    micros: Histogram<u64>,
}

impl Latency {
    fn new() -> Result<Self> {
        let micros = Histogram::new_with_bounds(1, 3_600_000_000, 3);
        let micros = micros.map_err(|e| Error::new(Code::DEFECT, "a histogram was refused").because(e))?;
        Ok(Self { committed: HashMap::new(), applied: HashMap::new(), micros })
    }

    fn committed(&mut self, commit: &Commit) {
        let Some(ended) = commit.ended else { return };
        let event = (commit.entity.clone(), commit.stamp);
        match self.applied.remove(&event) {
            Some(at) => self.add(ended, at),
            None => drop(self.committed.insert(event, ended)),
        }
    }

    fn applied(&mut self, applied: &Applied) {
        let event = (applied.entity.clone(), applied.stamp);
        match self.committed.remove(&event) {
            Some(ended) => self.add(ended, applied.at),
            None => drop(self.applied.insert(event, applied.at)),
        }
    }

    fn add(&mut self, committed: Nanos, applied: Nanos) {
        self.micros.saturating_record((applied.saturating_sub(committed) / 1000).max(1));
    }

    /// What has no counterpart by now was told of twice, or was committed before this run.
    fn forget_before(&mut self, time: Nanos) {
        self.applied.retain(|_, at| *at >= time);
    }

    fn quantiles(&self) -> (u64, u64) {
        (self.micros.value_at_quantile(0.5), self.micros.value_at_quantile(0.99))
    }
}

pub(crate) fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(Nanos::MAX)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
