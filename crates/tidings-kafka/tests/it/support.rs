//! A broker, topics of one's own, and events to send.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use services::Service;
use tidings_core::port::{Append, Log, Read, ReadLimit, Record, Stored};
use tidings_core::{Data, Entity, Event, Offset, Partition, Position, Stamp, Time, Topic, Version, Window};
use tidings_kafka::{KafkaLog, KafkaSettings};

/// The shared broker; `None`, with a word why, where tests run without servers.
pub(crate) fn broker() -> Option<String> {
    if services::embedded_only() {
        println!("skipped: it needs Kafka, and TIDINGS_TEST_EMBEDDED is set");
        return None;
    }
    Some(services::address(Service::Kafka).unwrap())
}

/// A name that no other test has, in no other run.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    format!("t{now:x}-{:x}-{}.", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Settings for topics of this test alone, with so many partitions.
pub(crate) fn settings(broker: &str, partitions: u32) -> KafkaSettings {
    let mut settings = KafkaSettings::new(broker);
    settings.prefix = unique();
    settings.topics.partitions = partitions;
    settings
}

pub(crate) fn topic() -> Topic {
    Topic::new("pricing").unwrap()
}

pub(crate) fn at(index: u32, offset: u64) -> Position {
    Position { partition: Partition { topic: topic(), index }, offset: Offset(offset) }
}

pub(crate) fn event(entity: &str, version: u64) -> Event {
    Event {
        id: format!("{entity}#{version}").into(),
        source: "/pricing".into(),
        kind: "pricing.BasePriceChanged".into(),
        entity: Entity::parse(entity).unwrap(),
        stamp: Stamp::of(Version::new(version).unwrap()),
        time: Time::from_micros(1_700_000_000_123_456),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Json(format!("{{\"cents\":{version}}}").into()),
    }
}

pub(crate) fn write(index: u32, event: Event) -> Append {
    Append { partition: Partition { topic: topic(), index }, record: Record::Event(Arc::new(event)) }
}

/// What stands in a partition from an offset on.
pub(crate) async fn records(log: &dyn Log, from: Position) -> Vec<Stored> {
    let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let head = log.bounds(&from.partition).await.unwrap().1;
    let mut at = from;
    let mut all = Vec::new();
    while at.offset < head {
        match log.read(&at, limit).await.unwrap() {
            Read::Records(records) if records.is_empty() => break,
            Read::Records(records) => {
                at.offset = records.last().unwrap().offset.next();
                all.extend(records);
            }
            Read::Gap { resume } => panic!("a gap at {at}, resume {resume}"),
        }
    }
    all
}

pub(crate) fn versions(records: &[Stored]) -> Vec<u64> {
    let event = |stored: &Stored| match &stored.record {
        Record::Event(event) => Some(event.stamp.version.number()),
        _ => None,
    };
    records.iter().filter_map(event).collect()
}

/// A log with its topic, empty.
pub(crate) async fn log(settings: KafkaSettings) -> Arc<KafkaLog> {
    let log = KafkaLog::open(settings).unwrap();
    log.partitions(&topic()).await.unwrap();
    log
}
