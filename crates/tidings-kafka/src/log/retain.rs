//! Removing records by hand. Kafka keeps a topic's own retention by itself; this is for those who ask.

use rdkafka::error::KafkaError;
use rdkafka::{Offset as At, TopicPartitionList};
use tidings_core::port::{Log, Read, ReadLimit, Retention};
use tidings_core::{Offset, Partition, Position, Result, Time};

use super::KafkaLog;
use crate::reader::number;

/// Applies a retention to the topics that this log was asked for, and to no other.
pub(super) async fn retain(log: &KafkaLog, retention: Retention) -> Result<u64> {
    let mut removed = 0;
    let partitions =
        log.topics.known().into_iter().flat_map(|(topic, count)| {
            (0..count).map(move |index| Partition { topic: topic.clone(), index })
        });
    let mut left = retention.bytes;
    for partition in partitions {
        let (earliest, head) = log.bounds(&partition).await?;
        let mut keep_from = earliest;
        if let Some(age) = retention.age {
            keep_from = keep_from.max(log.offset_at(&partition, now().minus(age)).await?);
        }
        if let Some(bytes) = &mut left {
            keep_from = keep_from.max(newest(log, &partition, (keep_from, head), bytes).await?);
        }
        if keep_from > earliest {
            removed += remove(log, &partition, earliest, keep_from).await?;
        }
    }
    Ok(removed)
}

/// The earliest record of the newest that fit into `left`, which becomes what is left then.
async fn newest(
    log: &KafkaLog,
    partition: &Partition,
    (from, head): (Offset, Offset),
    left: &mut u64,
) -> Result<Offset> {
    if *left == 0 {
        return Ok(head);
    }
    // Kafka does not tell the sizes of records: they are read, each one with its own size.
    let mut sizes = Vec::new();
    let mut at = Position { partition: partition.clone(), offset: from };
    while at.offset < head {
        let Read::Records(records) = log.read(&at, ReadLimit::default()).await? else { break };
        let Some(last) = records.last().map(|stored| stored.offset) else { break };
        sizes.extend(records.iter().map(|stored| (stored.offset, size(&stored.record))));
        at.offset = last.next();
    }
    let mut keep_from = head;
    for (offset, bytes) in sizes.into_iter().rev() {
        let Some(rest) = left.checked_sub(bytes) else {
            *left = 0;
            break;
        };
        (*left, keep_from) = (rest, offset);
    }
    // With room to spare nothing goes, whatever stands before the first record.
    Ok(if *left > 0 { from } else { keep_from })
}

fn size(record: &tidings_core::port::Record) -> u64 {
    const FIXED: usize = 256;
    let texts = match record {
        tidings_core::port::Record::Event(event) => event.data.len() + event.entity.as_str().len(),
        _ => 0,
    };
    (FIXED + texts) as u64
}

async fn remove(log: &KafkaLog, partition: &Partition, earliest: Offset, before: Offset) -> Result<u64> {
    let what = format!("the oldest records of {partition} cannot be removed");
    let fault = |error: KafkaError| log.context.trouble.fault(what.clone(), &error);
    let topic = log.on_broker(&partition.topic);
    let mut list = TopicPartitionList::new();
    let at = At::Offset(i64::try_from(before.0).unwrap_or(i64::MAX));
    list.add_partition_offset(&topic, number(partition), at).map_err(fault)?;
    let done = log.topics.admin()?.delete_records(&list, &log.topics.options()).await.map_err(fault)?;
    for element in done.elements() {
        element.error().map_err(fault)?;
    }
    Ok(before.0.saturating_sub(earliest.0))
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
