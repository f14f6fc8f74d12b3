//! A record as a Kafka message, and back.
//!
//! An event is a CloudEvent in binary mode, its key the entity; structured mode is read, too. Marks and gaps are
//! CloudEvents of two reserved types, so that a reader that does not know them sees events of a type it ignores:
//!
//! | `ce_type` | further headers | value |
//! |---|---|---|
//! | `tidings.Mark` | `ce_marktime` (microseconds since 1970), `ce_markhead`, as decimal strings | none |
//! | `tidings.Gap` | `content-type: text/plain; charset=utf-8` | why, as text |

use std::borrow::Cow;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use tidings_core::envelope::{Limits, decode_message, encode_binary};
use tidings_core::port::{Append, Record};
use tidings_core::{Code, Error, Event, Mark, Result, Time};

const TYPE: &str = "ce_type";
const MARK: &str = "tidings.Mark";
const MARK_TIME: &str = "ce_marktime";
const MARK_HEAD: &str = "ce_markhead";
const GAP: &str = "tidings.Gap";
const TEXT: &[u8] = b"text/plain; charset=utf-8";

/// A record ready to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) headers: OwnedHeaders,
    /// `None` is Kafka's null value: an event without data.
    pub(crate) body: Option<&'a [u8]>,
}

/// Checks what can be checked before anything of a batch is sent.
pub(crate) fn check(append: &Append, limits: &Limits) -> Result<()> {
    let bytes = match &append.record {
        Record::Event(event) => size(event),
        Record::Mark(_) => 0,
        Record::Gap(why) => why.len(),
        Record::Unreadable(why) => {
            let what = format!("{}: an unreadable record cannot be appended", append.partition);
            return Err(Error::new(Code::RECORD_UNREADABLE, what).because(why.to_string()));
        }
    };
    if bytes > limits.bytes {
        let what = match &append.record {
            Record::Event(event) => format!("the event of {} has {bytes} bytes", event.entity),
            _ => format!("the record has {bytes} bytes"),
        };
        let what = format!("{}: {what}, more than {}", append.partition, limits.bytes);
        return Err(Error::new(Code::KAFKA_RECORD_TOO_LARGE, what));
    }
    Ok(())
}

/// At least what the event has as a message, without building it.
fn size(event: &Event) -> usize {
    const NAMES_AND_TIMES: usize = 320;
    let extensions: usize = event.extensions.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
    let optional = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
    let kind = match &event.data {
        tidings_core::Data::Bytes { content_type, .. } => content_type.len(),
        _ => 0,
    };
    NAMES_AND_TIMES
        + event.id.len()
        + event.source.len()
        + event.kind.len()
        + 2 * event.entity.as_str().len()
        + optional(&event.traceparent)
        + optional(&event.schema)
        + extensions
        + kind
        + event.data.len()
}

/// A record as a message. `source` names the topic for records that have no event.
pub(crate) fn encode<'a>(record: &'a Record, source: &str) -> Result<Outgoing<'a>> {
    match record {
        Record::Event(event) => {
            let message = encode_binary(event);
            let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
            for (name, value) in &message.headers {
                headers = headers.insert(Header { key: name, value: Some(value.as_ref()) });
            }
            let body = (!event.data.is_empty()).then_some(message.body);
            Ok(Outgoing { key: Some(event.entity.as_str()), headers, body })
        }
        Record::Mark(mark) => {
            let (time, head) = (mark.time.micros().to_string(), mark.head.to_string());
            let headers = own(MARK, &format!("{time}/{head}"), source)
                .insert(Header { key: MARK_TIME, value: Some(time.as_bytes()) })
                .insert(Header { key: MARK_HEAD, value: Some(head.as_bytes()) });
            Ok(Outgoing { key: None, headers, body: None })
        }
        Record::Gap(why) => {
            let headers = own(GAP, "gap", source).insert(Header { key: "content-type", value: Some(TEXT) });
            Ok(Outgoing { key: None, headers, body: Some(why.as_bytes()) })
        }
        Record::Unreadable(_) => Err(Error::new(Code::DEFECT, "an unreadable record cannot be sent")),
    }
}

fn own(kind: &str, id: &str, source: &str) -> OwnedHeaders {
    OwnedHeaders::new_with_capacity(6)
        .insert(Header { key: "ce_specversion", value: Some("1.0".as_bytes()) })
        .insert(Header { key: TYPE, value: Some(kind.as_bytes()) })
        .insert(Header { key: "ce_source", value: Some(source.as_bytes()) })
        .insert(Header { key: "ce_id", value: Some(id.as_bytes()) })
}

/// Reads a message; what is not a readable record is an answer, not a failure. Also how many bytes it has.
pub(crate) fn decode(message: &impl Message, limits: &Limits, place: &dyn Display) -> (Record, usize) {
    let body = message.payload().unwrap_or_default();
    let mut headers: Vec<(&str, &[u8])> = Vec::with_capacity(16);
    // The client's library panics on a header whose name is not UTF-8, and anybody can write one.
    let collected = catch_unwind(AssertUnwindSafe(|| {
        let found = message.headers().into_iter().flat_map(Headers::iter);
        // A header without a value says nothing.
        headers.extend(found.filter_map(|header| Some((header.key, header.value?))));
    }));
    if collected.is_err() {
        return (unreadable(place, "a header's name is not UTF-8", None), body.len());
    }
    let bytes = body.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    (read(&headers, body, limits, place), bytes)
}

fn read(headers: &[(&str, &[u8])], body: &[u8], limits: &Limits, place: &dyn Display) -> Record {
    let value = |wanted| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let kind = value(TYPE).unwrap_or_default();
    if kind == MARK.as_bytes() {
        let mark = number(value(MARK_TIME)).zip(number(value(MARK_HEAD)));
        return match mark {
            Some((time, head)) => Record::Mark(Mark { time: Time::from_micros(time), head }),
            None => unreadable(place, "the stored mark cannot be read", None),
        };
    }
    if kind == GAP.as_bytes() {
        let why = if body.len() > limits.bytes {
            Cow::from("too long to tell")
        } else {
            String::from_utf8_lossy(body)
        };
        return Record::Gap(why.into());
    }
    match decode_message(headers.iter().copied(), body, limits) {
        Ok(event) => Record::Event(Arc::new(event)),
        Err(why) => unreadable(place, "the message is no event that can be read", Some(why)),
    }
}

fn number<N: std::str::FromStr>(value: Option<&[u8]>) -> Option<N> {
    std::str::from_utf8(value?).ok()?.parse().ok()
}

fn unreadable(place: &dyn Display, what: &str, why: Option<Error>) -> Record {
    let error = Error::new(Code::RECORD_UNREADABLE, what).at(place);
    Record::Unreadable(Arc::new(match why {
        Some(why) => error.because(why),
        None => error,
    }))
}
