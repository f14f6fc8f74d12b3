//! What happened, on its way to the history checker.
//!
//! The platform's threads hand records in and go on; one thread of its own judges them a little later, when everything
//! that was under way has been handed in, and writes them down if a history is asked for. If it falls behind, whoever
//! brings the next record waits: a record is never dropped. What is old is forgotten by the checker, so a run may last
//! for days.
//!
//! - `scribe`: what one copy does, as records;
//! - `judge`: the thread that takes them;
//! - `marks`: what the consumer's marks claim, by the history's clock;
//! - `latency`: from commit to effect.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tidings_core::{Code, Error, Result};
use tidings_testkit::Verdict;
use tidings_testkit::checker::Counts;
use tidings_testkit::history::{Nanos, Record};

use super::clock::RunClock;
use super::history::Writing;

mod judge;
mod latency;
mod marks;
mod scribe;

use judge::Judge;
use marks::KINDS;
pub(crate) use scribe::{Copy, Scribe, Take, session, shown};

/// Who must account for every event: the Experience API's consumer.
pub(crate) const COPY: &str = "experience-api";

/// How many records may wait to be judged.
const ROOM: usize = 100_000;

/// The newest mark of each kind of entity.
type ByKind = BTreeMap<Arc<str>, Nanos>;

/// Takes records from any thread.
pub(crate) type Recorder = Scribe<Arc<Shared>>;

pub(crate) struct Shared {
    clock: RunClock,
    inbox: Mutex<Inbox>,
    /// What other processes tell: everything of each that ended before this has come.
    feeds: Mutex<BTreeMap<u64, Nanos>>,
    /// The newest mark of each copy, by kind of entity.
    marked: Mutex<BTreeMap<Arc<str>, ByKind>>,
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
    /// Other processes whose records come, and that must account for every event as well.
    pub(crate) others: Vec<Arc<str>>,
}

impl Recorder {
    /// Begins to record and to judge.
    pub(crate) fn start(beginning: Beginning) -> Result<(Arc<Self>, Judging)> {
        let Beginning { bound, known, writing, others } = beginning;
        let clock = RunClock::start();
        let shared = Arc::new(Shared::new(clock));
        let knows = known.is_some();
        lock(&shared.marked).extend(others.iter().map(|copy| (copy.clone(), BTreeMap::new())));
        let judge = Judge::new(shared.clone(), writing, others)?;
        let known = known.unwrap_or_default();
        let thread =
            std::thread::Builder::new().name("tidings-checker".to_owned()).spawn(move || judge.run(known));
        let thread =
            thread.map_err(|e| Error::new(Code::OVERLOADED, "no thread could be started").because(e))?;
        let judging = Judging { shared: shared.clone(), thread };
        let copy = Copy { name: COPY.into(), bound, knows, sessions: 0 };
        Ok((Arc::new(Scribe::new(shared, copy, clock)), judging))
    }

    /// Takes one record.
    pub(crate) fn take(&self, record: Record) {
        self.to().take(record);
    }

    /// How old the newest mark is of each copy, of the topic that is furthest behind; `None` before the first of each.
    pub(crate) fn behind(&self) -> Vec<(Arc<str>, Option<Duration>)> {
        let now = self.to().now();
        let marked = lock(&self.to().marked);
        let behind = |kinds: &ByKind| {
            let least = kinds.values().min().filter(|_| kinds.len() == KINDS.len())?;
            Some(Duration::from_nanos(now.saturating_sub(*least)))
        };
        marked.iter().map(|(copy, kinds)| (copy.clone(), behind(kinds))).collect()
    }

    /// Another process begins to tell: nothing is judged before it has come.
    pub(crate) fn feed(&self) -> Feed {
        self.to().feed()
    }

    /// Something was seen that cannot be told as a record: whatever is judged without it proves nothing.
    pub(crate) fn missed(&self) {
        self.to().unrecorded.fetch_add(1, Ordering::Relaxed);
    }

    /// What was found so far.
    pub(crate) fn judged(&self) -> Judged {
        lock(&self.to().judged).clone()
    }

    /// Why the history cannot be written any more, if so.
    pub(crate) fn unwritten(&self) -> Option<Error> {
        lock(&self.to().unwritten).clone()
    }
}

impl Take for Arc<Shared> {
    fn take(&self, record: Record) {
        if let Record::Marked { copy, kind: Some(kind), upto, .. } = &record {
            lock(&self.marked).entry(copy.clone()).or_default().insert(kind.clone(), *upto);
        }
        let mut inbox = lock(&self.inbox);
        if inbox.records.len() >= ROOM && !inbox.deaf {
            self.waits.fetch_add(1, Ordering::Relaxed);
            inbox.waiting += 1;
            drop(inbox);
            // Other tasks of this thread go on elsewhere meanwhile.
            tokio::task::block_in_place(|| self.wait_for_room());
            inbox = lock(&self.inbox);
            inbox.waiting -= 1;
        }
        if inbox.deaf {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
            return;
        }
        inbox.records.push(record);
        if inbox.records.len() == 1 {
            self.filled.notify_one();
        }
    }
}

/// What another process tells. While it lives, nothing is judged that it may still have something to say about.
pub(crate) struct Feed {
    shared: Arc<Shared>,
    number: u64,
}

impl Feed {
    /// Takes one record.
    pub(crate) fn take(&self, record: Record) {
        self.shared.take(record);
    }

    /// Everything that ended before this has come.
    pub(crate) fn settled(&self, up_to: Nanos) {
        lock(&self.shared.feeds).insert(self.number, up_to);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        lock(&self.shared.feeds).remove(&self.number);
    }
}

impl Shared {
    fn new(clock: RunClock) -> Self {
        Self {
            clock,
            inbox: Mutex::default(),
            feeds: Mutex::default(),
            marked: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            judged: Mutex::default(),
            waits: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
            unwritten: Mutex::default(),
        }
    }

    /// Another process begins to tell: nothing is judged before it has come.
    fn feed(self: &Arc<Self>) -> Feed {
        let mut feeds = lock(&self.feeds);
        let number = feeds.last_key_value().map_or(0, |(last, _)| last + 1);
        feeds.insert(number, self.now());
        drop(feeds);
        Feed { shared: self.clone(), number }
    }

    fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// What every other process has told completely.
    fn fed(&self) -> Nanos {
        lock(&self.feeds).values().copied().min().unwrap_or(Nanos::MAX)
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

fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(Nanos::MAX)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
