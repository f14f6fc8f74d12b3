//! Hears of rebalances, on the thread that polls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset as At, TopicPartitionList};
use tidings_core::{Code, Error, Offset, Partition, Position, Result, Topic};
use tokio::sync::mpsc::UnboundedSender;

use super::seat::Seat;
use crate::client::Context;
use crate::reader::{Witness, Witnesses, offset};

/// What the driver is told.
pub(super) enum Told {
    /// With the number of the assignment.
    Assigned(Vec<Position>, u64),
    Revoked(Vec<Partition>),
    Lost(Vec<Partition>),
    /// Nothing comes after it; why, if not by the driver's wish.
    Left(Option<Error>),
}

pub(super) struct Rebalances {
    pub(super) context: Context,
    pub(super) witnesses: Arc<Witnesses>,
    pub(super) seat: Arc<Seat>,
    pub(super) told: UnboundedSender<Told>,
    pub(super) names: BTreeMap<String, Topic>,
    /// How long others wait for this member to let go.
    pub(super) patience: Duration,
}

impl Rebalances {
    /// The last thing that is told.
    pub(super) fn left(&self) {
        self.tell(Told::Left(None));
    }

    /// Nobody listens once the member is dropped.
    fn tell(&self, told: Told) -> bool {
        self.told.send(told).is_ok()
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<Partition> {
        let elements = list.elements();
        let named = elements.iter().filter_map(|element| {
            let topic = self.names.get(element.topic())?.clone();
            Some(Partition { topic, index: u32::try_from(element.partition()).ok()? })
        });
        named.collect()
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        // From the head, and paused: this client only keeps the seat.
        let _ = list.set_all_offsets(At::End);
        // The client has to hear of it in any case, or it waits for ever.
        let taken = consumer.incremental_assign(list);
        if let Err(error) = taken {
            let what = "a share of the group's work could not be taken";
            return self.fail(Error::new(Code::KAFKA_NOT_READY, what).because(error));
        }
        let _ = consumer.pause(list);
        let partitions = self.partitions(list);
        if partitions.is_empty() {
            return;
        }
        match self.committed(consumer, list, &partitions) {
            Ok(positions) => {
                let number = self.seat.take(&partitions);
                self.tell(Told::Assigned(positions, number));
            }
            Err(error) => self.fail(error),
        }
    }

    /// Without knowing where to begin, or with a share that nobody drives, others do better.
    fn fail(&self, error: Error) {
        self.tell(Told::Left(Some(error)));
        self.seat.leave();
    }

    /// Where the group stands, after every commit of this member's earlier share.
    fn committed(
        &self,
        consumer: &BaseConsumer<Self>,
        list: &TopicPartitionList,
        partitions: &[Partition],
    ) -> Result<Vec<Position>> {
        const ATTEMPTS: u32 = 3;
        let what = "the group's positions cannot be asked for";
        if !self.seat.settle(self.patience) {
            return Err(Error::new(Code::KAFKA_NOT_READY, "an earlier commit is still under way"));
        }
        let mut asked = consumer.committed_offsets(list.clone(), self.patience);
        for _ in 1..ATTEMPTS {
            if asked.is_ok() {
                break;
            }
            asked = consumer.committed_offsets(list.clone(), self.patience);
        }
        let found = asked.map_err(|error| self.context.trouble.fault(what, &error))?;
        let known = self.partitions(&found);
        let elements = found.elements();
        let position = |partition: &Partition| {
            let element = known.iter().position(|known| known == partition).and_then(|at| elements.get(at));
            let at = match element {
                Some(element) => {
                    element.error().map_err(|error| self.context.trouble.fault(what, &error))?;
                    element.offset()
                }
                None => At::Invalid,
            };
            let offset = if let At::Offset(raw) = at { offset(raw) } else { Offset(0) };
            if let Some(before) = element.and_then(Witness::of) {
                self.witnesses.learn(partition, offset, before);
            }
            Ok(Position { partition: partition.clone(), offset })
        };
        partitions.iter().map(position).collect()
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = self.partitions(list);
        if consumer.assignment_lost() {
            self.seat.give_up(&partitions);
            self.tell(Told::Lost(partitions));
        } else if !partitions.is_empty() {
            let released = self.seat.ask_back(&partitions);
            if self.tell(Told::Revoked(partitions.clone())) {
                let _ = released.recv_timeout(self.patience);
            }
            self.seat.stop_asking();
            self.seat.give_up(&partitions);
        }
        // Before anybody else can have them.
        self.seat.settle(self.patience);
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
