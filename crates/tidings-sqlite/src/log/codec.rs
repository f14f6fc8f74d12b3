//! A record as the bytes of its row, and back.

use std::fmt::Display;
use std::sync::Arc;

use tidings_core::envelope::{Limits, decode_json, encode_json};
use tidings_core::port::{Append, Record};
use tidings_core::{Code, Error, Mark, Partition, Result, Time};

/// The row holds an event as structured CloudEvents JSON.
const EVENT: i64 = 0;
/// The row holds a mark: time and head, 8 big-endian bytes each.
const MARK: i64 = 1;

/// The row says that something is missing here: why, as text.
const GAP: i64 = 2;

/// A record ready to be written.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) partition: Partition,
    pub(super) kind: i64,
    pub(super) body: Vec<u8>,
}

/// Encodes on the caller's thread, so that the writing one only writes. An event that no reader would take is refused.
pub(super) fn encode(append: &Append, limits: &Limits) -> Result<Encoded> {
    let mut body = Vec::new();
    let kind = match &append.record {
        Record::Event(event) => {
            encode_json(event, &mut body);
            if body.len() > limits.bytes {
                let what = format!("the event of {} has {} bytes", event.entity, body.len());
                return Err(Error::new(Code::OVERSIZED, what));
            }
            EVENT
        }
        Record::Mark(mark) => {
            body.extend(mark.time.micros().to_be_bytes());
            body.extend(mark.head.to_be_bytes());
            MARK
        }
        Record::Gap(why) => {
            body.extend(why.as_bytes());
            GAP
        }
        Record::Unreadable(why) => {
            let what = format!("{}: an unreadable record cannot be appended", append.partition);
            return Err(Error::new(Code::RECORD_UNREADABLE, what).because(why.to_string()));
        }
    };
    Ok(Encoded { partition: append.partition.clone(), kind, body })
}

/// Decodes one row; what cannot be decoded is an answer, not a failure.
pub(super) fn decode(kind: i64, body: &[u8], limits: &Limits, place: &dyn Display) -> Record {
    match kind {
        EVENT => match decode_json(body, limits) {
            Ok(event) => Record::Event(Arc::new(event)),
            Err(e) => unreadable(place, "the stored event cannot be read", Some(e)),
        },
        MARK => match mark(body) {
            Some(mark) => Record::Mark(mark),
            None => unreadable(place, "the stored mark cannot be read", None),
        },
        GAP => Record::Gap(String::from_utf8_lossy(body).into()),
        _ => unreadable(place, "the stored record is of an unknown kind", None),
    }
}

fn mark(body: &[u8]) -> Option<Mark> {
    let (time, head) = body.split_first_chunk::<8>()?;
    let head = u64::from_be_bytes(head.try_into().ok()?);
    Some(Mark { time: Time::from_micros(i64::from_be_bytes(*time)), head })
}

fn unreadable(place: &dyn Display, what: &str, why: Option<Error>) -> Record {
    let error = Error::new(Code::RECORD_UNREADABLE, what).at(place);
    Record::Unreadable(Arc::new(match why {
        Some(why) => error.because(why),
        None => error,
    }))
}
