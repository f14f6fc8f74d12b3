//! Events that consumers have set aside: a topic for each group, `parked.<group>`, of one partition, kept for ever.
//!
//! A parked event is the event as it was, with three more headers: why, as a code (`tidings-parked-code`) and in words
//! (`tidings-parked-reason`), and where it stands in the log (`tidings-parked-at`, `topic/partition/offset`), which is
//! also its key. What was parked twice, because an answer was lost, stands there twice and is listed once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message};
use rdkafka::{Offset as At, TopicPartitionList};
use tidings_core::envelope::Limits;
use tidings_core::port::{Boxed, Parked, Parking, Record};
use tidings_core::{Code, Error, Offset, Partition, Position, Result, Topic, name};

use super::KafkaLog;
use crate::client::{self, Context};
use crate::codec;
use crate::fault::Trouble;
use crate::topic::{Demand, Keep};
use crate::writer::Addressed;

const CODE: &str = "tidings-parked-code";
const REASON: &str = "tidings-parked-reason";
const AT: &str = "tidings-parked-at";

/// Longer reasons are cut, so that whatever fits into the log fits here.
const REASON_BYTES: usize = 8 << 10;

impl Parking for KafkaLog {
    fn park<'a>(&'a self, group: &'a str, parked: &'a [Parked]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            if parked.is_empty() {
                return Ok(());
            }
            let topic = self.parked_topic(group)?;
            self.topics.ensure(&topic, Demand { partitions: 1, keep: Keep::Forever }).await?;
            let places: Vec<_> = parked.iter().map(|parked| place(&parked.position)).collect();
            let records: Vec<_> = parked.iter().map(|parked| Record::Event(parked.event.clone())).collect();
            let addressed = parked.iter().zip(&records).zip(&places).map(|((parked, record), place)| {
                let mut out = codec::encode(record, "")?;
                let why = parked.reason.what();
                let why = &why.as_bytes()[..why.floor_char_boundary(REASON_BYTES)];
                out.headers = out
                    .headers
                    .insert(Header { key: CODE, value: Some(parked.reason.code().id().as_bytes()) })
                    .insert(Header { key: REASON, value: Some(why) })
                    .insert(Header { key: AT, value: Some(place.as_bytes()) });
                out.key = Some(place);
                Ok(Addressed { topic: topic.clone(), partition: 0, out })
            });
            self.writer.append(addressed).await
        })
    }

    /// Reads all that was ever parked by the group, to count it.
    fn parked<'a>(&'a self, group: &'a str, limit: usize) -> Boxed<'a, Result<(Vec<Parked>, u64)>> {
        Box::pin(async move {
            let topic = self.parked_topic(group)?;
            if self.topics.look(&topic).await?.is_none() {
                return Ok((Vec::new(), 0));
            }
            let list = Listing {
                what: format!("what the group {group} has parked cannot be listed"),
                topic,
                limit,
                limits: self.settings.limits,
                // One that waits for each part of the topic, however many there are.
                timeout: self.settings.timeout,
                trouble: self.context.trouble.clone(),
            };
            let consumer = client::reading(&self.settings).create_with_context(self.context.clone());
            let consumer = consumer.map_err(|error| list.fault(&error))?;
            let what = list.what.clone();
            let listed = tokio::task::spawn_blocking(move || list.run(&consumer)).await;
            listed.map_err(|failure| Error::new(Code::STOPPING, what).because(failure))?
        })
    }
}

impl KafkaLog {
    /// The name on the brokers. Kafka takes few characters, and holds `.` and `_` for the same: others are written as their
    /// number.
    fn parked_topic(&self, group: &str) -> Result<String> {
        const LONGEST: usize = 249;
        name::check("group", group)?;
        let mut topic = format!("{}parked.", self.settings.prefix);
        for byte in group.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => topic.push(char::from(byte)),
                _ => topic.push_str(&format!("_{byte:02x}")),
            }
        }
        if topic.len() > LONGEST {
            let what = format!("the topic {topic} would have a name of more than {LONGEST} bytes");
            return Err(Error::new(Code::NAME_INVALID, what));
        }
        Ok(topic)
    }
}

fn place(Position { partition, offset }: &Position) -> String {
    format!("{partition}/{offset}")
}

/// A pass over all that a group has parked.
struct Listing {
    what: String,
    topic: String,
    limit: usize,
    limits: Limits,
    timeout: Duration,
    trouble: Arc<Trouble>,
}

impl Listing {
    /// Blocks.
    fn run(&self, consumer: &BaseConsumer<Context>) -> Result<(Vec<Parked>, u64)> {
        let fault = |error: KafkaError| self.fault(&error);
        let (earliest, head) = consumer.fetch_watermarks(&self.topic, 0, self.timeout).map_err(fault)?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&self.topic, 0, At::Offset(earliest)).map_err(fault)?;
        consumer.incremental_assign(&from).map_err(fault)?;
        let (mut listed, mut seen) = (Vec::new(), HashSet::new());
        let mut next = earliest;
        let mut heard = Instant::now();
        while next < head {
            match consumer.poll(self.timeout.saturating_sub(heard.elapsed())) {
                Some(Ok(message)) => {
                    (next, heard) = (message.offset() + 1, Instant::now());
                    let parked = read(&message, &self.limits)?;
                    let is_new = seen.insert(parked.position.clone());
                    if is_new && listed.len() < self.limit {
                        listed.push(parked);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                // The client mends its connections by itself.
                Some(Err(_)) if heard.elapsed() < self.timeout => {}
                Some(Err(error)) => return Err(self.fault(&error)),
                None => return Err(self.trouble.silence(self.what.clone())),
            }
        }
        Ok((listed, seen.len() as u64))
    }

    fn fault(&self, error: &KafkaError) -> Error {
        self.trouble.fault(self.what.clone(), error)
    }
}

fn read(message: &BorrowedMessage<'_>, limits: &Limits) -> Result<Parked> {
    let at = format!("{}/{}", message.topic(), message.offset());
    let (record, _) = codec::decode(message, limits, &at);
    let damaged = || Error::new(Code::STORE_CORRUPT, format!("{at} is no parked event"));
    let event = match record {
        Record::Event(event) => event,
        Record::Unreadable(why) => return Err(damaged().because(why.to_string())),
        Record::Mark(_) | Record::Gap(_) => return Err(damaged()),
    };
    let headers = message.headers();
    let text = |wanted: &str| {
        let mut found = headers.into_iter().flat_map(Headers::iter);
        std::str::from_utf8(found.find(|header| header.key == wanted)?.value?).ok()
    };
    let position = text(AT).and_then(position).ok_or_else(damaged)?;
    // A code that only a newer program knows still has its words.
    let code = Code::ALL.iter().find(|known| Some(known.id()) == text(CODE)).copied();
    let why = text(REASON).unwrap_or_default();
    Ok(Parked { position, event, reason: Error::new(code.unwrap_or(Code::DATA_UNREADABLE), why) })
}

fn position(place: &str) -> Option<Position> {
    let mut parts = place.split('/');
    let (topic, index, offset) = (parts.next()?, parts.next()?, parts.next()?);
    let partition = Partition { topic: Topic::new(topic).ok()?, index: index.parse().ok()? };
    Some(Position { partition, offset: Offset(offset.parse().ok()?) })
}
