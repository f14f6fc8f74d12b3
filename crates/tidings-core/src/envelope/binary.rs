//! Binary mode: attributes as headers, the data as it is.
//!
//! Kafka: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>. Headers of
//! the HTTP binding (`ce-`, percent-encoded) are read too.

use std::borrow::Cow;

use crate::error::{Code, Error, Result};
use crate::event::{Data, Event};

use super::attribute::{Attribute, Found, Shown};
use super::collect::Collected;
use super::data;
use super::json::{decode_json, number};
use super::limits::Limits;
use super::rfc3339;

const CONTENT_TYPE: &str = "content-type";
const STRUCTURED: &str = "application/cloudevents";

/// An event in binary mode; borrows what it can from the event. The message key is the entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// Header names and values; names begin with `ce_`, but for `content-type`.
    pub headers: Vec<(Cow<'static, str>, Cow<'a, [u8]>)>,
    /// The data.
    pub body: &'a [u8],
}

/// An event as headers and a body. One that passes [`crate::envelope::check`] reads back exactly.
#[must_use]
pub fn encode_binary(event: &Event) -> Message<'_> {
    let mut headers = Headers(Vec::with_capacity(12 + event.extensions.len()));
    headers.text("ce_specversion", "1.0");
    headers.text("ce_id", &event.id);
    headers.text("ce_source", &event.source);
    headers.text("ce_type", &event.kind);
    headers.text("ce_subject", event.entity.as_str());
    headers.made("ce_time", |out| rfc3339::write(event.time, out));
    headers.made("ce_aggregateversion", |out| number(event.stamp.version.number(), out));
    if event.stamp.timeline.0 != 0 {
        headers.made("ce_timeline", |out| number(event.stamp.timeline.0.into(), out));
    }
    if let Some(from) = event.window.from {
        headers.made("ce_effectivefrom", |out| rfc3339::write(from, out));
    }
    if let Some(until) = event.window.until {
        headers.made("ce_effectiveuntil", |out| rfc3339::write(until, out));
    }
    headers.text("ce_partitionkey", event.entity.as_str());
    if let Some(traceparent) = &event.traceparent {
        headers.text("ce_traceparent", traceparent);
    }
    if let Some(schema) = &event.schema {
        headers.text("ce_dataschema", schema);
    }
    for (name, value) in &event.extensions {
        headers.0.push((Cow::Owned(format!("ce_{name}")), Cow::Borrowed(value.as_bytes())));
    }
    let body = match &event.data {
        Data::Empty => &[],
        Data::Json(json) => {
            headers.text(CONTENT_TYPE, data::JSON);
            json.as_bytes()
        }
        Data::Bytes { content_type, bytes } => {
            headers.text(CONTENT_TYPE, content_type);
            &**bytes
        }
    };
    Message { headers: headers.0, body }
}

struct Headers<'a>(Vec<(Cow<'static, str>, Cow<'a, [u8]>)>);

impl<'a> Headers<'a> {
    fn text(&mut self, name: &'static str, value: &'a str) {
        self.0.push((Cow::Borrowed(name), Cow::Borrowed(value.as_bytes())));
    }

    fn made(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let mut value = Vec::with_capacity(27);
        write(&mut value);
        self.0.push((Cow::Borrowed(name), Cow::Owned(value)));
    }
}

/// Reads an event from headers and a body. Headers that are neither `ce_..`, `ce-..` nor `content-type` are not the
/// event's, and are passed over.
///
/// # Errors
/// As [`decode_json`].
pub fn decode_binary<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    body: &'a [u8],
    limits: &'a Limits,
) -> Result<Event> {
    let mut collected = Collected::new(limits);
    let mut bytes = body.len();
    check_size(bytes, limits)?;
    for (header, value) in headers {
        let Some((name, binding)) = attribute_name(header) else { continue };
        bytes = bytes.saturating_add(header.len()).saturating_add(value.len());
        check_size(bytes, limits)?;
        let opened = collected.open(&name)?;
        let text = std::str::from_utf8(value).map_err(|_| {
            Error::new(Code::ATTRIBUTE_INVALID, format!("the header {} is not UTF-8", Shown(header)))
        })?;
        let text =
            if binding == Binding::Http { percent_decoded(header, text)? } else { Cow::Borrowed(text) };
        match opened {
            Some(Attribute::Data | Attribute::DataBase64) => {
                let what = format!("the header {} carries data, which is the body's", Shown(header));
                return Err(Error::new(Code::ATTRIBUTE_INVALID, what));
            }
            Some(attribute) => collected.set(attribute, Found::Text(text))?,
            None => collected.extend(&name, Found::Text(text))?,
        }
    }
    collected.set_body(body);
    collected.into_event()
}

/// Reads an event from a message in either mode: the content type says which.
///
/// # Errors
/// As [`decode_json`].
pub fn decode_message<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])> + Clone,
    body: &'a [u8],
    limits: &'a Limits,
) -> Result<Event> {
    let mut types = headers.clone().into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE));
    let essence = types.next().and_then(|(_, value)| std::str::from_utf8(value).ok());
    let essence = essence.and_then(|t| t.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    match essence.strip_prefix(STRUCTURED) {
        None => decode_binary(headers, body, limits),
        Some("" | "+json") => decode_json(body, limits),
        Some(_) => {
            let what = format!("the content type {} is not one event in JSON", Shown(&essence));
            Err(Error::new(Code::MALFORMED, what))
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Binding {
    Kafka,
    Http,
}

/// The attribute that a header carries. HTTP does not keep the case of header names.
fn attribute_name(header: &str) -> Option<(Cow<'_, str>, Binding)> {
    if header.eq_ignore_ascii_case(CONTENT_TYPE) {
        return Some((Cow::Borrowed(Attribute::DataContentType.name()), Binding::Kafka));
    }
    let (prefix, name) = header.split_at_checked(3)?;
    let binding = match prefix {
        "ce_" => Binding::Kafka,
        _ if prefix.eq_ignore_ascii_case("ce-") => Binding::Http,
        _ => return None,
    };
    let folds = binding == Binding::Http && name.bytes().any(|b| b.is_ascii_uppercase());
    Some((if folds { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) }, binding))
}

fn percent_decoded<'a>(header: &str, text: &'a str) -> Result<Cow<'a, str>> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let mut whole = true;
    while let Some(byte) = bytes.next() {
        let mut hex =
            || bytes.next().and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        match byte {
            b'%' => match (hex(), hex()) {
                (Some(high), Some(low)) => decoded.push(high << 4 | low),
                _ => whole = false,
            },
            _ => decoded.push(byte),
        }
    }
    match String::from_utf8(decoded) {
        Ok(decoded) if whole => Ok(Cow::Owned(decoded)),
        _ => {
            let what = format!("the header {} is {}, not percent-encoded UTF-8", Shown(header), Shown(text));
            Err(Error::new(Code::ATTRIBUTE_INVALID, what))
        }
    }
}

fn check_size(bytes: usize, limits: &Limits) -> Result<()> {
    if bytes > limits.bytes {
        return Err(Error::new(Code::OVERSIZED, format!("the event has more than {} bytes", limits.bytes)));
    }
    Ok(())
}
