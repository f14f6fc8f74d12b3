//! What Inventory tells others.

use serde::{Deserialize, Serialize};
use tidings::DomainEvent;

use crate::name::{Market, Sku};

/// What can be sold from one node has changed, and with it what can be sold in its region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, DomainEvent)]
#[event(context = "inventory", entity = "stock", key = ["sku", "region"], version = "version")]
pub struct AvailableToSellAdjusted {
    /// The product.
    pub sku: Sku,
    /// The region.
    pub region: Market,
    /// The node whose stock changed.
    pub node: String,
    /// Units at this node now.
    pub quantity: u64,
    /// The version of the stock in the region after the change.
    pub version: u64,
    /// Units in the whole region now.
    pub available: u64,
    /// Units in the whole region before.
    pub available_before: u64,
}

impl AvailableToSellAdjusted {
    /// Whether the product went out of stock in the region, or came back.
    #[must_use]
    pub fn flips_availability(&self) -> bool {
        (self.available == 0) != (self.available_before == 0)
    }
}
