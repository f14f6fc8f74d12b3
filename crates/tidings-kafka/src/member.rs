//! Sharing the work of a group: the brokers say who has which partitions.
//!
//! Partitions move one by one (cooperative rebalancing): what stays is not interrupted. A partition that is taken away
//! is given back only after its driver has said so, or after a while, so that its last positions can be committed. A
//! commit carries the generation of the membership; the brokers refuse one of a member that has been replaced.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use tidings_core::port::{
    Append, Boxed, Change, Log, Membership, Parked, Parking, Read, ReadLimit, Retention,
};
use tidings_core::{Code, Error, Offset, Partition, Position, Result, Time, Topic, name};
use tokio::sync::mpsc;

use crate::client::{self, blocking};
use crate::log::KafkaLog;

mod rebalance;
mod seat;

use rebalance::{Rebalances, Told};
use seat::Seat;

/// One member of a group. Dropping it leaves the group.
pub struct Member {
    group: String,
    log: Arc<KafkaLog>,
    seat: Arc<Seat>,
    client: Client,
    changes: tokio::sync::Mutex<mpsc::UnboundedReceiver<Told>>,
}

/// The client, until the group was left.
type Client = Arc<Mutex<Option<Arc<BaseConsumer<Rebalances>>>>>;

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
        let context = Rebalances {
            context: self.context().clone(),
            witnesses: self.witnesses().clone(),
            seat: seat.clone(),
            told,
            names,
            patience,
        };
        let fault = |what: &str, error: &KafkaError| self.context().trouble.fault(what, error);
        let consumer = client::grouping(self.settings(), group).create_with_context(context);
        let consumer: Arc<BaseConsumer<Rebalances>> =
            Arc::new(consumer.map_err(|error| fault("Kafka's settings are wrong", &error))?);
        let wanted: Vec<_> = topics.iter().map(|topic| self.on_broker(topic)).collect();
        let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
        consumer.subscribe(&wanted).map_err(|error| fault("the topics cannot be followed", &error))?;
        let client: Client = Arc::new(Mutex::new(Some(consumer)));
        let (polled, kept) = (client.clone(), seat.clone());
        std::thread::spawn(move || poll(&polled, &kept));
        let (group, changes) = (group.to_owned(), tokio::sync::Mutex::new(changes));
        Ok(Member { group, log: self.clone(), seat, client, changes })
    }
}

/// Rebalances happen while somebody polls. Nothing is fetched here: drivers read by position.
fn poll(client: &Client, seat: &Seat) {
    const EVERY: Duration = Duration::from_millis(50);
    while !seat.has_left() {
        let Some(consumer) = lock(client).clone() else { return };
        let _ = consumer.poll(EVERY);
    }
    // Its end leaves the group, and waits for an answer.
    let last = lock(client).take();
    drop(last);
}

impl Member {
    /// The partitions that this member holds, also those being taken away.
    #[must_use]
    pub fn held(&self) -> Vec<Partition> {
        self.seat.held()
    }

    /// The log that it reads.
    #[must_use]
    pub fn log(&self) -> &Arc<KafkaLog> {
        &self.log
    }

    async fn commit_held(&self, positions: &[Position]) -> Result<()> {
        if positions.is_empty() {
            return Ok(());
        }
        let group = self.group.clone();
        let fenced = move |what: &str| Error::new(Code::FENCED, format!("{what} in the group {group}"));
        let tickets = self.seat.tickets(positions.iter().map(|position| &position.partition));
        let tickets = tickets.map_err(|lost| fenced(&format!("{lost} is no longer this member's")))?;
        let client = lock(&self.client).clone();
        let Some(client) = client else { return Err(fenced("this member is no longer")) };
        let (seat, list) = (self.seat.clone(), self.log.listed(positions)?);
        let trouble = self.log.context().trouble.clone();
        let what = format!("the positions of the group {} cannot be committed", self.group);
        let timeout = self.patience();
        blocking(&self.log.context().trouble, timeout, &what.clone(), move || {
            let Some(_in_flight) = seat.begin(&tickets) else {
                return Err(fenced("a partition was taken away meanwhile"));
            };
            match client.commit(&list, CommitMode::Sync) {
                Ok(()) => Ok(()),
                // The group moved on while this was under way, and the partitions stayed: the next try says so.
                Err(error) if trouble.fault("", &error).code() == Code::FENCED && seat.holds(&tickets) => {
                    Err(Error::new(Code::KAFKA_NOT_READY, what).because(error))
                }
                Err(error) => Err(trouble.fault(what, &error)),
            }
        })
        .await
    }
}

impl Membership for Member {
    fn changed(&self) -> Boxed<'_, Result<Change>> {
        Box::pin(async move {
            let mut changes = self.changes.lock().await;
            match changes.recv().await {
                Some(Told::Assigned(positions, number)) => {
                    self.seat.hear(positions.iter().map(|position| &position.partition), number);
                    Ok(Change::Assigned(positions))
                }
                Some(Told::Revoked(partitions)) => Ok(Change::Revoked(partitions)),
                Some(Told::Lost(partitions)) => Ok(Change::Lost(partitions)),
                left => {
                    changes.close();
                    let error = Error::new(Code::STOPPING, format!("the group {} was left", self.group));
                    Err(match left {
                        Some(Told::Left(Some(why))) => error.because(why),
                        _ => error,
                    })
                }
            }
        })
    }

    fn release(&self, partitions: &[Partition]) {
        self.seat.release(partitions);
    }

    fn commit<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        Box::pin(self.commit_held(positions))
    }

    fn patience(&self) -> Duration {
        self.log.settings().timeout
    }

    fn leave(&self) {
        self.seat.leave();
        if let Some(client) = &*lock(&self.client) {
            client.context().left();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            Box::pin(self.commit_held(positions))
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

impl Parking for Member {
    fn park<'a>(&'a self, group: &'a str, parked: &'a [Parked]) -> Boxed<'a, Result<()>> {
        self.log.park(group, parked)
    }

    fn parked<'a>(&'a self, group: &'a str, limit: usize) -> Boxed<'a, Result<(Vec<Parked>, u64)>> {
        self.log.parked(group, limit)
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

#[cfg(test)]
mod tests;
