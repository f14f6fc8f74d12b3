//! To a JSON object, straight into the caller's buffer.

use crate::envelope::attribute::Attribute;
use crate::envelope::{data, rfc3339};
use crate::event::{Data, Event};
use crate::time::Time;

/// What an event needs beside its own texts; a guess that saves growing the buffer.
const FRAME_BYTES: usize = 384;

/// Appends an event as one JSON object. One that passes [`crate::envelope::check`] reads back exactly; of one that
/// does not, a time outside the years 0 to 9999 is moved to the nearest inside.
pub fn encode_json(event: &Event, out: &mut Vec<u8>) {
    out.reserve(FRAME_BYTES + event.data.len() + 2 * event.entity.as_str().len());
    out.extend_from_slice(b"{\"specversion\":\"1.0\"");
    text(out, Attribute::Id.name(), &event.id);
    text(out, Attribute::Source.name(), &event.source);
    text(out, Attribute::Type.name(), &event.kind);
    text(out, Attribute::Subject.name(), event.entity.as_str());
    time(out, Attribute::Time, event.time);
    whole(out, Attribute::AggregateVersion, event.stamp.version.number());
    if event.stamp.timeline.0 != 0 {
        whole(out, Attribute::Timeline, event.stamp.timeline.0.into());
    }
    if let Some(from) = event.window.from {
        time(out, Attribute::EffectiveFrom, from);
    }
    if let Some(until) = event.window.until {
        time(out, Attribute::EffectiveUntil, until);
    }
    text(out, Attribute::PartitionKey.name(), event.entity.as_str());
    if let Some(traceparent) = &event.traceparent {
        text(out, Attribute::TraceParent.name(), traceparent);
    }
    if let Some(schema) = &event.schema {
        text(out, Attribute::DataSchema.name(), schema);
    }
    for (name, value) in &event.extensions {
        text(out, name, value);
    }
    body(out, &event.data);
    out.push(b'}');
}

/// Appends an event as one line of JSON, with its end. Line breaks in the data stand between its tokens and become
/// spaces: JSON text has none inside a string.
pub fn encode_line(event: &Event, out: &mut Vec<u8>) {
    let start = out.len();
    encode_json(event, out);
    for byte in out.iter_mut().skip(start) {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    out.push(b'\n');
}

fn body(out: &mut Vec<u8>, data: &Data) {
    match data {
        Data::Empty => {}
        Data::Json(json) if json.is_empty() => {}
        Data::Json(json) => {
            text(out, Attribute::DataContentType.name(), data::JSON);
            name(out, Attribute::Data.name());
            out.extend_from_slice(json.as_bytes());
        }
        Data::Bytes { content_type, bytes } => {
            text(out, Attribute::DataContentType.name(), content_type);
            name(out, Attribute::DataBase64.name());
            out.push(b'"');
            data::write_base64(bytes, out);
            out.push(b'"');
        }
    }
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(out: &mut Vec<u8>, attribute: &str, value: &str) {
    name(out, attribute);
    out.push(b'"');
    if value.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
        escape(out, value);
    } else {
        out.extend_from_slice(value.as_bytes());
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
}

fn time(out: &mut Vec<u8>, attribute: Attribute, value: Time) {
    name(out, attribute.name());
    out.push(b'"');
    rfc3339::write(value, out);
    out.push(b'"');
}

fn whole(out: &mut Vec<u8>, attribute: Attribute, value: u64) {
    name(out, attribute.name());
    out.push(b'"');
    number(value, out);
    out.push(b'"');
}

/// Appends a number in decimal, without the formatting machinery.
pub(in crate::envelope) fn number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}
