//! Against the bare client: the same messages, the same settings, the same broker, in turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Offset as At, TopicPartitionList};
use tidings_core::Event;
use tidings_core::envelope::{Limits, decode_message, encode_binary};
use tidings_core::port::{Append, Log, Read, ReadLimit};
use tidings_kafka::{KafkaLog, KafkaSettings};

use crate::support::{at, broker, event, log, settings, topic, write};

const EVENTS: u64 = 120_000;
const PARTITIONS: u32 = 4;
const BATCH: usize = 1024;
const ROUNDS: usize = 5;

fn events() -> Vec<Event> {
    let make = |number: u64| {
        let mut event = event(&format!("price/SKU-{}", number % 5000), 1 + number / 5000);
        event.data = tidings_core::Data::Json(format!("{{\"text\":\"{}\"}}", "x".repeat(280)).into());
        event
    };
    (0..EVENTS).map(make).collect()
}

fn place(number: usize) -> u32 {
    (number % PARTITIONS as usize) as u32
}

#[derive(Default)]
struct Acks(AtomicU64);

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok());
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The settings by which the log writes.
fn bare_producer(broker: &str) -> ThreadedProducer<Acks> {
    let mut config = ClientConfig::new();
    for (key, value) in [
        ("bootstrap.servers", broker),
        ("enable.idempotence", "true"),
        ("linger.ms", "0"),
        ("socket.nagle.disable", "true"),
        ("batch.size", "1000000"),
        ("batch.num.messages", "10000"),
        ("queue.buffering.max.messages", "200000"),
        ("queue.buffering.max.kbytes", "16384"),
    ] {
        config.set(key, value);
    }
    config.create_with_context(Acks::default()).unwrap()
}

fn bare_produce(producer: &ThreadedProducer<Acks>, name: &str, events: &[Event]) -> Duration {
    let acks = producer.context();
    acks.0.store(0, Ordering::Relaxed);
    let began = Instant::now();
    for (number, event) in events.iter().enumerate() {
        let message = encode_binary(event);
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for (name, value) in &message.headers {
            headers = headers.insert(Header { key: name, value: Some(value.as_ref()) });
        }
        let mut record = BaseRecord::<str, [u8]>::to(name)
            .partition(place(number) as i32)
            .key(event.entity.as_str())
            .payload(message.body)
            .headers(headers);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            std::thread::yield_now();
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    assert_eq!(acks.0.load(Ordering::Relaxed), events.len() as u64);
    began.elapsed()
}

async fn ours_produce(log: &Arc<KafkaLog>, batches: &[Vec<Append>], writers: usize) -> Duration {
    let began = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let write = async || {
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            log.append(batch).await.unwrap();
        }
    };
    match writers {
        1 => write().await,
        _ => {
            tokio::join!(write(), write(), write(), write());
        }
    }
    began.elapsed()
}

fn bare_consume(broker: &str, name: &str, count: u64, decodes: bool) -> Duration {
    let mut config = ClientConfig::new();
    for (key, value) in [
        ("bootstrap.servers", broker),
        ("group.id", "bare"),
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_committed"),
        ("check.crcs", "true"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.queue.backoff.ms", "5"),
        ("fetch.message.max.bytes", "1032768"),
        ("fetch.max.bytes", "4194304"),
        ("queued.max.messages.kbytes", "4096"),
    ] {
        config.set(key, value);
    }
    let began = Instant::now();
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    for index in 0..PARTITIONS {
        list.add_partition_offset(name, index as i32, At::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut bytes = 0;
    for _ in 0..count {
        let message = consumer.poll(Duration::from_secs(60)).unwrap().unwrap();
        bytes += message.payload().unwrap().len();
        let headers = message.headers().unwrap();
        if decodes {
            let found: Vec<_> = headers.iter().map(|h| (h.key, h.value.unwrap_or_default())).collect();
            let event = decode_message(found.iter().copied(), message.payload().unwrap(), &Limits::default());
            assert!(event.is_ok());
            continue;
        }
        bytes += headers.iter().map(|header| header.value.map_or(0, <[u8]>::len)).sum::<usize>();
    }
    assert!(bytes > 0 || decodes);
    began.elapsed()
}

async fn ours_consume(settings: &KafkaSettings, count: u64) -> Duration {
    let began = Instant::now();
    let log = KafkaLog::open(settings.clone()).unwrap();
    let lanes: Vec<_> = (0..PARTITIONS)
        .map(|index| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut at = at(index, 0);
                while at.offset.0 < count / u64::from(PARTITIONS) {
                    let Read::Records(records) = log.read(&at, ReadLimit::default()).await.unwrap() else {
                        panic!("a gap")
                    };
                    at.offset = records.last().unwrap().offset.next();
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    began.elapsed()
}

fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// What this process has used of the processors.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = after.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

/// Rates by the clock, and microseconds of processor time per event.
struct Rates(Vec<f64>, Vec<f64>);

impl Rates {
    fn add(&mut self, count: u64, took: Duration, before: Duration) {
        self.0.push(rate(count, took));
        self.1.push((cpu() - before).as_secs_f64() * 1e6 / count as f64);
    }

    fn show(&self, what: &str, bare: &Self) {
        let (rate, used) = (median(self.0.clone()), median(self.1.clone()));
        let (whole, least) = (rate / median(bare.0.clone()), median(bare.1.clone()) / used);
        println!(
            "{what}: {rate:.0}/s ({whole:.2}x by the clock), {used:.2} us of processor each ({least:.2}x)"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement; run it in release"]
async fn produce_against_the_bare_client() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, PARTITIONS);
    let name = format!("{}{}", settings.prefix, topic());
    let ours = log(settings.clone()).await;
    let bare = bare_producer(&broker);
    let events = events();
    let appends: Vec<_> =
        events.iter().enumerate().map(|(number, event)| write(place(number), event.clone())).collect();
    let batches: Vec<Vec<Append>> = appends.chunks(BATCH).map(<[Append]>::to_vec).collect();
    let [mut plain, mut one, mut four] = [const { Rates(Vec::new(), Vec::new()) }; 3];
    for _ in 0..ROUNDS {
        let before = cpu();
        plain.add(EVENTS, bare_produce(&bare, &name, &events), before);
        let before = cpu();
        one.add(EVENTS, ours_produce(&ours, &batches, 1).await, before);
        let before = cpu();
        four.add(EVENTS, ours_produce(&ours, &batches, 4).await, before);
    }
    plain.show("produce, bare", &plain);
    one.show(&format!("produce, appends of {BATCH} one after another"), &plain);
    four.show("produce, four such at a time", &plain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement; run it in release"]
async fn consume_against_the_bare_client() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, PARTITIONS);
    let name = format!("{}{}", settings.prefix, topic());
    log(settings.clone()).await;
    let (producer, events) = (bare_producer(&broker), events());
    let written = 4 * EVENTS;
    for _ in 0..4 {
        bare_produce(&producer, &name, &events);
    }
    let [mut plain, mut decoded, mut ours] = [const { Rates(Vec::new(), Vec::new()) }; 3];
    for _ in 0..ROUNDS {
        let before = cpu();
        plain.add(written, bare_consume(&broker, &name, written, false), before);
        let before = cpu();
        decoded.add(written, bare_consume(&broker, &name, written, true), before);
        let before = cpu();
        ours.add(written, ours_consume(&settings, written).await, before);
    }
    plain.show("consume, bare", &plain);
    decoded.show("consume, bare, each message decoded to an event", &plain);
    ours.show("consume, four lanes", &plain);
    ours.show("the same, against the decoded", &decoded);
}
