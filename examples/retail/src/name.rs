//! What the platform sells, and where.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::refusal::{Refusal, Result};

/// A stock keeping unit: 1 to 32 of `A-Z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(Arc<str>);

impl Sku {
    /// Reads a SKU; refuses other characters and lengths.
    pub fn parse(text: &str) -> Result<Self> {
        let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > 32 || !text.bytes().all(plain) {
            let shown: String = text.chars().take(40).collect();
            return Err(Refusal::invalid(
                "SKU_INVALID",
                format!("{shown:?} is not a SKU: use 1 to 32 of A-Z, 0-9 and '-'"),
            ));
        }
        Ok(Self(text.into()))
    }

    /// The SKU of the product with this number in a generated catalogue.
    #[must_use]
    pub fn numbered(number: usize) -> Self {
        Self(format!("SKU-{number:05}").into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// That no owner knows this SKU.
    pub(crate) fn unknown(&self) -> Refusal {
        Refusal::unknown("SKU_UNKNOWN", format!("there is no product {self}"))
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Sku {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0.as_ref().into()
    }
}

/// A region of the world with its own prices and stock; `region` in events and in the API. (In code it is a market,
/// because a region of Tidings is a scope that is bumped.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Market {
    /// Brazil.
    Br,
    /// The European Union.
    Eu,
    /// Japan.
    Jp,
    /// The United Kingdom.
    Uk,
    /// The United States.
    Us,
}

impl Market {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 5] = [Self::Br, Self::Eu, Self::Jp, Self::Uk, Self::Us];

    /// Reads a region's name, such as `eu`.
    pub fn parse(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|market| market.as_str() == text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            let known = Self::ALL.map(Self::as_str).join(", ");
            Refusal::invalid("REGION_UNKNOWN", format!("there is no region {shown:?}: use one of {known}"))
        })
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Eu => "eu",
            Self::Jp => "jp",
            Self::Uk => "uk",
            Self::Us => "us",
        }
    }

    /// The fulfilment nodes that serve it.
    #[must_use]
    pub const fn nodes(self) -> [&'static str; 2] {
        match self {
            Self::Br => ["br-gru", "br-rec"],
            Self::Eu => ["eu-ham", "eu-lyo"],
            Self::Jp => ["jp-chb", "jp-osa"],
            Self::Uk => ["uk-dav", "uk-man"],
            Self::Us => ["us-dfw", "us-ewr"],
        }
    }
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id of what is kept per SKU and region: `SKU/region`.
#[must_use]
pub fn offer_id(sku: &Sku, market: Market) -> String {
    format!("{sku}/{market}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_strictly() {
        for good in ["SKU-00001", "A", "0"] {
            assert_eq!(Sku::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "sku-1", "A B", "A/eu", "Ä", &"A".repeat(33)] {
            assert_eq!(Sku::parse(bad).unwrap_err().code(), "SKU_INVALID", "{bad:?}");
        }
        for market in Market::ALL {
            assert_eq!(Market::parse(market.as_str()).unwrap(), market);
        }
        assert_eq!(Market::parse("EU").unwrap_err().code(), "REGION_UNKNOWN");
    }
}
