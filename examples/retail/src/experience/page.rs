//! The answers of the Experience API, and the keys they are asked for by.

use std::fmt;

use serde::Serialize;
use tidings_core::{Result, Version};

use crate::catalog::{CONTENT, Content, check_category};
use crate::digest;
use crate::inventory::{STOCK, Stock};
use crate::name::{Market, Sku, offer_id};
use crate::pricing::{PRICE, Price};
use crate::refusal::{Refusal, Result as Answer};
use crate::token::as_number;
use crate::witness::Shown;

/// How many products a listing shows.
pub const LISTED: usize = 24;

/// The key of a product page: `SKU/region`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProductKey {
    /// The product.
    pub sku: Sku,
    /// The region it is shown in.
    pub market: Market,
}

impl fmt::Display for ProductKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sku, self.market)
    }
}

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Cheapest first.
    Price,
    /// Most asked-for first.
    Popularity,
    /// Latest first.
    Newest,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Price, Self::Popularity, Self::Newest];

    /// Reads an order's name.
    pub fn parse(text: &str) -> Answer<Self> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            let what = format!("there is no order {shown:?}: use price, popularity or newest");
            Refusal::invalid("SORT_UNKNOWN", what)
        })
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Popularity => "popularity",
            Self::Newest => "newest",
        }
    }
}

/// The key of a listing: `category/region/sort`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListingKey {
    /// The category.
    pub category: &'static str,
    /// The region it is shown in.
    pub market: Market,
    /// Its order.
    pub sort: Sort,
}

impl ListingKey {
    /// The key, if there is such a category.
    pub fn new(category: &str, market: Market, sort: Sort) -> Answer<Self> {
        Ok(Self { category: check_category(category)?, market, sort })
    }
}

impl fmt::Display for ListingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.category, self.market, self.sort.as_str())
    }
}

/// A product in one region, assembled from what its three owners say. Carries the version of each part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProductPage {
    /// The product.
    pub sku: Sku,
    /// The region.
    pub region: Market,
    /// Its category.
    pub category: String,
    /// Its title.
    pub title: String,
    /// What it is.
    pub description: String,
    /// Its pictures.
    pub media: Vec<String>,
    /// What is to be paid, in cents.
    pub cents: u32,
    /// What it would be without a promotion, in cents.
    pub base_cents: u32,
    /// What the promotion in force takes off, in percent.
    pub percent_off: Option<u8>,
    /// Units that can be sold.
    pub available: u64,
    /// The content's version.
    #[serde(serialize_with = "as_number")]
    pub content_version: Version,
    /// The price's version.
    #[serde(serialize_with = "as_number")]
    pub price_version: Version,
    /// The stock's version.
    #[serde(serialize_with = "as_number")]
    pub stock_version: Version,
}

impl ProductPage {
    /// Puts the parts together.
    pub(crate) fn assemble(key: &ProductKey, content: Content, price: Price, stock: &Stock) -> Self {
        Self {
            sku: key.sku.clone(),
            region: key.market,
            category: content.category,
            title: content.title,
            description: content.description,
            media: content.media,
            cents: price.cents,
            base_cents: price.base_cents,
            percent_off: price.percent_off,
            available: stock.available,
            content_version: content.version,
            price_version: price.version,
            stock_version: stock.version,
        }
    }

    /// The page's own version: each part only ever rises, so their sum rises with every change of any of them.
    #[must_use]
    pub fn version(&self) -> Version {
        let parts = [self.content_version, self.price_version, self.stock_version];
        Version::new(parts.iter().map(|part| part.number()).fold(0, u64::saturating_add))
            .unwrap_or(Version::MAX)
    }

    /// What an answer shows, be it that there is no such page: then the product is said not to exist. Which part is missing,
    /// the answer does not tell; no owner ever takes one away.
    pub(crate) fn shown(sku: &Sku, page: Option<&Self>) -> Result<Vec<Shown>> {
        page.map_or_else(|| Ok(vec![Shown::absent(CONTENT, sku.as_str())?]), Self::shows)
    }

    /// Each entity that the page shows, at the version it shows.
    pub fn shows(&self) -> Result<Vec<Shown>> {
        let offer = offer_id(&self.sku, self.region);
        let content = digest::content(&self.title, self.media.first().map(String::as_str));
        let (price, stock) = (digest::price(self.base_cents), digest::stock(self.available));
        Ok(vec![
            Shown::at(CONTENT, self.sku.as_str(), self.content_version, Some(content))?,
            Shown::at(PRICE, &offer, self.price_version, Some(price))?,
            Shown::at(STOCK, &offer, self.stock_version, Some(stock))?,
        ])
    }
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The product.
    pub sku: Sku,
    /// Its title.
    pub title: String,
    /// Its first picture.
    pub thumbnail: Option<String>,
    /// What is to be paid, in cents, as last told by Pricing.
    pub cents: u32,
    /// Whether it can be bought at all.
    pub in_stock: bool,
    /// The content's version.
    #[serde(serialize_with = "as_number")]
    pub content_version: Version,
    /// The price's version.
    #[serde(serialize_with = "as_number")]
    pub price_version: Version,
}

/// The first products of a category in one region and order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListingPage {
    /// The category.
    pub category: &'static str,
    /// The region.
    pub region: Market,
    /// The order.
    pub sort: Sort,
    /// The products.
    pub lines: Vec<Line>,
}

impl ListingPage {
    /// Each entity that the listing shows, at the version it shows. Stock is not among them: a listing only says
    /// whether there is any. Nor is its price compared: it is the one in force, which is more than a version tells.
    pub fn shows(&self) -> Result<Vec<Shown>> {
        let mut shown = Vec::with_capacity(2 * self.lines.len());
        for line in &self.lines {
            let content = digest::content(&line.title, line.thumbnail.as_deref());
            shown.push(Shown::at(CONTENT, line.sku.as_str(), line.content_version, Some(content))?);
            let offer = offer_id(&line.sku, self.region);
            shown.push(Shown::at(PRICE, &offer, line.price_version, None)?);
        }
        Ok(shown)
    }
}
