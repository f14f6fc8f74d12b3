//! One partition, followed from one place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset as At;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use tidings_core::envelope::Limits;
use tidings_core::port::{ReadLimit, Stored};
use tidings_core::{Offset, Position};
use tokio::sync::Notify;

use super::{Client, Context, Witness, Witnesses, number, offset};
use crate::codec;

/// Follows a partition.
pub(crate) struct Reader {
    client: Arc<Client>,
    queue: PartitionQueue<Context>,
    topic: String,
    at: Position,
    limits: Limits,
    witnesses: Arc<Witnesses>,
    /// What has to stand before the position; it comes first.
    before: Option<Witness>,
    /// Taken from the queue by those who wait, for the one who reads.
    ahead: VecDeque<(Stored, Witness)>,
    failed: Option<KafkaError>,
    arrived: Arc<Notify>,
    used: Instant,
}

/// What a look into the queue has found.
pub(crate) enum Step {
    /// A record, and what it is known by.
    Record(Stored, Witness),
    /// The position is no longer there.
    Gone,
    /// The client has failed.
    Failed(KafkaError),
    /// Nothing yet.
    Nothing,
}

impl Reader {
    pub(super) fn new(
        client: Arc<Client>,
        mut queue: PartitionQueue<Context>,
        topic: String,
        at: Position,
        limits: Limits,
        (witnesses, before): (Arc<Witnesses>, Option<Witness>),
    ) -> Self {
        let arrived = Arc::<Notify>::default();
        let wake = arrived.clone();
        queue.set_nonempty_callback(move || wake.notify_one());
        let (ahead, failed, used) = (VecDeque::new(), None, Instant::now());
        Self { client, queue, topic, at, limits, witnesses, before, ahead, failed, arrived, used }
    }

    /// Where it goes on.
    pub(crate) fn at(&self) -> &Position {
        &self.at
    }

    pub(super) fn touch(&mut self) {
        self.used = Instant::now();
    }

    pub(super) fn used(&self) -> Instant {
        self.used
    }

    pub(super) fn is_idle(&self, limit: Duration) -> bool {
        self.used.elapsed() > limit
    }

    /// Resolves after something has come into the queue since it was last found empty.
    pub(crate) fn arrived(&self) -> Arc<Notify> {
        self.arrived.clone()
    }

    /// Whether there is something to read, if only a failure.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.used = Instant::now();
        if self.ahead.is_empty() && self.failed.is_none() {
            match self.next_in_queue() {
                Step::Record(stored, witness) => self.ahead.push_back((stored, witness)),
                Step::Gone => self.failed = Some(gone()),
                Step::Failed(error) => self.failed = Some(error),
                Step::Nothing => return false,
            }
        }
        true
    }

    /// The records that are there, up to the limits; the step after which there was none.
    pub(crate) fn take(&mut self, limit: ReadLimit) -> (Vec<Stored>, Step) {
        self.used = Instant::now();
        let mut records = Vec::new();
        let mut bytes = 0_usize;
        let mut last = None;
        while records.len() < limit.records && (records.is_empty() || bytes < limit.bytes) {
            match self.step() {
                Step::Record(stored, witness) => {
                    bytes = bytes.saturating_add(witness.bytes);
                    last = Some(witness);
                    self.at.offset = stored.offset.next();
                    records.push(stored);
                }
                // What was read comes first; the failure stays for the next call.
                Step::Gone if !records.is_empty() => {
                    self.failed = Some(gone());
                    break;
                }
                Step::Failed(error) if !records.is_empty() => {
                    self.failed = Some(error);
                    break;
                }
                step if records.is_empty() => return (records, step),
                _ => break,
            }
        }
        if let Some(last) = last {
            self.witnesses.learn(&self.at.partition, self.at.offset, last);
        }
        (records, Step::Nothing)
    }

    /// Up to where it is known that there is no further record: what transactions leave behind is passed over.
    pub(crate) fn passed(&self) -> Offset {
        let positions = self.client.consumer.position().ok();
        let found =
            positions.as_ref().and_then(|list| list.find_partition(&self.topic, number(&self.at.partition)));
        match found.map(|found| found.offset()) {
            Some(At::Offset(raw)) => offset(raw).max(self.at.offset),
            _ => self.at.offset,
        }
    }

    fn step(&mut self) -> Step {
        if let Some((stored, witness)) = self.ahead.pop_front() {
            return Step::Record(stored, witness);
        }
        match self.failed.take() {
            Some(error) => sort(error),
            None => self.next_in_queue(),
        }
    }

    fn next_in_queue(&mut self) -> Step {
        loop {
            return match self.queue.poll(Duration::ZERO) {
                None => Step::Nothing,
                Some(Ok(message)) => {
                    let at = offset(message.offset());
                    let place = Position { partition: self.at.partition.clone(), offset: at };
                    let (record, bytes) = codec::decode(&message, &self.limits, &place);
                    let millis = message.timestamp().to_millis().unwrap_or(0);
                    let witness = Witness { millis, bytes };
                    if let Some(expected) = self.before.take() {
                        if expected == witness && at.next() == self.at.offset {
                            continue;
                        }
                        return Step::Gone;
                    }
                    Step::Record(Stored { offset: at, record }, witness)
                }
                // The end is where the next record will come.
                Some(Err(KafkaError::PartitionEOF(_))) => continue,
                Some(Err(error)) => match sort(error) {
                    Step::Nothing => continue,
                    step => step,
                },
            };
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.client.stop(&self.topic, &self.at.partition);
    }
}

fn gone() -> KafkaError {
    KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)
}

/// What an error of the queue means for the reader. The client mends lost connections by itself.
fn sort(error: KafkaError) -> Step {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation,
        ) => Step::Gone,
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable,
        ) => Step::Nothing,
        _ => Step::Failed(error),
    }
}
