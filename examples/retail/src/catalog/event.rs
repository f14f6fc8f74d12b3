//! What Catalog tells others.

use serde::{Deserialize, Serialize};
use tidings::DomainEvent;

use crate::name::Sku;

/// What a customer sees of a product has changed. Bookkeeping is not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, DomainEvent)]
#[event(context = "catalog", entity = "content", key = "sku", version = "version")]
pub struct ProductContentUpdated {
    /// The product.
    pub sku: Sku,
    /// The content's version after the change.
    pub version: u64,
    /// Its category now.
    pub category: String,
    /// Its category before; the same unless it moved.
    pub previous_category: String,
    /// Its title now.
    pub title: String,
    /// Its first picture now, if any.
    pub thumbnail: Option<String>,
}
