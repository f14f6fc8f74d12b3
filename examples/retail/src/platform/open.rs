//! Bringing the owners up, and what they begin with.

use std::sync::Arc;

use tidings_core::{Code, Entity, Error, Result, Stamp};

use super::{Parts, Settings};
use crate::catalog::{CONTENT, Catalog};
use crate::checkout::Checkout;
use crate::context::Open;
use crate::experience::Owners;
use crate::inventory::{Inventory, STOCK};
use crate::place::Place;
use crate::pricing::{PRICE, Pricing};
use crate::refusal::Result as Answer;
use crate::seed::Catalogue;
use crate::storefront::make_dir;

/// Opens the owners' states, side by side: a new catalogue is a few hundred thousand rows.
pub(super) async fn open(place: &Place, settings: &Settings, parts: &Parts) -> Result<(Owners, Checkout)> {
    make_dir(place.dir())?;
    let catalogue = Arc::new(Catalogue::generate(settings.seed, settings.skus));
    let owner = Some((catalogue, parts.witness.clone()));
    let shared = Open { place: place.clone(), readers: settings.readers, owner };
    let clock = parts.clock.clone();
    let (catalog, pricing, inventory) = tokio::try_join!(
        with(&shared, Catalog::open),
        with(&shared, move |open| Pricing::open(open, clock)),
        with(&shared, Inventory::open),
    )?;
    let owners =
        Owners { catalog: Arc::new(catalog), pricing: Arc::new(pricing), inventory: Arc::new(inventory) };
    let inventory = owners.inventory.clone();
    // It only writes.
    let shared = Open { readers: 1, ..shared };
    let checkout = with(&shared, |open| Checkout::open(open, inventory)).await?;
    Ok((owners, checkout))
}

async fn with<T: Send + 'static>(
    shared: &Open,
    open: impl FnOnce(&Open) -> Answer<T> + Send + 'static,
) -> Result<T> {
    let shared = shared.clone();
    let opened = tokio::task::spawn_blocking(move || open(&shared));
    let opened =
        opened.await.map_err(|e| Error::new(Code::DEFECT, "opening a context panicked").because(e))?;
    Ok(opened?)
}

/// Every entity at the version that its owner has now.
pub(super) async fn newest(owners: &Owners) -> Answer<Vec<(Entity, Stamp)>> {
    let mut newest = Vec::new();
    for row in owners.catalog.snapshot().await? {
        newest.push((Entity::new(CONTENT, &row.sku)?, Stamp::of(row.version)));
    }
    for row in owners.pricing.snapshot().await? {
        let offer = format!("{}/{}", row.sku, row.region);
        newest.push((Entity::new(PRICE, &offer)?, Stamp::of(row.version)));
    }
    for row in owners.inventory.snapshot().await? {
        let offer = format!("{}/{}", row.sku, row.region);
        newest.push((Entity::new(STOCK, &offer)?, Stamp::of(row.version)));
    }
    Ok(newest)
}
