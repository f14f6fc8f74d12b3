//! Sharing the work of a group: the brokers say who has which partitions.
//!
//! Partitions move one by one (cooperative rebalancing): what stays is not interrupted. A partition that is taken away
//! is given back only after its driver has said so, or after a while, so that its last positions can be committed. A
//! commit carries the generation of the membership; the brokers refuse one of a member that has been replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::Offset as At;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use tidings_core::port::{Append, Boxed, Log, Read, ReadLimit, Retention};
use tidings_core::{Code, Error, Offset, Partition, Position, Result, Time, Topic, name};
use tokio::sync::mpsc;

use crate::client::{self, Context};
use crate::log::KafkaLog;

/// What happened to this member's share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These partitions are this member's from now on; begin at these positions, which are the group's committed ones,
    /// or the beginning.
    Assigned(Vec<Position>),
    /// These are being taken away: stop, commit, then [`Member::release`] them. Others wait for that.
    Revoked(Vec<Partition>),
    /// These were taken away already, and somebody else may have them: stop. Commits are refused.
    Lost(Vec<Partition>),
}

/// One member of a group. Dropping it leaves the group.
pub struct Member {
    group: String,
    log: Arc<KafkaLog>,
    seat: Arc<Seat>,
    consumer: Arc<BaseConsumer<Rebalances>>,
    changes: tokio::sync::Mutex<mpsc::UnboundedReceiver<Change>>,
    stop: Option<Sender<()>>,
}

/// What this member holds.
#[derive(Default)]
struct Seat {
    held: Mutex<BTreeSet<Partition>>,
    /// Those being taken away, and whom to tell once they are released.
    leaving: Mutex<Option<(BTreeSet<Partition>, Sender<()>)>>,
}

impl KafkaLog {
    /// Joins a group that shares these topics. The topics must exist: ask for their partitions first.
    ///
    /// Errors: [`Code::SETTING_INVALID`], [`Code::NAME_INVALID`].
    pub fn join(self: &Arc<Self>, group: &str, topics: &[Topic]) -> Result<Member> {
        name::check("group", group)?;
        let seat = Arc::<Seat>::default();
        let (told, changes) = mpsc::unbounded_channel();
        let names = topics.iter().map(|topic| (self.on_broker(topic), topic.clone())).collect();
        let patience = self.settings().timeout;
        let context =
            Rebalances { context: self.context().clone(), seat: seat.clone(), told, names, patience };
        let fault = |what: &str, error: &KafkaError| self.context().trouble.fault(what, error);
        let consumer = client::grouping(self.settings(), group).create_with_context(context);
        let consumer: Arc<BaseConsumer<Rebalances>> =
            Arc::new(consumer.map_err(|error| fault("Kafka's settings are wrong", &error))?);
        let wanted: Vec<_> = topics.iter().map(|topic| self.on_broker(topic)).collect();
        let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
        consumer.subscribe(&wanted).map_err(|error| fault("the topics cannot be followed", &error))?;
        let (stop, stopped) = channel();
        let polled = consumer.clone();
        std::thread::spawn(move || poll(&polled, &stopped));
        let (group, changes) = (group.to_owned(), tokio::sync::Mutex::new(changes));
        Ok(Member { group, log: self.clone(), seat, consumer, changes, stop: Some(stop) })
    }
}

/// Rebalances happen while somebody polls. Nothing is fetched here: drivers read by position.
fn poll(consumer: &BaseConsumer<Rebalances>, stopped: &Receiver<()>) {
    const EVERY: Duration = Duration::from_millis(50);
    while !matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected)) {
        let _ = consumer.poll(EVERY);
    }
}

impl Member {
    /// The next change of this member's share. Dropping it is safe: no change is lost.
    ///
    /// Errors: [`Code::STOPPING`] once the group was left.
    pub async fn changed(&self) -> Result<Change> {
        let mut changes = self.changes.lock().await;
        let Some(change) = changes.recv().await else {
            return Err(Error::new(Code::STOPPING, format!("the group {} was left", self.group)));
        };
        Ok(change)
    }

    /// The partitions that this member holds, also those being taken away.
    #[must_use]
    pub fn held(&self) -> Vec<Partition> {
        let mut held: Vec<_> = self.seat.lock().iter().cloned().collect();
        held.extend(self.seat.leaving().iter().flat_map(|(leaving, _)| leaving.iter().cloned()));
        held
    }

    /// The driver of these partitions has stopped and committed: they may go to others.
    pub fn release(&self, partitions: &[Partition]) {
        let mut leaving = self.seat.leaving();
        if let Some((left, done)) = &mut *leaving {
            left.retain(|partition| !partitions.contains(partition));
            if left.is_empty() {
                let _ = done.send(());
                *leaving = None;
            }
        }
    }

    /// Records positions of partitions that this member holds.
    ///
    /// Errors: [`Code::FENCED`] if it does not hold one of them any more; then nothing was recorded.
    pub async fn commit(&self, positions: &[Position]) -> Result<()> {
        if positions.is_empty() {
            return Ok(());
        }
        let held = self.held();
        if let Some(lost) = positions.iter().find(|position| !held.contains(&position.partition)) {
            let what = format!("{} is no longer this member's in the group {}", lost.partition, self.group);
            return Err(Error::new(Code::FENCED, what));
        }
        self.log.commit_by(&self.group, self.consumer.clone(), self.log.listed(positions)?).await
    }

    /// The log that it reads.
    #[must_use]
    pub fn log(&self) -> &Arc<KafkaLog> {
        &self.log
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop = None;
        *self.seat.leaving() = None;
        let consumer = self.consumer.clone();
        // Leaving the group waits for an answer.
        std::thread::spawn(move || {
            consumer.unsubscribe();
            drop(consumer);
        });
    }
}

/// A driver takes a member for its log: positions are committed as the member that it is.
impl Log for Member {
    fn partitions<'a>(&'a self, topic: &'a Topic) -> Boxed<'a, Result<u32>> {
        self.log.partitions(topic)
    }

    fn append<'a>(&'a self, batch: &'a [Append]) -> Boxed<'a, Result<()>> {
        self.log.append(batch)
    }

    fn read<'a>(&'a self, from: &'a Position, limit: ReadLimit) -> Boxed<'a, Result<Read>> {
        self.log.read(from, limit)
    }

    fn bounds<'a>(&'a self, partition: &'a Partition) -> Boxed<'a, Result<(Offset, Offset)>> {
        self.log.bounds(partition)
    }

    fn offset_at<'a>(&'a self, partition: &'a Partition, time: Time) -> Boxed<'a, Result<Offset>> {
        self.log.offset_at(partition, time)
    }

    fn wait<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        self.log.wait(positions)
    }

    fn commit<'a>(&'a self, group: &'a str, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        if group == self.group {
            Box::pin(Self::commit(self, positions))
        } else {
            self.log.commit(group, positions)
        }
    }

    fn committed<'a>(
        &'a self,
        group: &'a str,
        partition: &'a Partition,
    ) -> Boxed<'a, Result<Option<Offset>>> {
        self.log.committed(group, partition)
    }

    fn retain(&self, retention: Retention) -> Boxed<'_, Result<u64>> {
        self.log.retain(retention)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("group", &self.group)
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Partition>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leaving(&self) -> MutexGuard<'_, Option<(BTreeSet<Partition>, Sender<()>)>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears of rebalances, on the thread that polls.
struct Rebalances {
    context: Context,
    seat: Arc<Seat>,
    told: mpsc::UnboundedSender<Change>,
    names: BTreeMap<String, Topic>,
    /// How long others wait for this member to let go.
    patience: Duration,
}

impl Rebalances {
    fn partitions(&self, list: &TopicPartitionList) -> Vec<Partition> {
        let elements = list.elements();
        let named = elements.iter().filter_map(|element| {
            let topic = self.names.get(element.topic())?.clone();
            Some(Partition { topic, index: u32::try_from(element.partition()).ok()? })
        });
        named.collect()
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        let partitions = self.partitions(list);
        let positions = self.committed(consumer, list, &partitions);
        // From the head, and paused: this client only keeps the seat.
        let _ = list.set_all_offsets(At::End);
        if consumer.incremental_assign(list).is_err() {
            return;
        }
        let _ = consumer.pause(list);
        self.seat.lock().extend(partitions);
        if !positions.is_empty() {
            let _ = self.told.send(Change::Assigned(positions));
        }
    }

    /// Where the group stands. What cannot be asked for now begins at the beginning: it is applied again, never missed.
    fn committed(
        &self,
        consumer: &BaseConsumer<Self>,
        list: &TopicPartitionList,
        partitions: &[Partition],
    ) -> Vec<Position> {
        let ask = || consumer.committed_offsets(list.clone(), self.patience).ok();
        let found = ask().or_else(ask);
        let elements = found.as_ref().map(TopicPartitionList::elements).unwrap_or_default();
        let known = self.partitions(found.as_ref().unwrap_or(list));
        let position = |partition: &Partition| {
            let place = known.iter().position(|known| known == partition);
            let at = place.and_then(|place| elements.get(place)).map(|element| element.offset());
            let offset = match at {
                Some(At::Offset(raw)) => crate::reader::offset(raw),
                _ => Offset(0),
            };
            Position { partition: partition.clone(), offset }
        };
        partitions.iter().map(position).collect()
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = self.partitions(list);
        self.seat.lock().retain(|held| !partitions.contains(held));
        if consumer.assignment_lost() {
            let _ = self.told.send(Change::Lost(partitions));
        } else if !partitions.is_empty() {
            let (done, released) = channel();
            *self.seat.leaving() = Some((partitions.iter().cloned().collect(), done));
            if self.told.send(Change::Revoked(partitions)).is_ok() {
                let _ = released.recv_timeout(self.patience);
            }
            *self.seat.leaving() = None;
        }
        let _ = consumer.incremental_unassign(list);
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        }
    }
}
