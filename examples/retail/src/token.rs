//! What a write answers with, so that its author can read at least that.

use std::fmt;

use serde::{Serialize, Serializer};
use tidings_core::{Entity, Version};

use crate::refusal::{Refusal, Result};

/// An entity at a version, written `price/SKU-00001/eu:7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The entity.
    pub entity: Entity,
    /// Its version after the write.
    pub version: Version,
}

impl Token {
    /// Reads `kind/id:version`.
    pub fn parse(text: &str) -> Result<Self> {
        let shown: String = text.chars().take(80).collect();
        let bad = || {
            let what = format!("{shown:?} is not a token of the form price/SKU-00001/eu:7");
            Refusal::invalid("TOKEN_INVALID", what)
        };
        let (entity, version) = text.rsplit_once(':').ok_or_else(bad)?;
        let entity = Entity::parse(entity).map_err(|_| bad())?;
        let version = version.parse().ok().and_then(Version::new).ok_or_else(bad)?;
        Ok(Self { entity, version })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.entity, self.version)
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The entity as it is now.
    pub token: Token,
    /// Whether anything changed that others are told of.
    pub published: bool,
}

/// Writes a version as a JSON number.
pub(crate) fn as_number<S: Serializer>(version: &Version, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(version.number())
}

/// The version in a column of a file.
pub(crate) fn version(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Version> {
    let number = crate::store::unsigned(row, column)?;
    Version::new(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, i64::MAX))
}

/// A version as it is stored; [`Version::MAX`] is what a signed column can hold.
pub(crate) fn column(version: Version) -> i64 {
    i64::try_from(version.number()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_what_it_prints() {
        let text = "price/SKU-00001/eu:7";
        assert_eq!(Token::parse(text).unwrap().to_string(), text);
        for bad in [
            "",
            "price/SKU-1/eu",
            "price:7",
            "price/SKU-1/eu:",
            "price/SKU-1/eu:x",
            "price/a:99999999999999999999",
        ] {
            assert_eq!(Token::parse(bad).unwrap_err().code(), "TOKEN_INVALID", "{bad:?}");
        }
    }
}
