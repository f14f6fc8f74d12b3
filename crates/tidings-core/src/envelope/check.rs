//! Whether an event made here can be read everywhere: asked before it is committed, because afterwards it is too late.

use std::collections::BTreeSet;

use crate::error::{Code, Error, Result};
use crate::event::{Draft, Event};
use crate::time::{Time, Window};
use crate::version::Version;

use super::attribute::{Attribute, Found, extension_name, extension_room, extension_value};
use super::collect::check_window;
use super::data;
use super::json::encode_json;
use super::limits::Limits;
use super::rfc3339;

/// Checks that every decoder with these limits takes this event, and reads back the same (but for space around
/// JSON data, which goes).
///
/// # Errors
/// Those of [`crate::envelope::decode_json`].
pub fn check(event: &Event, limits: &Limits) -> Result<()> {
    Attribute::Id.visible(&event.id)?;
    Attribute::Source.visible(&event.source)?;
    check_time(Attribute::Time, Some(event.time))?;
    if let Some(schema) = &event.schema {
        Attribute::DataSchema.visible(schema)?;
    }
    check_extensions(event, limits)?;
    check_parts(&event.kind, Some(event.stamp.version), &event.window, event.traceparent.as_deref())?;
    data::check_body(&event.data, limits)?;
    check_size(event, limits)
}

/// As [`check`], for what the outbox has not completed yet.
///
/// # Errors
/// As [`check`].
pub fn check_draft(draft: &Draft, limits: &Limits) -> Result<()> {
    check_parts(&draft.kind, draft.version, &draft.window, draft.traceparent.as_deref())?;
    data::check_body(&draft.data, limits)
}

fn check_parts(kind: &str, version: Option<Version>, window: &Window, trace: Option<&str>) -> Result<()> {
    Attribute::Type.visible(kind)?;
    if version == Some(Version::ZERO) {
        let wanted = format!("a whole number from 1 to {}", Version::MAX);
        return Err(Attribute::AggregateVersion.invalid(&Found::Whole(0), wanted));
    }
    check_time(Attribute::EffectiveFrom, window.from)?;
    check_time(Attribute::EffectiveUntil, window.until)?;
    check_window(window)?;
    trace.map_or(Ok(()), |trace| Attribute::TraceParent.visible(trace).map(|_| ()))
}

fn check_time(attribute: Attribute, time: Option<Time>) -> Result<()> {
    match time.filter(|t| !rfc3339::fits(*t)) {
        None => Ok(()),
        Some(time) => {
            let wanted = "a time within the years 0 to 9999";
            Err(attribute.invalid(&Found::Text(time.to_string().into()), wanted))
        }
    }
}

fn check_extensions(event: &Event, limits: &Limits) -> Result<()> {
    let mut names = BTreeSet::new();
    let mut bytes = 0;
    for (name, value) in &event.extensions {
        extension_name(name)?;
        extension_value(name, value)?;
        if Attribute::named(name).is_some() || !names.insert(name) {
            return Err(Error::new(Code::ATTRIBUTE_REPEATED, format!("the {name} is given twice")));
        }
        bytes += name.len() + value.len();
    }
    extension_room(event.extensions.len(), bytes, limits)
}

/// Measures the larger of the two modes, which is the structured one: it has the names twice quoted, and base64.
fn check_size(event: &Event, limits: &Limits) -> Result<()> {
    let mut encoded = Vec::new();
    encode_json(event, &mut encoded);
    if encoded.len() > limits.bytes {
        let what = format!("the event has {} bytes as JSON, more than {}", encoded.len(), limits.bytes);
        return Err(Error::new(Code::OVERSIZED, what));
    }
    Ok(())
}
