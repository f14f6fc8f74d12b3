//! From a JSON object, in one pass, without a tree.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::envelope::attribute::{Attribute, Found};
use crate::envelope::collect::Collected;
use crate::envelope::data;
use crate::envelope::draft::DraftEvent;
use crate::envelope::limits::Limits;
use crate::error::{Code, Error, Result};
use crate::event::Event;

/// Reads an event from one JSON object.
///
/// # Errors
/// Only of [`crate::error::Kind::Input`]; one clause that names the attribute and what was found.
pub fn decode_json(bytes: &[u8], limits: &Limits) -> Result<Event> {
    collect(bytes, limits)?.into_event()
}

/// As [`decode_json`], and `id`, `source`, `time` and `aggregateversion` may be left out.
///
/// # Errors
/// As [`decode_json`].
pub fn decode_draft(bytes: &[u8], limits: &Limits) -> Result<DraftEvent> {
    collect(bytes, limits)?.into_draft()
}

fn collect<'a>(bytes: &'a [u8], limits: &'a Limits) -> Result<Collected<'a>> {
    if bytes.len() > limits.bytes {
        let what = format!("the event has {} bytes, more than {}", bytes.len(), limits.bytes);
        return Err(Error::new(Code::OVERSIZED, what));
    }
    let text = data::text(bytes, "event")?;
    check_object(text)?;
    let mut collected = Collected::new(limits);
    let mut fault = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let members = Members { collected: &mut collected, fault: &mut fault };
    match json.deserialize_map(members).and_then(|()| json.end()) {
        Ok(()) => Ok(collected),
        Err(error) => Err(fault.unwrap_or_else(|| data::unreadable(text, error, "event"))),
    }
}

/// Refuses what does not even begin as an object; an array would otherwise pass for a struct.
fn check_object(text: &str) -> Result<()> {
    let what = match text.trim_ascii_start().chars().next() {
        Some('{') => return Ok(()),
        None => "the event is empty".to_owned(),
        Some('[') => "the event is an array, not an object".to_owned(),
        Some(other) => format!("the event begins with {other:?}, not with an object's '{{'"),
    };
    Err(Error::new(Code::MALFORMED, what))
}

/// Visits the members of the object. A serde error is only text, so the failure itself is left in `fault`.
struct Members<'c, 'a> {
    collected: &'c mut Collected<'a>,
    fault: &'c mut Option<Error>,
}

impl<'de> Visitor<'de> for Members<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            let taken = match self.collected.open(&name) {
                Ok(Some(Attribute::Data)) => {
                    self.collected.set_json(map.next_value::<&'de RawValue>()?.get());
                    Ok(())
                }
                Ok(Some(attribute)) => self.collected.set(attribute, map.next_value_seed(Value)?),
                Ok(None) => self.collected.extend(&name, map.next_value_seed(Value)?),
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                *self.fault = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// Reads a member's name, in place unless it is escaped.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Reads an attribute's value, whatever it is; arrays and objects are skipped without recursion.
struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Found::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Found::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Found::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Found::Whole(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Found::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Found::Number(number))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Found::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Found::Object)
    }
}
