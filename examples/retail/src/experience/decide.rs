//! What the Experience API does with each event of the other contexts: the dependency map, in one place, owned by the
//! service that serves the answers.
//!
//! | view | key | depends on |
//! |---|---|---|
//! | `product_detail` | `SKU/region` | `content/SKU`, `price/SKU/region`, `stock/SKU/region` |
//! | `category_listing` | `category/region/sort` | region `listing/category/region`, and of each line shown its `content/SKU` and `price/SKU/region` |
//!
//! Listings are shaped by a query: which of them a price moves a product into or out of cannot be told from a key. So a
//! whole category in a region is bumped, which is one store, and every order of it is loaded again when next asked for.
//! What the lines themselves show are dependencies of their own, so that it is never older than what has been applied,
//! even while a product moves between categories.

use tidings_core::{Decision, Event, Region};

use super::category::Categories;
use crate::catalog::{CONTENT, ProductContentUpdated, check_category};
use crate::inventory::{AvailableToSellAdjusted, STOCK};
use crate::name::{Market, Sku};
use crate::pricing::PRICE;

/// The name of the regions that listings depend on.
pub const LISTING: &str = "listing";

/// The region `listing/category/region`; `None` if there is no such category, and so no listing of it.
#[must_use]
pub fn listing_region(category: &str, market: Market) -> Option<Region> {
    let category = check_category(category).ok()?;
    Region::new(LISTING, &format!("{category}/{market}")).ok()
}

/// What is in force has changed: the page shows another price, and the product has another place in listings by price.
pub(super) fn price_moved(categories: &Categories, sku: &Sku, market: Market) -> Vec<Decision> {
    let mut decisions = vec![Decision::Invalidate];
    decisions.extend(bump_listing(categories, sku, market));
    decisions
}

/// Nothing in force has changed yet, so listings keep their order. The page is loaded again to learn the boundary
/// beyond which it must not be kept: it will turn at the source's own time, without waiting for the next event.
pub(super) fn promotion_scheduled() -> Decision {
    Decision::Invalidate
}

/// The page shows a number. A listing shows only whether there is any, so it is bumped when that turns, and
/// tolerates everything else: stock is the busiest feed of all.
pub(super) fn stock_moved(categories: &Categories, event: &AvailableToSellAdjusted) -> Vec<Decision> {
    let mut decisions = vec![Decision::Invalidate];
    if event.flips_availability() {
        decisions.extend(bump_listing(categories, &event.sku, event.region));
    }
    decisions
}

/// Content is the same in every region; a product that moves leaves one category's listings and enters another's.
pub(super) fn content_moved(categories: &Categories, event: &ProductContentUpdated) -> Vec<Decision> {
    categories.learn(event);
    let mut decisions = vec![Decision::Invalidate];
    let mut touched = vec![event.category.as_str()];
    if event.previous_category != event.category {
        touched.push(&event.previous_category);
    }
    for category in touched {
        decisions.extend(Market::ALL.iter().filter_map(|m| listing_region(category, *m)).map(Decision::Bump));
    }
    decisions
}

/// An event that could not be read still names its entity: whatever may show it is loaded again. What such an event
/// would have changed in the read model is missing there, so the lines that depend on the entity are not kept either.
pub(super) fn parked(categories: &Categories, event: &Event) -> Vec<Decision> {
    let mut decisions = vec![Decision::Invalidate];
    let (sku, region) = event.entity.id().split_once('/').unwrap_or((event.entity.id(), ""));
    let Ok(sku) = Sku::parse(sku) else { return decisions };
    let touched = match event.entity.kind() {
        CONTENT => Market::ALL.to_vec(),
        PRICE | STOCK => Market::parse(region).into_iter().collect(),
        _ => Vec::new(),
    };
    decisions.extend(touched.into_iter().filter_map(|market| bump_listing(categories, &sku, market)));
    decisions
}

/// A product that is in no category is in no listing.
fn bump_listing(categories: &Categories, sku: &Sku, market: Market) -> Option<Decision> {
    categories.of(sku).and_then(|category| listing_region(category, market)).map(Decision::Bump)
}

#[cfg(test)]
mod tests;
