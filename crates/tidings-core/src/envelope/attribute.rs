//! The attributes that have a meaning here, what a producer may put in their place, and the rules for both.

use std::borrow::Cow;
use std::fmt;

use crate::error::{Code, Error, Result};
use crate::name;

use super::limits::Limits;

/// Longest name of an extension attribute. The specification advises 20 and forbids nothing; others' names survive.
const EXTENSION_NAME_BYTES: usize = 64;

macro_rules! attributes {
    ($($variant:ident = $name:literal;)*) => {
        /// One of the attributes (and the two data members) that have a field in an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Attribute { $($variant),* }

        impl Attribute {
            /// The attribute of this name; `None` is an extension.
            pub(super) fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// Its name on the wire.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

attributes! {
    SpecVersion = "specversion";
    Id = "id";
    Source = "source";
    Type = "type";
    Subject = "subject";
    Time = "time";
    AggregateVersion = "aggregateversion";
    Timeline = "timeline";
    EffectiveFrom = "effectivefrom";
    EffectiveUntil = "effectiveuntil";
    PartitionKey = "partitionkey";
    TraceParent = "traceparent";
    DataContentType = "datacontenttype";
    DataSchema = "dataschema";
    Data = "data";
    DataBase64 = "data_base64";
}

impl Attribute {
    /// Its place in a set of attributes.
    pub(super) const fn bit(self) -> u32 {
        1 << (self as u32)
    }

    /// The failure that this attribute, which must be there, is not.
    pub(super) fn missing(self) -> Error {
        Error::new(Code::ATTRIBUTE_MISSING, format!("the {} is missing", self.name()))
    }

    /// The failure that this attribute holds something else than `wanted`.
    pub(super) fn invalid(self, found: &Found<'_>, wanted: impl fmt::Display) -> Error {
        Error::new(Code::ATTRIBUTE_INVALID, format!("the {} is {found}, not {wanted}", self.name()))
    }

    /// Checks a text that must be safe to show and to compare.
    pub(super) fn visible(self, text: &str) -> Result<&str> {
        name::check(self.name(), text)
    }
}

/// The value of an attribute as it was found.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// Nothing: the same as an absent attribute.
    Null,
    /// A string.
    Text(Cow<'a, str>),
    /// A number without fraction or exponent.
    Whole(i128),
    /// Any other number.
    Number(f64),
    /// `true` or `false`.
    Flag(bool),
    /// An array, skipped.
    Array,
    /// An object, skipped.
    Object,
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Text(text) => write!(f, "{}", Shown(text)),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "the number {number:?}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Array => f.write_str("an array"),
            Self::Object => f.write_str("an object"),
        }
    }
}

/// Text from a producer as it may stand in a message: quoted, escaped, and not all of a megabyte.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(48).and_then(|(at, _)| self.0.get(..at)) {
            Some(start) => write!(f, "{start:?}.. ({} bytes)", self.0.len()),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Checks the name of an extension: lower-case letters and digits, as the specification has it.
pub(super) fn extension_name(name: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if name.is_empty() || name.len() > EXTENSION_NAME_BYTES || !name.bytes().all(good) {
        let what = format!(
            "the attribute name {} is not 1 to {EXTENSION_NAME_BYTES} lower-case letters and digits",
            Shown(name)
        );
        return Err(Error::new(Code::ATTRIBUTE_INVALID, what));
    }
    Ok(())
}

/// Checks the value of an extension: the specification forbids control characters.
pub(super) fn extension_value(name: &str, value: &str) -> Result<()> {
    match value.char_indices().find(|(_, c)| c.is_control()) {
        None => Ok(()),
        Some((at, c)) => {
            let what = format!("the {name} has the control character U+{:04X} at byte {at}", u32::from(c));
            Err(Error::new(Code::ATTRIBUTE_INVALID, what))
        }
    }
}

/// Checks that so many extensions of so many bytes are within the limits.
pub(super) fn extension_room(count: usize, bytes: usize, limits: &Limits) -> Result<()> {
    if count > limits.extensions {
        let what = format!("the event has more than {} extension attributes", limits.extensions);
        return Err(Error::new(Code::OVERSIZED, what));
    }
    if bytes > limits.extension_bytes {
        let what = format!("the extension attributes have more than {} bytes", limits.extension_bytes);
        return Err(Error::new(Code::OVERSIZED, what));
    }
    Ok(())
}
