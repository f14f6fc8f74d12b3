//! The writer of a context: each command is one transaction, state and event together. Its threads own a session each;
//! commands about the same thing go to the same one, so that they never meet.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tidings::DomainEvent;
use tidings_core::{Code, Draft, Error, Stamp};
use tidings_sqlite::outbox;
use tokio::sync::{mpsc, oneshot};

use super::Sql;
use super::keeper::Keeper;
use super::pool::stopping;
use super::postgres::{Mode, Session};
use crate::refusal::{Refusal, Result};
use crate::witness::{Fact, Witness};

/// How many commands may wait for a thread; beyond it callers wait (back-pressure instead of memory).
const QUEUE: usize = 256;

type Job = Box<dyn FnOnce(&mut Engine) + Send>;

/// What a thread writes to.
pub(super) enum Engine {
    File(Connection),
    Database(Box<Keeper>),
}

impl Engine {
    fn begin(&mut self) -> Result<Tx<'_>> {
        Ok(match self {
            Self::File(file) => Tx::File(file.transaction_with_behavior(TransactionBehavior::Immediate)?),
            Self::Database(keeper) => Tx::Database(keeper.begin(Mode::Write)?),
        })
    }
}

enum Tx<'a> {
    File(Transaction<'a>),
    Database(Session<'a>),
}

impl Tx<'_> {
    fn record(&self, draft: &Draft) -> Result<Stamp> {
        Ok(match self {
            Self::File(tx) => outbox::record(tx, draft)?.stamp,
            Self::Database(session) => session.record(draft)?,
        })
    }

    fn commit(self) -> Result<()> {
        match self {
            Self::File(tx) => Ok(tx.commit()?),
            Self::Database(session) => Ok(session.commit()?),
        }
    }

    fn rollback(self) {
        match self {
            Self::File(tx) => drop(tx),
            Self::Database(session) => session.rollback(),
        }
    }
}

/// The handle to a writer's threads.
pub(crate) struct Writer {
    lanes: Vec<Lane>,
    told: Arc<Told>,
}

/// One thread.
struct Lane {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Who is told of a commit.
struct Told {
    witness: Arc<dyn Witness>,
    wake: Box<dyn Fn() + Send + Sync>,
    commits: AtomicU64,
    events: AtomicU64,
}

/// One transaction under way.
pub(crate) struct Change<'a> {
    tx: Tx<'a>,
    facts: Vec<Fact>,
}

impl Change<'_> {
    /// The transaction.
    pub(crate) fn sql(&self) -> Sql<'_> {
        match &self.tx {
            Tx::File(tx) => Sql::Files(tx),
            Tx::Database(session) => Sql::Postgres(session),
        }
    }

    /// Records the event beside the state change; both become visible together, or neither does. `digest` is what the
    /// entity has become, for the witness alone.
    pub(crate) fn publish(&mut self, event: &impl DomainEvent, digest: u64) -> Result<Stamp> {
        let draft = event.draft()?;
        let stamp = self.tx.record(&draft)?;
        self.facts.push(Fact { entity: draft.entity, stamp, digest });
        Ok(stamp)
    }
}

impl Writer {
    /// Starts a thread for each engine. `wake` runs after each commit that recorded an event.
    pub(super) fn start(
        name: &str,
        engines: Vec<Engine>,
        witness: Arc<dyn Witness>,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self> {
        let lanes = engines.into_iter().map(|engine| Lane::start(name, engine)).collect::<Result<_>>()?;
        let told = Arc::new(Told { witness, wake, commits: AtomicU64::new(0), events: AtomicU64::new(0) });
        Ok(Self { lanes, told })
    }

    /// Runs `work` in a transaction of its own and returns once it is durable. A refusal, or a panic, leaves nothing.
    /// Commands with the same `about` run one after another; others may run beside each other.
    pub(crate) async fn command<T, F>(&self, about: &str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Change<'_>) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let told = self.told.clone();
        let job: Job = Box::new(move |engine| {
            let outcome = catch_unwind(AssertUnwindSafe(|| perform(engine, work, &told)));
            let defect = |_| Err(Refusal::Failed(Error::new(Code::DEFECT, "a command panicked")));
            // Nobody waits for the answer if the caller was cancelled; the commit stands all the same.
            let _ = answer.send(outcome.unwrap_or_else(defect));
        });
        self.lane(about)?.jobs().ok_or_else(stopping)?.send(job).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    fn lane(&self, about: &str) -> Result<&Lane> {
        let mut hasher = DefaultHasher::new();
        about.hash(&mut hasher);
        let number = hasher.finish() % self.lanes.len().max(1) as u64;
        let lane = usize::try_from(number).ok().and_then(|number| self.lanes.get(number));
        lane.ok_or_else(stopping)
    }

    /// Commits since the start.
    pub(crate) fn commits(&self) -> u64 {
        self.told.commits.load(Ordering::Relaxed)
    }

    /// Events committed since the start.
    pub(crate) fn events(&self) -> u64 {
        self.told.events.load(Ordering::Relaxed)
    }

    /// Commands waiting.
    pub(crate) fn waiting(&self) -> usize {
        self.lanes.iter().filter_map(Lane::jobs).map(|jobs| QUEUE - jobs.capacity()).sum()
    }

    /// Takes no more commands, finishes those that wait, and lets go of the state.
    pub(crate) async fn stop(&self) {
        for lane in &self.lanes {
            drop(lane.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        for lane in &self.lanes {
            let thread = lane.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(thread) = thread {
                // A panic of the thread itself has been answered with `stopping` to whoever waited.
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
        }
    }
}

impl Lane {
    fn start(name: &str, mut engine: Engine) -> Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let thread = std::thread::Builder::new().name(format!("{name}-writer")).spawn(move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut engine);
            }
        });
        let thread = thread.map_err(|e| Error::new(Code::OVERLOADED, "no thread for a writer").because(e))?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
    }

    /// Where its commands are put; nowhere once it stops.
    fn jobs(&self) -> Option<mpsc::Sender<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn perform<T>(
    engine: &mut Engine,
    work: impl FnOnce(&mut Change<'_>) -> Result<T>,
    told: &Told,
) -> Result<T> {
    let mut change = Change { tx: engine.begin()?, facts: Vec::new() };
    let answer = match work(&mut change) {
        Ok(answer) => answer,
        Err(refusal) => {
            change.tx.rollback();
            return Err(refusal);
        }
    };
    let Change { tx, facts } = change;
    let began = told.witness.now_ns();
    let committed = tx.commit();
    // One that fails may have happened all the same: it was never acknowledged.
    let ended = if committed.is_ok() { told.witness.now_ns() } else { u64::MAX };
    for fact in &facts {
        told.witness.commit(fact, began, ended);
    }
    committed?;
    told.commits.fetch_add(1, Ordering::Relaxed);
    if !facts.is_empty() {
        told.events.fetch_add(facts.len() as u64, Ordering::Relaxed);
        (told.wake)();
    }
    Ok(answer)
}
