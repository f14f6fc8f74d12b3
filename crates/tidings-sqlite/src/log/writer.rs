//! The one thread that writes: whatever waits at the same time is one transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior, params};
use tidings_core::port::Retention;
use tidings_core::{Code, Error, Partition, Position, Result, Topic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::codec::Encoded;
use super::extent::{self, Extent, signed};
use super::heads::Heads;
use super::{LogSettings, parking, retain};
use crate::clock::Clock;
use crate::fault::fault;
use crate::watch::{Poll, Watch};
use crate::worker;

/// The unit in which the queue is bounded: every call costs at least one, so their number is bounded, too.
const UNIT: usize = 4096;
/// A transaction takes no further call beyond so many bytes, so that its callers do not wait for the world.
const GROUP_BYTES: usize = 8 << 20;

enum Work {
    Append(Vec<Encoded>),
    Commit(String, Vec<Position>),
    Create(Topic),
    Park(String, Vec<parking::Row>),
    Retain(Retention),
}

enum Job {
    /// Somebody waits: look out for commits of other processes.
    LookOut,
    Write {
        work: Work,
        bytes: usize,
        _room: OwnedSemaphorePermit,
        reply: oneshot::Sender<Result<u64>>,
    },
}

/// The handle of the writing thread.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    room: Arc<Semaphore>,
    units: usize,
}

impl Writer {
    pub(super) fn spawn(
        connection: Connection,
        settings: &LogSettings,
        clock: Clock,
        watch: Arc<Watch>,
        heads: Arc<Heads>,
    ) -> Result<Self> {
        let (jobs, queue) = channel();
        let units = (settings.queue_bytes / UNIT).clamp(16, u32::MAX as usize >> 4);
        let thread = Thread { connection, clock, watch, heads, partitions: settings.partitions };
        let thread = worker::spawn("tidings-log-write", move || thread.run(&queue))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), room: Arc::new(Semaphore::new(units)), units })
    }

    pub(super) async fn append(&self, records: Vec<Encoded>) -> Result<()> {
        let bytes = records.iter().map(|r| r.body.len()).sum();
        self.write(Work::Append(records), bytes).await.map(drop)
    }

    pub(super) async fn commit(&self, group: String, positions: Vec<Position>) -> Result<()> {
        self.write(Work::Commit(group, positions), 0).await.map(drop)
    }

    pub(super) async fn park(&self, group: String, rows: Vec<parking::Row>) -> Result<()> {
        let bytes = rows.iter().map(parking::Row::bytes).sum();
        self.write(Work::Park(group, rows), bytes).await.map(drop)
    }

    /// Creates the topic unless it is there, and returns its number of partitions.
    pub(super) async fn create(&self, topic: Topic) -> Result<u32> {
        let count = self.write(Work::Create(topic), 0).await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Removes a first part of what is not to be kept, and returns how much; 0 at the end.
    pub(super) async fn retain(&self, retention: Retention) -> Result<u64> {
        self.write(Work::Retain(retention), 0).await
    }

    /// Has the thread look out for other processes while somebody waits.
    pub(super) fn look_out(&self) -> Result<()> {
        self.send(Job::LookOut)
    }

    /// Waits for room, hands the work over and waits for its end. Once handed over it is done even if nobody waits.
    async fn write(&self, work: Work, bytes: usize) -> Result<u64> {
        let units = (bytes / UNIT + 1).min(self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(units).await.map_err(|_| worker::ended())?;
        let (reply, answer) = oneshot::channel();
        self.send(Job::Write { work, bytes, _room: room, reply })?;
        answer.await.unwrap_or_else(|_| Err(worker::ended()))
    }

    fn send(&self, job: Job) -> Result<()> {
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(worker::ended()) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        worker::join(self.thread.take());
    }
}

struct Thread {
    connection: Connection,
    clock: Clock,
    watch: Arc<Watch>,
    heads: Arc<Heads>,
    partitions: u32,
}

type Waiting = (Work, oneshot::Sender<Result<u64>>, OwnedSemaphorePermit);

impl Thread {
    fn run(mut self, queue: &Receiver<Job>) {
        let mut poll = Poll::new();
        loop {
            let first = if self.watch.must_look() {
                match queue.recv_timeout(poll.pause()) {
                    Ok(job) => Some(job),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            } else {
                match queue.recv() {
                    Ok(job) => Some(job),
                    Err(_) => return,
                }
            };
            let group = gather(first, queue);
            if !group.is_empty() {
                self.perform(group);
            }
            if self.watch.is_watched() {
                poll.look(&self.connection, &self.watch, || self.heads.forget());
            }
        }
    }

    /// Does a group of calls in one transaction, and only then answers any of them.
    fn perform(&mut self, group: Vec<Waiting>) {
        let done = self.transact(&group);
        self.watch.wake();
        match done {
            Ok(results) => {
                for ((_, reply, _), result) in group.into_iter().zip(results) {
                    let _ = reply.send(result);
                }
            }
            Err(e) => {
                let error = fault(e);
                for (_, reply, _) in group {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// The inner results are refusals of single calls; the outer failure undoes the whole group.
    fn transact(&mut self, group: &[Waiting]) -> rusqlite::Result<Vec<Result<u64>>> {
        let now = (self.clock)();
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut tails = Tails { tx: &tx, partitions: self.partitions, known: HashMap::new() };
        let (mut results, mut ends) = (Vec::with_capacity(group.len()), Vec::new());
        for (work, ..) in group {
            results.push(match work {
                Work::Append(records) => tails.append(records, now.micros())?,
                Work::Commit(group, positions) => Ok(commit(&tx, group, positions)?),
                Work::Park(group, rows) => Ok(parking::park(&tx, group, rows, now.micros())?),
                Work::Create(topic) => Ok(extent::create(&tx, topic, self.partitions)?.into()),
                Work::Retain(retention) => {
                    ends.extend(tails.save()?);
                    Ok(retain::retain(&tx, *retention, now)?)
                }
            });
        }
        ends.extend(tails.save()?);
        tx.commit()?;
        ends.iter().for_each(|(partition, head)| self.heads.advance(partition, *head));
        Ok(results)
    }
}

/// Everything that waits by now, up to a bound.
fn gather(first: Option<Job>, queue: &Receiver<Job>) -> Vec<Waiting> {
    let (mut group, mut total) = (Vec::new(), 0);
    let mut next = first;
    while let Some(job) = next {
        if let Job::Write { work, bytes, _room, reply } = job {
            group.push((work, reply, _room));
            total += bytes;
        }
        next = if total < GROUP_BYTES { queue.try_recv().ok() } else { None };
    }
    group
}

fn commit(connection: &Connection, group: &str, positions: &[Position]) -> rusqlite::Result<u64> {
    let mut upsert = connection.prepare_cached(include_str!("commit.sql"))?;
    for Position { partition, offset } in positions {
        upsert.execute(params![group, partition.topic.as_str(), partition.index, signed(offset.0)])?;
    }
    Ok(0)
}

/// The ends of the partitions that this transaction appends to. Read inside the transaction: another process may have
/// moved them.
struct Tails<'a> {
    tx: &'a Connection,
    partitions: u32,
    known: HashMap<Partition, Extent>,
}

impl Tails<'_> {
    /// Appends one call's records, or refuses the call before anything of it is written.
    fn append(&mut self, records: &[Encoded], now: i64) -> rusqlite::Result<Result<u64>> {
        for record in records {
            if !self.known.contains_key(&record.partition) && !self.find(&record.partition)? {
                let what = format!("the log has no partition {}", record.partition);
                return Ok(Err(Error::new(Code::SETTING_INVALID, what)));
            }
        }
        let sql = "INSERT INTO record (place, appended, kind, body) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = self.tx.prepare_cached(sql)?;
        for record in records {
            let Some(extent) = self.known.get_mut(&record.partition) else { continue };
            extent.latest = extent.latest.max(now);
            insert.execute(params![extent.place(extent.head), extent.latest, record.kind, record.body])?;
            extent.head += 1;
            extent.bytes += record.body.len() as u64;
        }
        Ok(Ok(0))
    }

    /// Reads the end of a partition; a topic that is new is created.
    fn find(&mut self, partition: &Partition) -> rusqlite::Result<bool> {
        extent::create(self.tx, &partition.topic, self.partitions)?;
        let found = extent::find(self.tx, partition)?;
        Ok(found.map(|extent| self.known.insert(partition.clone(), extent)).is_some())
    }

    /// Writes the ends back, and returns them.
    fn save(&mut self) -> rusqlite::Result<Vec<(Partition, u64)>> {
        let mut ends = Vec::with_capacity(self.known.len());
        for (partition, extent) in self.known.drain() {
            extent::save(self.tx, &extent)?;
            ends.push((partition, extent.head));
        }
        Ok(ends)
    }
}
