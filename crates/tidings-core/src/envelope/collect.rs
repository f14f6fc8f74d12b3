//! Gathers attributes as they come, whichever mode they come in, and judges the whole at the end.

use std::borrow::Cow;
use std::sync::Arc;

use crate::entity::Entity;
use crate::error::{Code, Error, Result};
use crate::event::{Data, Draft, Event};
use crate::name;
use crate::time::{Time, Window};
use crate::version::{Stamp, Timeline, Version};

use super::attribute::{Attribute, Found, Shown, extension_name, extension_room, extension_value};
use super::data;
use super::draft::DraftEvent;
use super::limits::Limits;
use super::rfc3339;

/// An event that is still being read.
pub(super) struct Collected<'a> {
    limits: &'a Limits,
    seen: u32,
    spec: bool,
    id: Option<Arc<str>>,
    source: Option<Arc<str>>,
    kind: Option<Arc<str>>,
    entity: Option<Entity>,
    version: Option<Version>,
    timeline: Option<Timeline>,
    time: Option<Time>,
    window: Window,
    partition_key: Option<Cow<'a, str>>,
    traceparent: Option<Box<str>>,
    schema: Option<Box<str>>,
    extensions: Vec<(Box<str>, Box<str>)>,
    /// Extensions that were given as null: absent, but not to be given twice.
    nulls: Vec<Box<str>>,
    extension_bytes: usize,
    media_type: Option<Cow<'a, str>>,
    base64: Option<Cow<'a, str>>,
    json: Option<&'a str>,
    body: Option<&'a [u8]>,
}

impl<'a> Collected<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            seen: 0,
            spec: false,
            id: None,
            source: None,
            kind: None,
            entity: None,
            version: None,
            timeline: None,
            time: None,
            window: Window::default(),
            partition_key: None,
            traceparent: None,
            schema: None,
            extensions: Vec::new(),
            nulls: Vec::new(),
            extension_bytes: 0,
            media_type: None,
            base64: None,
            json: None,
            body: None,
        }
    }

    /// Which attribute comes next; `None` is an extension. No attribute comes twice.
    pub(super) fn open(&mut self, name: &str) -> Result<Option<Attribute>> {
        let repeated = match Attribute::named(name) {
            Some(attribute) if self.seen & attribute.bit() == 0 => {
                self.seen |= attribute.bit();
                return Ok(Some(attribute));
            }
            Some(_) => true,
            None => {
                extension_name(name)?;
                let count = self.extensions.len() + self.nulls.len() + 1;
                extension_room(count, self.extension_bytes, self.limits)?;
                self.extensions.iter().any(|(n, _)| **n == *name) || self.nulls.iter().any(|n| **n == *name)
            }
        };
        if repeated {
            return Err(Error::new(Code::ATTRIBUTE_REPEATED, format!("the {name} is given twice")));
        }
        Ok(None)
    }

    /// Takes the `data` member of a structured event.
    pub(super) fn set_json(&mut self, json: &'a str) {
        self.json = Some(json);
    }

    /// Takes the body of a binary event.
    pub(super) fn set_body(&mut self, body: &'a [u8]) {
        self.body = Some(body);
    }

    /// Takes the value of an attribute that was opened.
    pub(super) fn set(&mut self, attribute: Attribute, found: Found<'a>) -> Result<()> {
        match attribute {
            Attribute::AggregateVersion => self.version = version(&found)?,
            Attribute::Timeline => self.timeline = timeline(&found)?,
            _ => match found {
                Found::Null => {}
                Found::Text(text) => self.set_text(attribute, text)?,
                other => return Err(attribute.invalid(&other, "a string")),
            },
        }
        Ok(())
    }

    fn set_text(&mut self, attribute: Attribute, text: Cow<'a, str>) -> Result<()> {
        match attribute {
            Attribute::SpecVersion if text == "1.0" => self.spec = true,
            Attribute::SpecVersion => return Err(attribute.invalid(&Found::Text(text), "\"1.0\"")),
            Attribute::Id => self.id = Some(attribute.visible(&text)?.into()),
            Attribute::Source => self.source = Some(attribute.visible(&text)?.into()),
            Attribute::Type => self.kind = Some(attribute.visible(&text)?.into()),
            Attribute::Subject => self.entity = Some(entity(&text)?),
            Attribute::Time => self.time = Some(time(attribute, text)?),
            Attribute::EffectiveFrom => self.window.from = Some(time(attribute, text)?),
            Attribute::EffectiveUntil => self.window.until = Some(time(attribute, text)?),
            Attribute::PartitionKey => self.partition_key = Some(text),
            Attribute::TraceParent => self.traceparent = Some(attribute.visible(&text)?.into()),
            Attribute::DataSchema => self.schema = Some(attribute.visible(&text)?.into()),
            Attribute::DataContentType => {
                attribute.visible(&text)?;
                self.media_type = Some(text);
            }
            Attribute::DataBase64 => self.base64 = Some(text),
            // Not texts: taken by their own methods.
            Attribute::AggregateVersion | Attribute::Timeline | Attribute::Data => {}
        }
        Ok(())
    }

    /// Takes the value of an extension that was opened.
    pub(super) fn extend(&mut self, name: &str, found: Found<'a>) -> Result<()> {
        let value: Box<str> = match found {
            Found::Text(text) => text.into(),
            Found::Whole(number) => number.to_string().into(),
            Found::Flag(flag) => flag.to_string().into(),
            Found::Null => {
                self.nulls.push(name.into());
                self.extension_bytes += name.len();
                return extension_room(0, self.extension_bytes, self.limits);
            }
            Found::Number(_) | Found::Array | Found::Object => {
                let what = format!("the {name} is {found}, not a string, a whole number or a boolean");
                return Err(Error::new(Code::ATTRIBUTE_INVALID, what));
            }
        };
        extension_value(name, &value)?;
        self.extension_bytes += name.len() + value.len();
        extension_room(0, self.extension_bytes, self.limits)?;
        self.extensions.push((name.into(), value));
        Ok(())
    }

    /// The event, with everything that one needs.
    pub(super) fn into_event(self) -> Result<Event> {
        let missing = |attribute: Attribute| move || attribute.missing();
        let version = self.version;
        let draft = self.into_draft()?;
        Ok(Event {
            id: draft.id.ok_or_else(missing(Attribute::Id))?,
            source: draft.source.ok_or_else(missing(Attribute::Source))?,
            time: draft.time.ok_or_else(missing(Attribute::Time))?,
            stamp: Stamp {
                timeline: draft.timeline.unwrap_or_default(),
                version: version.ok_or_else(missing(Attribute::AggregateVersion))?,
            },
            kind: draft.draft.kind,
            entity: draft.draft.entity,
            window: draft.draft.window,
            traceparent: draft.draft.traceparent,
            schema: draft.schema,
            extensions: draft.extensions,
            data: draft.draft.data,
        })
    }

    /// The event, in which the outbox fills in what is missing.
    pub(super) fn into_draft(mut self) -> Result<DraftEvent> {
        if !self.spec {
            return Err(Attribute::SpecVersion.missing());
        }
        let kind = self.kind.take().ok_or_else(|| Attribute::Type.missing())?;
        let entity = self.entity.take().ok_or_else(|| Attribute::Subject.missing())?;
        if let Some(key) = self.partition_key.take()
            && key != entity.as_str()
        {
            let wanted = format!("the subject {}", Shown(entity.as_str()));
            return Err(Attribute::PartitionKey.invalid(&Found::Text(key), wanted));
        }
        check_window(&self.window)?;
        let data = self.data()?;
        Ok(DraftEvent {
            id: self.id,
            source: self.source,
            time: self.time,
            timeline: self.timeline,
            schema: self.schema,
            extensions: self.extensions,
            draft: Draft {
                kind,
                entity,
                version: self.version,
                window: self.window,
                traceparent: self.traceparent,
                data,
            },
        })
    }

    fn data(&mut self) -> Result<Data> {
        let media_type = self.media_type.take();
        match self.body {
            None => data::structured(media_type, self.json, self.base64.take(), self.limits),
            // An empty body of a media type that can be empty is one; JSON cannot.
            Some([]) if media_type.as_deref().is_none_or(data::is_json) => Ok(Data::Empty),
            Some(body) => data::typed(media_type.unwrap_or(Cow::Borrowed(data::JSON)), body, self.limits),
        }
    }
}

/// An inverted window can only be a mistake; an empty one is how a fact is withdrawn before it came into force.
pub(super) fn check_window(window: &Window) -> Result<()> {
    match (window.from, window.until) {
        (Some(from), Some(until)) if until < from => {
            let what = format!("the effectiveuntil {until} is before the effectivefrom {from}");
            Err(Error::new(Code::ATTRIBUTE_INVALID, what))
        }
        _ => Ok(()),
    }
}

fn entity(text: &str) -> Result<Entity> {
    if text.len() > 2 * name::MAX_BYTES + 1 || !text.contains('/') {
        let what = format!("the subject {} is not an entity of the form kind/id", Shown(text));
        return Err(Error::new(Code::NAME_INVALID, what));
    }
    Entity::parse(text).map_err(|e| e.at("subject"))
}

fn time(attribute: Attribute, text: Cow<'_, str>) -> Result<Time> {
    rfc3339::parse(&text)
        .ok_or_else(|| attribute.invalid(&Found::Text(text), "an RFC 3339 time with an offset"))
}

fn version(found: &Found<'_>) -> Result<Option<Version>> {
    if matches!(found, Found::Null) {
        return Ok(None);
    }
    match number(found).and_then(Version::new).filter(|v| *v != Version::ZERO) {
        Some(version) => Ok(Some(version)),
        None => {
            let wanted = format!("a whole number from 1 to {}", Version::MAX);
            Err(Attribute::AggregateVersion.invalid(found, wanted))
        }
    }
}

fn timeline(found: &Found<'_>) -> Result<Option<Timeline>> {
    if matches!(found, Found::Null) {
        return Ok(None);
    }
    match number(found).and_then(|n| u32::try_from(n).ok()) {
        Some(number) => Ok(Some(Timeline(number))),
        None => Err(Attribute::Timeline.invalid(found, format!("a whole number up to {}", u32::MAX))),
    }
}

/// A number in its one way to write it: no sign, no leading zero, no fraction, no exponent.
fn number(found: &Found<'_>) -> Option<u64> {
    match found {
        Found::Whole(number) => u64::try_from(*number).ok(),
        Found::Text(text) => {
            let plain =
                text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
            if plain { text.parse().ok() } else { None }
        }
        _ => None,
    }
}
