//! What Pricing, and nobody else, says about prices. `cents` is the price in force when the event was committed.

use serde::{Deserialize, Serialize};
use tidings::{DomainEvent, Time};

use crate::name::{Market, Sku};

/// A moment by Pricing's clock, as microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct At(pub i64);

impl From<At> for Option<Time> {
    fn from(at: At) -> Self {
        Some(Time::from_micros(at.0))
    }
}

/// The base price of a product in a region has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, DomainEvent)]
#[event(context = "pricing", entity = "price", key = ["sku", "region"], version = "version")]
pub struct BasePriceChanged {
    /// The product.
    pub sku: Sku,
    /// The region.
    pub region: Market,
    /// The price's version after the change.
    pub version: u64,
    /// The base price now, in cents.
    pub base_cents: u32,
    /// The price in force now, in cents.
    pub cents: u32,
}

/// A promotion will begin later: whoever keeps the price must not keep it beyond the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, DomainEvent)]
#[event(context = "pricing", entity = "price", key = ["sku", "region"], version = "version")]
#[event(from = "starts", until = "ends")]
pub struct PromotionScheduled {
    /// The product.
    pub sku: Sku,
    /// The region.
    pub region: Market,
    /// The price's version after the change.
    pub version: u64,
    /// The promotion.
    pub promotion: i64,
    /// How much it takes off, in percent.
    pub percent: u8,
    /// When it will begin.
    pub starts: At,
    /// When it will end.
    pub ends: At,
    /// The price in force now, in cents.
    pub cents: u32,
}

/// A promotion is now in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, DomainEvent)]
#[event(context = "pricing", entity = "price", key = ["sku", "region"], version = "version")]
#[event(from = "starts", until = "ends")]
pub struct PromotionActivated {
    /// The product.
    pub sku: Sku,
    /// The region.
    pub region: Market,
    /// The price's version after the change.
    pub version: u64,
    /// The promotion.
    pub promotion: i64,
    /// How much it takes off, in percent.
    pub percent: u8,
    /// When it began.
    pub starts: At,
    /// When it will end.
    pub ends: At,
    /// The price in force now, in cents.
    pub cents: u32,
}

/// A promotion is no longer in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, DomainEvent)]
#[event(context = "pricing", entity = "price", key = ["sku", "region"], version = "version")]
pub struct PromotionExpired {
    /// The product.
    pub sku: Sku,
    /// The region.
    pub region: Market,
    /// The price's version after the change.
    pub version: u64,
    /// The promotion.
    pub promotion: i64,
    /// When it ended.
    pub ended: At,
    /// The price in force now, in cents.
    pub cents: u32,
}
