//! One line as it is spelled: every field that any record has, each at most once, nothing else.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use tidings_core::{Stamp, Timeline, Version};

use super::InForce;

macro_rules! fields {
    ($($name:ident: $type:ty,)*) => {
        /// A line. Which fields belong together is for the reader to say.
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct Line<'a> {
            $(#[serde(borrow, deserialize_with = "present")] pub(super) $name: Option<$type>,)*
        }

        impl Line<'_> {
            /// The fields that are there, as bits, in the order of [`FIELDS`].
            pub(super) fn present(&self) -> u64 {
                let mut bits = 0;
                let mut bit = 1_u64;
                $(
                    if self.$name.is_some() { bits |= bit; }
                    bit <<= 1;
                )*
                let _ = bit;
                bits
            }
        }

        /// The names of all fields.
        pub(super) const FIELDS: &[&str] = &[$(stringify!($name)),*];
    };
}

/// A value that borrows nothing.
type Plain<'a, T> = Owned<'a, T>;

fields! {
    tidings_history: Plain<'a, u64>,
    baseline: Text<'a>,
    commit: Text<'a>,
    applied: Text<'a>,
    read: Text<'a>,
    subscribed: Text<'a>,
    marked: Text<'a>,
    epoch: Text<'a>,
    held: Text<'a>,
    lease: Text<'a>,
    settled: Plain<'a, u64>,
    end: Plain<'a, u64>,
    version: Plain<'a, At>,
    copy: Text<'a>,
    kind: Text<'a>,
    key: Text<'a>,
    began: Plain<'a, u64>,
    ended: Plain<'a, u64>,
    at: Plain<'a, u64>,
    from: Plain<'a, u64>,
    upto: Plain<'a, u64>,
    until: Plain<'a, u64>,
    deleted: Plain<'a, bool>,
    absent: Plain<'a, bool>,
    digest: Text<'a>,
    window: Plain<'a, [u64; 2]>,
    revokes: Plain<'a, u64>,
    outcome: Text<'a>,
    session: Plain<'a, u64>,
    shows: Vec<Object<Shows<'a>>>,
    token: Object<Shows<'a>>,
    label: Text<'a>,
    path: Text<'a>,
    bound: Plain<'a, u64>,
    in_force: Plain<'a, Force>,
    late: Plain<'a, bool>,
}

/// What is shown of one entity, or asked for.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shows<'a> {
    #[serde(borrow)]
    pub(super) entity: Text<'a>,
    #[serde(default, deserialize_with = "present")]
    pub(super) version: Option<At>,
    #[serde(default)]
    pub(super) absent: bool,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) digest: Option<Text<'a>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) in_force: Option<Force>,
}

/// A field that is there has a value: null is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Text that is only copied if it has escapes.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

/// So that every field of a line can be declared alike.
#[derive(Debug)]
pub(super) struct Owned<'a, T>(pub(super) T, PhantomData<&'a ()>);

/// An object, not an array of its values in order.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

/// `6`, or `"1:6"` for a version of a later timeline.
#[derive(Debug, Clone, Copy)]
pub(super) struct At(pub(super) Stamp);

/// A version, or `"nothing"`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Force(pub(super) InForce);

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Owned<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(T::deserialize(deserializer)?, PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;

        impl<'de> Visitor<'de> for Words {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }

        deserializer.deserialize_str(Words).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

pub(super) fn version(text: &str) -> Option<Stamp> {
    let (timeline, number) = text.split_once(':')?;
    let timeline = Timeline(timeline.parse().ok()?);
    Some(Stamp { timeline, version: Version::new(number.parse().ok()?)? })
}

/// Accepts a number, `"timeline:version"`, and `"nothing"` if that is asked for.
struct Versions;

impl Visitor<'_> for Versions {
    type Value = Option<Stamp>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version, as a number or as \"timeline:version\"")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        let version = Version::new(number).ok_or_else(|| E::custom("a version that is too large"))?;
        Ok(Some(Stamp::of(version)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == "nothing" {
            return Ok(None);
        }
        version(text).map(Some).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stamp = deserializer.deserialize_any(Versions)?;
        stamp.map(Self).ok_or_else(|| D::Error::custom("nothing is no version"))
    }
}

impl<'de> Deserialize<'de> for Force {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stamp = deserializer.deserialize_any(Versions)?;
        Ok(Self(stamp.map_or(InForce::Nothing, InForce::Version)))
    }
}
