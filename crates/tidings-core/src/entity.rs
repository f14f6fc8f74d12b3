//! What changes, and the scopes that are bumped together.

use std::fmt;
use std::sync::Arc;

use crate::error::{Code, Error, Result};
use crate::name;

/// One instance of an aggregate: `kind/id`. The unit of order and of versions.
///
/// Cheap to clone; compares and hashes by its text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entity(Arc<str>);

impl Entity {
    /// The entity `kind/id`. The kind has no `/`; the id may.
    pub fn new(kind: &str, id: &str) -> Result<Self> {
        name::check_kind("entity kind", kind)?;
        name::check("entity id", id)?;
        Ok(Self(format!("{kind}/{id}").into()))
    }

    /// Reads `kind/id`.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((kind, id)) = text.split_once('/') else {
            return Err(Error::new(
                Code::NAME_INVALID,
                format!("the entity {text:?} is not of the form kind/id"),
            ));
        };
        Self::new(kind, id)
    }

    /// The part before the first `/`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or("", |(kind, _)| kind)
    }

    /// The part after the first `/`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, id)| id)
    }

    /// The whole, `kind/id`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A named broad scope: `name/value`, such as `category/shoes`. Bumping it is one store.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Arc<str>);

impl Region {
    /// The region `name/value`. The name has no `/`; the value may.
    pub fn new(name: &str, value: &str) -> Result<Self> {
        name::check_kind("region name", name)?;
        name::check("region value", value)?;
        Ok(Self(format!("{name}/{value}").into()))
    }

    /// Every region at once: what depends on any region falls with it.
    #[must_use]
    pub fn every() -> Self {
        Self("*/*".into())
    }

    /// The whole, `name/value`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "region {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_reads_back_what_it_prints() {
        for (text, kind, id) in [("price/42", "price", "42"), ("stock/SKU-1/eu", "stock", "SKU-1/eu")] {
            let entity = Entity::parse(text).unwrap();
            assert_eq!((entity.kind(), entity.id(), entity.as_str()), (kind, id, text));
        }
        for bad in ["", "price", "/42", "price/", "pri\nce/42"] {
            assert!(Entity::parse(bad).is_err(), "{bad:?}");
        }
    }
}
