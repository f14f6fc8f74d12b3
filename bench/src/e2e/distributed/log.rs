//! Kafka as a log whose consumers must not have to park anything.

use std::sync::Arc;

use tidings::{Code, Error, Offset, Partition, Position, Result, Time, Topic};
use tidings_core::port::{Append, Boxed, Log, Parked, Parking, Read, ReadLimit, Retention};
use tidings_kafka::KafkaLog;

/// Refuses to park: no event of a measurement may need it.
pub(super) struct Unparked(pub(super) Arc<KafkaLog>);

impl Parking for Unparked {
    fn park<'a>(&'a self, _: &'a str, parked: &'a [Parked]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let reasons: Vec<_> = parked.iter().map(|parked| parked.reason.to_string()).collect();
            Err(Error::new(Code::DEFECT, format!("events would be parked: {reasons:?}")))
        })
    }

    fn parked<'a>(&'a self, _: &'a str, _: usize) -> Boxed<'a, Result<(Vec<Parked>, u64)>> {
        Box::pin(async { Ok((Vec::new(), 0)) })
    }
}

impl Log for Unparked {
    fn partitions<'a>(&'a self, topic: &'a Topic) -> Boxed<'a, Result<u32>> {
        self.0.partitions(topic)
    }

    fn append<'a>(&'a self, batch: &'a [Append]) -> Boxed<'a, Result<()>> {
        self.0.append(batch)
    }

    fn read<'a>(&'a self, from: &'a Position, limit: ReadLimit) -> Boxed<'a, Result<Read>> {
        self.0.read(from, limit)
    }

    fn bounds<'a>(&'a self, partition: &'a Partition) -> Boxed<'a, Result<(Offset, Offset)>> {
        self.0.bounds(partition)
    }

    fn offset_at<'a>(&'a self, partition: &'a Partition, time: Time) -> Boxed<'a, Result<Offset>> {
        self.0.offset_at(partition, time)
    }

    fn wait<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        self.0.wait(positions)
    }

    fn commit<'a>(&'a self, group: &'a str, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        self.0.commit(group, positions)
    }

    fn committed<'a>(
        &'a self,
        group: &'a str,
        partition: &'a Partition,
    ) -> Boxed<'a, Result<Option<Offset>>> {
        self.0.committed(group, partition)
    }

    fn retain(&self, retention: Retention) -> Boxed<'_, Result<u64>> {
        self.0.retain(retention)
    }
}
