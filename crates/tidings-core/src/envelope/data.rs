//! The body: which media types are JSON, and what JSON is let through.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::error::{Code, Error, Result};
use crate::event::Data;

use super::attribute::{Attribute, Shown};
use super::limits::Limits;

/// The media type of [`Data::Json`], and of a body that does not name its own.
pub(super) const JSON: &str = "application/json";
/// The media type of base64 that does not name its own.
const OCTETS: &str = "application/octet-stream";

/// Whether a media type is JSON: its subtype is `json` or ends in `+json`.
pub(super) fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or(media_type).trim();
    let ends = |end: &str| {
        essence
            .len()
            .checked_sub(end.len())
            .and_then(|at| essence.get(at..))
            .is_some_and(|e| e.eq_ignore_ascii_case(end))
    };
    ends("/json") || ends("+json")
}

/// The data of a structured event: `data` as JSON text, or `data_base64`, under its media type.
pub(super) fn structured(
    media_type: Option<Cow<'_, str>>,
    json: Option<&str>,
    base64: Option<Cow<'_, str>>,
    limits: &Limits,
) -> Result<Data> {
    match (json, base64) {
        (None, None) => Ok(Data::Empty),
        (Some(_), Some(_)) => {
            Err(Error::new(Code::ATTRIBUTE_REPEATED, "the event has both data and data_base64"))
        }
        (Some(json), None) => match media_type.filter(|m| !is_json(m)) {
            None => {
                check_depth(json, limits)?;
                Ok(Data::Json(json.into()))
            }
            Some(media_type) => {
                let text = serde_json::from_str::<String>(json).map_err(|e| {
                    let what =
                        format!("the data is not a string, which its type {} needs", Shown(&media_type));
                    Error::new(Code::ATTRIBUTE_INVALID, what).because(e)
                })?;
                Ok(Data::Bytes { content_type: media_type.into(), bytes: text.into_bytes().into() })
            }
        },
        (None, Some(base64)) => {
            let bytes = STANDARD.decode(base64.as_bytes()).map_err(|e| {
                Error::new(Code::ATTRIBUTE_INVALID, "the data_base64 is not base64").because(e)
            })?;
            typed(media_type.unwrap_or(Cow::Borrowed(OCTETS)), &bytes, limits)
        }
    }
}

/// Bytes under their media type.
pub(super) fn typed(media_type: Cow<'_, str>, bytes: &[u8], limits: &Limits) -> Result<Data> {
    if !is_json(&media_type) {
        return Ok(Data::Bytes { content_type: media_type.into(), bytes: bytes.into() });
    }
    let text = text(bytes, "data")?;
    Ok(Data::Json(check_json(text, limits)?.into()))
}

/// Checks that a text is JSON within the depth limit, and returns it without the space around it.
pub(super) fn check_json<'a>(text: &'a str, limits: &Limits) -> Result<&'a str> {
    let raw = serde_json::from_str::<&RawValue>(text).map_err(|e| unreadable(text, e, "data"))?;
    check_depth(raw.get(), limits)?;
    Ok(raw.get())
}

/// Checks what a caller put into an event.
pub(super) fn check_body(data: &Data, limits: &Limits) -> Result<()> {
    if data.len() > limits.bytes {
        let what = format!("the data has {} bytes, more than {}", data.len(), limits.bytes);
        return Err(Error::new(Code::OVERSIZED, what));
    }
    match data {
        Data::Empty => Ok(()),
        Data::Json(text) => check_json(text, limits).map(|_| ()),
        Data::Bytes { content_type, .. } => {
            Attribute::DataContentType.visible(content_type)?;
            if is_json(content_type) {
                let what =
                    format!("the data has the JSON type {} and is not given as JSON", Shown(content_type));
                return Err(Error::new(Code::ATTRIBUTE_INVALID, what));
            }
            Ok(())
        }
    }
}

/// The bytes as text, or why they are not: cut off, or never UTF-8.
pub(super) fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        match e.error_len() {
            None => {
                Error::new(Code::LINE_TRUNCATED, format!("the {what} ends inside a character at byte {at}"))
            }
            Some(_) => Error::new(Code::MALFORMED, format!("the {what} is not UTF-8 at byte {at}")),
        }
    })
}

/// What a syntax error says: text that ends too soon can be sent again, other text must be mended.
pub(super) fn unreadable(text: &str, error: serde_json::Error, what: &str) -> Error {
    if error.is_eof() || ends_inside_number(text, &error) {
        Error::new(Code::LINE_TRUNCATED, format!("the {what} ends before its JSON does")).because(error)
    } else {
        Error::new(Code::MALFORMED, format!("the {what} is not JSON")).because(error)
    }
}

/// Whether the text was cut after the `-`, `.`, `e` or sign of a number, which the parser calls a bad number.
fn ends_inside_number(text: &str, error: &serde_json::Error) -> bool {
    let last_line = text.rsplit('\n').next().unwrap_or(text);
    error.is_syntax()
        && error.column() >= last_line.len()
        && match *last_line.as_bytes() {
            [.., before, b'.' | b'e' | b'E'] => before.is_ascii_digit(),
            [.., b'-' | b'+'] => true,
            _ => false,
        }
}

/// Checks how deep arrays and objects stand within each other. The text is known to be JSON.
fn check_depth(json: &str, limits: &Limits) -> Result<()> {
    // '[' and '{' differ in one bit. What opens so rarely cannot be deep, and counting is far cheaper than following.
    let opened = json.bytes().filter(|b| b | 0x20 == b'{').count();
    if opened <= limits.depth || depth(json) <= limits.depth {
        return Ok(());
    }
    Err(Error::new(Code::TOO_DEEP, format!("the data is nested more than {} levels deep", limits.depth)))
}

fn depth(json: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' => now = now.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    most
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

/// Appends bytes as base64.
pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_what_stands_within_and_not_what_is_quoted() {
        for (json, expected) in [
            ("1", 0),
            ("[]", 1),
            ("[[],[]]", 2),
            (r#"{"a":[{"b":1}],"c":{}}"#, 3),
            (r#""[[[""#, 0),
            (r#"["\"[[",[]]"#, 2),
            (r#"["\\",[]]"#, 2),
        ] {
            assert_eq!(depth(json), expected, "{json}");
        }
    }

    #[test]
    fn json_media_types() {
        for json in
            ["application/json", "text/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"]
        {
            assert!(is_json(json), "{json}");
        }
        for other in ["", "json", "text/plain", "application/jsonp", "application/xml; a=+json", "é"] {
            assert!(!is_json(other), "{other}");
        }
    }
}
