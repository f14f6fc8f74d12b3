//! Reading by position.
//!
//! A reader follows one partition from one place and keeps what was fetched ahead. Readers that are not in use wait in
//! a pool, by the place where they go on: the next call from there takes the reader up again, without a question to
//! the brokers. A client can follow a partition only once, so each further reader of the same partition needs another
//! client; there are as many as readers of one partition, at most.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset as At, TopicPartitionList};
use tidings_core::envelope::Limits;
use tidings_core::{Code, Error, Offset, Partition, Position, Result};

use crate::client::{Context, blocking};
use crate::fault::code_of;
use crate::topic::Names;

mod follow;
mod witness;

use follow::Reader;
pub(crate) use follow::Step;
pub(crate) use witness::{Witness, Witnesses};

/// A reader that nobody has used for so long gives its place back.
const IDLE: Duration = Duration::from_secs(30);

/// Between two questions to brokers that are not ready to answer.
const PAUSE: Duration = Duration::from_millis(50);

/// Every reader of a log.
pub(crate) struct Readers {
    pub(crate) asking: Arc<BaseConsumer<Context>>,
    pub(crate) context: Context,
    pub(crate) timeout: Duration,
    pub(crate) names: Names,
    pub(crate) limits: Limits,
    pub(crate) witnesses: Arc<Witnesses>,
    config: ClientConfig,
    most: usize,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    clients: Vec<Arc<Client>>,
    idle: BTreeMap<Partition, Vec<Reader>>,
}

/// A fetching client, and what it follows.
struct Client {
    consumer: Arc<BaseConsumer<Context>>,
    following: Mutex<BTreeSet<Partition>>,
}

/// What stands at a position.
pub(crate) enum Opened {
    /// Records, or the head: this reader tells. The head, if it was just asked for.
    Reader(Box<Lease>, Option<Offset>),
    /// Nothing that could be read.
    Gap(Offset),
}

impl Readers {
    pub(crate) fn new(
        asking: Arc<BaseConsumer<Context>>,
        context: Context,
        timeout: Duration,
        names: Names,
        limits: Limits,
        (config, most): (ClientConfig, usize),
    ) -> Self {
        let witnesses = Arc::default();
        Self { asking, context, timeout, names, limits, witnesses, config, most, pool: Mutex::default() }
    }

    /// The reader that goes on at this position, or a new one.
    pub(crate) async fn open(self: &Arc<Self>, at: &Position) -> Result<Opened> {
        if let Some(reader) = self.lock().take(at) {
            return Ok(Opened::Reader(Lease::of(reader, self), None));
        }
        let (readers, at) = (self.clone(), at.clone());
        let what = format!("{} cannot be read", at.partition);
        // Whoever waited and went away does not take a place from those who stay.
        let wanted = Arc::new(());
        let is_wanted = Arc::downgrade(&wanted);
        // Twice the time: a question to the brokers, then the assignment.
        let opened = blocking(&self.context.trouble, 2 * self.timeout, &what, move || {
            let (earliest, head) = readers.bounds_now(&at.partition)?;
            if at.offset < earliest || at.offset > head {
                return Ok(Opened::Gap(earliest));
            }
            // What stood before it may be gone by now, and with it the proof.
            let before = readers.witnesses.before(&at).filter(|_| earliest < at.offset);
            if is_wanted.strong_count() == 0 {
                return Err(Error::new(Code::STOPPING, "whoever asked is gone"));
            }
            let reader = readers.follow(&at, before)?;
            Ok(Opened::Reader(Lease::of(reader, &readers), Some(head)))
        })
        .await;
        drop(wanted);
        opened
    }

    /// The earliest offset and the head. Blocks.
    pub(crate) fn bounds_now(&self, partition: &Partition) -> Result<(Offset, Offset)> {
        let (topic, index) = (self.names.on_broker(&partition.topic), number(partition));
        let began = Instant::now();
        loop {
            let left = self.timeout.saturating_sub(began.elapsed());
            match self.asking.fetch_watermarks(&topic, index, left) {
                Ok((earliest, head)) => return Ok((offset(earliest), offset(head))),
                // The leader is moving.
                Err(error) if code_of(&error) == Code::KAFKA_NOT_READY && left > PAUSE => {
                    std::thread::sleep(PAUSE);
                }
                Err(error) => {
                    let what = format!("the bounds of {partition} cannot be asked for");
                    return Err(self.context.trouble.fault(what, &error));
                }
            }
        }
    }

    /// The earliest offset and the head.
    pub(crate) async fn bounds(self: &Arc<Self>, partition: &Partition) -> Result<(Offset, Offset)> {
        let (readers, partition) = (self.clone(), partition.clone());
        let what = format!("the bounds of {partition} cannot be asked for");
        blocking(&self.context.trouble, self.timeout, &what, move || readers.bounds_now(&partition)).await
    }

    /// Starts a reader. Blocks.
    fn follow(self: &Arc<Self>, at: &Position, before: Option<Witness>) -> Result<Reader> {
        let client = self.client_for(&at.partition)?;
        let fault = |error| self.context.trouble.fault(format!("{at} cannot be followed"), &error);
        let topic = self.names.on_broker(&at.partition.topic);
        let start = || {
            // The queue comes first, so that no record goes to the client's common one.
            let queue = client.consumer.split_partition_queue(&topic, number(&at.partition));
            let mut list = TopicPartitionList::new();
            let from = at.offset.0 - u64::from(before.is_some() && at.offset.0 > 0);
            let from = At::Offset(i64::try_from(from).unwrap_or(i64::MAX));
            list.add_partition_offset(&topic, number(&at.partition), from).map_err(fault)?;
            client.consumer.incremental_assign(&list).map_err(fault)?;
            queue.ok_or_else(|| Error::new(Code::DEFECT, format!("{at} has no queue")))
        };
        match start() {
            Ok(queue) => {
                let known = (self.witnesses.clone(), before);
                Ok(Reader::new(client, queue, topic.clone(), at.clone(), self.limits, known))
            }
            Err(error) => {
                client.stop(&topic, &at.partition);
                Err(error)
            }
        }
    }

    /// A client that does not follow this partition yet, and from now on does.
    fn client_for(&self, partition: &Partition) -> Result<Arc<Client>> {
        loop {
            let mut pool = self.lock();
            if let Some(free) = pool.clients.iter().find(|client| client.begin(partition)) {
                return Ok(free.clone());
            }
            if pool.clients.len() < self.most {
                let consumer = self.config.create_with_context(self.context.clone());
                let consumer =
                    consumer.map_err(|e| self.context.trouble.fault("Kafka's settings are wrong", &e))?;
                let client = Arc::new(Client { consumer: Arc::new(consumer), following: Mutex::default() });
                client.begin(partition);
                pool.clients.push(client.clone());
                return Ok(client);
            }
            let Some(longest_idle) = pool.take_oldest(partition) else {
                let what = format!("{partition} is being read at {} places already", self.most);
                return Err(Error::new(Code::OVERLOADED, what));
            };
            drop(pool);
            drop(longest_idle);
        }
    }

    fn put_back(&self, mut reader: Reader) {
        reader.touch();
        self.lock().idle.entry(reader.at().partition.clone()).or_default().push(reader);
    }

    /// Serves what the clients say by themselves, and gives back what nobody uses. Called now and then.
    pub(crate) fn keep_house(&self) {
        let mut pool = self.lock();
        let clients = pool.clients.clone();
        let mut gone = Vec::new();
        for idle in pool.idle.values_mut() {
            gone.extend(idle.extract_if(.., |reader| reader.is_idle(IDLE)));
        }
        pool.idle.retain(|_, idle| !idle.is_empty());
        drop(pool);
        drop(gone);
        serve(&self.asking);
        clients.iter().for_each(|client| serve(&client.consumer));
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the context hear what a client says. Every partition has its own queue, so there are no records here.
fn serve(client: &BaseConsumer<Context>) {
    for _ in 0..100 {
        if client.poll(Duration::ZERO).is_none() {
            break;
        }
    }
}

impl Pool {
    fn take(&mut self, at: &Position) -> Option<Reader> {
        let idle = self.idle.get_mut(&at.partition)?;
        let place = idle.iter().position(|reader| reader.at().offset == at.offset)?;
        Some(idle.swap_remove(place))
    }

    fn take_oldest(&mut self, partition: &Partition) -> Option<Reader> {
        let idle = self.idle.get_mut(partition)?;
        let (oldest, _) = idle.iter().enumerate().min_by_key(|(_, reader)| reader.used())?;
        Some(idle.swap_remove(oldest))
    }
}

impl Client {
    fn begin(&self, partition: &Partition) -> bool {
        self.lock().insert(partition.clone())
    }

    fn stop(&self, topic: &str, partition: &Partition) {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, number(partition));
        // It fails only if it is not assigned, which is as good.
        let _ = self.consumer.incremental_unassign(&list);
        self.lock().remove(partition);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Partition>> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        let mut pool = std::mem::take(&mut *self.lock());
        let asking = self.asking.clone();
        // Ending a client waits for its threads.
        std::thread::spawn(move || {
            pool.idle.clear();
            drop((pool, asking));
        });
    }
}

/// A reader in use; goes back to the pool, unless it is given up.
pub(crate) struct Lease {
    reader: Option<Reader>,
    home: Arc<Readers>,
}

impl Lease {
    fn of(reader: Reader, home: &Arc<Readers>) -> Box<Self> {
        Box::new(Self { reader: Some(reader), home: home.clone() })
    }

    pub(crate) fn reader(&mut self) -> Option<&mut Reader> {
        self.reader.as_mut()
    }

    /// It has failed: the next call starts another.
    pub(crate) fn give_up(mut self) {
        let reader = self.reader.take();
        std::thread::spawn(move || drop(reader));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.home.put_back(reader);
        }
    }
}

/// Keeps house until the readers are gone.
pub(crate) fn keep_house(readers: &Arc<Readers>) {
    const EVERY: Duration = Duration::from_millis(200);
    let weak: Weak<Readers> = Arc::downgrade(readers);
    std::thread::spawn(move || {
        loop {
            let began = Instant::now();
            match weak.upgrade() {
                Some(readers) => readers.keep_house(),
                None => return,
            }
            std::thread::sleep(EVERY.saturating_sub(began.elapsed()));
        }
    });
}

pub(crate) fn number(partition: &Partition) -> i32 {
    i32::try_from(partition.index).unwrap_or(i32::MAX)
}

pub(crate) fn offset(raw: i64) -> Offset {
    Offset(u64::try_from(raw).unwrap_or(0))
}
