//! librdkafka as anybody would use it, with the settings that the log has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tidings_core::Event;
use tidings_core::envelope::encode_binary;

use super::PARTITIONS;

const PATIENCE: Duration = Duration::from_secs(60);

/// Counts what the broker has confirmed, and says so.
pub(crate) struct Acks {
    count: AtomicUsize,
    note: Box<dyn Fn() + Send + Sync>,
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.count.fetch_add(1, Ordering::Relaxed);
            (self.note)();
        }
    }
}

pub(crate) type Sender = ThreadedProducer<Acks>;

pub(crate) fn place(number: usize) -> u32 {
    (number % PARTITIONS as usize) as u32
}

fn settings(pairs: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in pairs {
        config.set(*key, *value);
    }
    config
}

pub(crate) fn producer(brokers: &str, linger: &str) -> Result<Sender> {
    noting_producer(brokers, linger, || ())
}

/// One that says so whenever the broker has confirmed a message.
pub(crate) fn noting_producer(
    brokers: &str,
    linger: &str,
    note: impl Fn() + Send + Sync + 'static,
) -> Result<Sender> {
    let config = [
        ("bootstrap.servers", brokers),
        ("enable.idempotence", "true"),
        ("enable.gapless.guarantee", "true"),
        ("max.in.flight.requests.per.connection", "1"),
        ("message.timeout.ms", "0"),
        ("linger.ms", linger),
        ("socket.nagle.disable", "true"),
        ("batch.size", "1000000"),
        ("batch.num.messages", "10000"),
        ("queue.buffering.max.messages", "200000"),
        ("queue.buffering.max.kbytes", "16384"),
    ];
    Ok(settings(&config).create_with_context(Acks { count: AtomicUsize::new(0), note: Box::new(note) })?)
}

/// Sends a few bytes.
pub(crate) fn send_bytes(producer: &Sender, name: &str, index: u32, bytes: &[u8]) -> Result<()> {
    let record = BaseRecord::<str, [u8]>::to(name).partition(i32::try_from(index)?).payload(bytes);
    producer.send(record).map_err(|(error, _)| error.into())
}

/// Sends one event; waits for room.
fn send(producer: &Sender, name: &str, index: u32, event: &Event) -> Result<()> {
    let message = encode_binary(event);
    let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
    for (name, value) in &message.headers {
        headers = headers.insert(Header { key: name, value: Some(value.as_ref()) });
    }
    let mut record = BaseRecord::<str, [u8]>::to(name)
        .partition(i32::try_from(index)?)
        .key(event.entity.as_str())
        .payload(message.body)
        .headers(headers);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::yield_now();
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

pub(super) fn produce(producer: &Sender, name: &str, events: &[Event]) -> Result<()> {
    let acks = &producer.context().count;
    acks.store(0, Ordering::Relaxed);
    for (number, event) in events.iter().enumerate() {
        send(producer, name, place(number), event)?;
    }
    producer.flush(PATIENCE)?;
    match acks.load(Ordering::Relaxed) {
        all if all == events.len() => Ok(()),
        some => bail!("the broker confirmed {some} of {} messages", events.len()),
    }
}

/// A reader of the whole topic from these offsets on.
pub(crate) fn reader(brokers: &str, name: &str, from: Offset) -> Result<BaseConsumer> {
    let config = [
        ("bootstrap.servers", brokers),
        ("group.id", "bare"),
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_committed"),
        ("check.crcs", "true"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.queue.backoff.ms", "5"),
        ("fetch.message.max.bytes", "1032768"),
        ("fetch.max.bytes", "4194304"),
        ("queued.max.messages.kbytes", "4096"),
    ];
    let consumer: BaseConsumer = settings(&config).create()?;
    let mut list = TopicPartitionList::new();
    for index in 0..PARTITIONS {
        list.add_partition_offset(name, i32::try_from(index)?, from)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

/// Reads so many messages, and looks at each with its headers.
pub(super) fn consume(
    brokers: &str,
    name: &str,
    count: usize,
    look: impl Fn(&[(&str, &[u8])], &[u8]) -> Result<()>,
) -> Result<()> {
    let consumer = reader(brokers, name, Offset::Beginning)?;
    for _ in 0..count {
        let message = consumer.poll(PATIENCE).context("no message came")??;
        let headers = message.headers().context("a message has no headers")?;
        let found: Vec<_> =
            headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect();
        look(&found, message.payload().unwrap_or_default())?;
    }
    Ok(())
}
