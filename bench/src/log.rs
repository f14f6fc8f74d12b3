//! The log over Kafka, beside the bare client: the same messages, the same settings, the same broker.

pub(crate) mod bare;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use services::Kafka;
use tidings_core::envelope::{Limits, decode_message};
use tidings_core::port::{Append, Log, Read, ReadLimit, Record};
use tidings_core::{Data, Entity, Event, Offset, Partition, Position, Stamp, Time, Version, Window};
use tidings_kafka::{KafkaLog, KafkaSettings};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::measure::{Scale, contender, process_cpu, runtime, take_turns};
use crate::postgres::{KIND, topic};
use crate::report::{Report, Target};

pub(crate) const PARTITIONS: u32 = 4;
/// Events in one append, as the relay has them.
const BATCH: usize = 1024;
const ENTITIES: usize = 5000;
/// What is read is more than what is written in a round: a reader has to begin, too.
const COPIES: usize = 4;
const SHARE: Target = Target::RatioAtLeast(0.7);

pub(crate) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let kafka = Kafka::start(&[])?;
    report.version("librdkafka", &rdkafka::util::get_rdkafka_version().1);
    report.section("Kafka: events of 300 bytes, 4 partitions");
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let mut settings = KafkaSettings::new(kafka.bootstrap());
    settings.topics.partitions = PARTITIONS;
    let log = KafkaLog::open(settings.clone())?;
    runtime.block_on(log.partitions(&topic()?))?;
    let number = scale.of(120_000, 30_000);
    report.note(format!("{number} events are written in a round, {} are read", COPIES * number));
    let events = (0..number).map(event).collect::<Result<Vec<_>>>()?;
    produce(report, scale, &runtime, &log, (&settings.brokers, &events))?;
    settings.prefix = "read-".to_owned();
    consume(report, scale, &runtime, &settings, &events)
}

fn event(number: usize) -> Result<Event> {
    let version = u64::try_from(1 + number / ENTITIES)?;
    let version = Version::new(version).context("a version is out of range")?;
    Ok(Event {
        id: format!("0190a5d0-0000-7000-8000-{number:012}").into(),
        source: "/pricing".into(),
        kind: KIND.into(),
        entity: Entity::new("price", &format!("SKU-{}", number % ENTITIES))?,
        stamp: Stamp::of(version),
        time: Time::from_micros(1_700_000_000_123_456),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Json(format!("{{\"text\":\"{}\"}}", "x".repeat(280)).into()),
    })
}

/// Rates by the clock, and microseconds of this process per event.
#[derive(Default)]
struct Used(RefCell<Vec<f64>>);

impl Used {
    fn rate(&self, events: usize, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        let (cpu, start) = (process_cpu(), Instant::now());
        work()?;
        let took = start.elapsed();
        self.0.borrow_mut().push((process_cpu() - cpu).as_secs_f64() * 1e6 / events as f64);
        Ok(events as f64 / took.as_secs_f64())
    }

    /// Without the warming round.
    fn samples(&self) -> Vec<f64> {
        self.0.borrow().iter().skip(1).copied().collect()
    }
}

fn produce(
    report: &mut Report,
    scale: Scale,
    runtime: &Runtime,
    log: &Arc<KafkaLog>,
    (brokers, events): (&str, &[Event]),
) -> Result<()> {
    let producer = bare::producer(brokers, "0")?;
    let topic = topic()?;
    let place = move |number: usize| Partition { topic: topic.clone(), index: bare::place(number) };
    let append = |(number, event): (usize, &Event)| Append {
        partition: place(number),
        record: Record::Event(Arc::new(event.clone())),
    };
    let appends: Vec<_> = events.iter().enumerate().map(append).collect();
    let batches: Arc<Vec<Vec<Append>>> = Arc::new(appends.chunks(BATCH).map(<[Append]>::to_vec).collect());
    let (plain, one, four) = (Used::default(), Used::default(), Used::default());
    let count = events.len();
    let figures = take_turns(
        scale.of(5, 1),
        &mut [
            contender(|| plain.rate(count, || bare::produce(&producer, "pricing", events))),
            contender(|| one.rate(count, || runtime.block_on(append_all(log, &batches, 1)))),
            contender(|| four.rate(count, || runtime.block_on(append_all(log, &batches, 4)))),
        ],
    )?;
    // Each of the three in each round, and in the one that warms up.
    let (kept, sent) = (runtime.block_on(kept(log))?, (3 * (scale.of(5, 1) + 1) * count) as u64);
    if kept != sent {
        bail!("{kept} records are there of {sent}");
    }
    let [bare, single, several] = figures.as_slice() else { bail!("a contender is missing") };
    let limit = ("bare rdkafka", bare.as_slice());
    report.versus("log/produce/one-append-at-a-time", "events/s", single, limit, Some(SHARE));
    report.versus("log/produce/four-at-a-time", "events/s", several, limit, Some(SHARE));
    let limit = ("bare rdkafka", &*plain.samples());
    report.versus("log/produce/one-append-at-a-time/cpu", "us/event", &one.samples(), limit, None);
    report.versus("log/produce/four-at-a-time/cpu", "us/event", &four.samples(), limit, None);
    Ok(())
}

/// How many records there are.
pub(crate) async fn kept(log: &KafkaLog) -> Result<u64> {
    let mut records = 0;
    for index in 0..log.partitions(&topic()?).await? {
        let (first, end) = log.bounds(&Partition { topic: topic()?, index }).await?;
        records += end.0 - first.0;
    }
    Ok(records)
}

async fn append_all(log: &Arc<KafkaLog>, batches: &Arc<Vec<Vec<Append>>>, writers: usize) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for _ in 0..writers {
        let (log, batches, next) = (log.clone(), batches.clone(), next.clone());
        running.spawn(async move {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                log.append(batch).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

fn consume(
    report: &mut Report,
    scale: Scale,
    runtime: &Runtime,
    settings: &KafkaSettings,
    events: &[Event],
) -> Result<()> {
    let (name, brokers) = (format!("{}pricing", settings.prefix), &settings.brokers);
    let log = KafkaLog::open(settings.clone())?;
    runtime.block_on(log.partitions(&topic()?))?;
    drop(log);
    let producer = bare::producer(brokers, "0")?;
    (0..COPIES).try_for_each(|_| bare::produce(&producer, &name, events))?;
    let count = COPIES * events.len();
    let (plain, decoded, ours) = (Used::default(), Used::default(), Used::default());
    let figures = take_turns(
        scale.of(5, 1),
        &mut [
            contender(|| plain.rate(count, || bare::consume(brokers, &name, count, |_, _| Ok(())))),
            contender(|| decoded.rate(count, || bare::consume(brokers, &name, count, decode))),
            contender(|| ours.rate(count, || runtime.block_on(read_all(settings, count)))),
        ],
    )?;
    let [bare, with_events, lanes] = figures.as_slice() else { bail!("a contender is missing") };
    report.versus("log/consume", "events/s", lanes, ("bare rdkafka", bare), Some(SHARE));
    let limit = ("bare rdkafka, each message decoded to an event", with_events.as_slice());
    report.versus("log/consume/decoded", "events/s", lanes, limit, None);
    let limit = ("bare rdkafka", &*plain.samples());
    report.versus("log/consume/cpu", "us/event", &ours.samples(), limit, None);
    let limit = ("bare rdkafka, each message decoded to an event", &*decoded.samples());
    report.versus("log/consume/decoded/cpu", "us/event", &ours.samples(), limit, None);
    Ok(())
}

fn decode(headers: &[(&str, &[u8])], payload: &[u8]) -> Result<()> {
    match decode_message(headers.iter().copied(), payload, &Limits::default()) {
        Ok(_) => Ok(()),
        Err(error) => bail!("a message is no event: {error:?}"),
    }
}

/// Each partition by a reader of its own, as a consumer does.
async fn read_all(settings: &KafkaSettings, count: usize) -> Result<()> {
    let log = KafkaLog::open(settings.clone())?;
    let each = u64::try_from(count)? / u64::from(PARTITIONS);
    let mut lanes = JoinSet::new();
    for index in 0..PARTITIONS {
        let (log, topic) = (log.clone(), topic()?);
        lanes.spawn(async move {
            let mut at = Position { partition: Partition { topic, index }, offset: Offset(0) };
            let mut came = 0;
            while at.offset.0 < each {
                let limit = ReadLimit::default();
                let Read::Records(records) = log.read(&at, limit).await? else { bail!("a gap") };
                came += records.iter().filter(|read| matches!(read.record, Record::Event(_))).count() as u64;
                match records.last() {
                    Some(last) => at.offset = last.offset.next(),
                    None => tokio::time::timeout(Duration::from_secs(60), log.wait(&[at.clone()])).await??,
                }
            }
            if came != each {
                bail!("{came} events came of {each}");
            }
            Ok(())
        });
    }
    while let Some(ended) = lanes.join_next().await {
        ended??;
    }
    Ok(())
}
