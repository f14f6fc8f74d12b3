//! Bringing the platform up: files, partitions, and what a witness must know beforehand.

use std::path::Path;
use std::sync::Arc;

use tidings_core::port::Log;
use tidings_core::{Code, Entity, Error, Partition, Result, Stamp, Topic};

use super::{Parts, Settings};
use crate::catalog::{CONTENT, Catalog};
use crate::checkout::Checkout;
use crate::context::Open;
use crate::experience::Owners;
use crate::inventory::{Inventory, STOCK};
use crate::pricing::{PRICE, Pricing};
use crate::refusal::Result as Answer;
use crate::seed::Catalogue;
use crate::witness::Witness;

/// Opens the owners' files, side by side: a new catalogue is a few hundred thousand rows.
pub(super) async fn open(dir: &Path, settings: &Settings, parts: &Parts) -> Result<(Owners, Checkout)> {
    let failed = |e: std::io::Error| {
        Error::new(Code::READ_ONLY, "the data directory cannot be made").because(e).at(dir.display())
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let catalogue = Arc::new(Catalogue::generate(settings.seed, settings.skus));
    let shared =
        Shared { dir: dir.into(), catalogue, readers: settings.readers, witness: parts.witness.clone() };
    let clock = parts.clock.clone();
    let (catalog, pricing, inventory) = tokio::try_join!(
        shared.with(Catalog::open),
        shared.with(move |dir, open| Pricing::open(dir, open, clock)),
        shared.with(Inventory::open),
    )?;
    let owners =
        Owners { catalog: Arc::new(catalog), pricing: Arc::new(pricing), inventory: Arc::new(inventory) };
    let inventory = owners.inventory.clone();
    let checkout = shared.with(|dir, open| Checkout::open(dir, open, inventory)).await?;
    Ok((owners, checkout))
}

#[derive(Clone)]
struct Shared {
    dir: std::path::PathBuf,
    catalogue: Arc<Catalogue>,
    readers: usize,
    witness: Arc<dyn Witness>,
}

impl Shared {
    async fn with<T: Send + 'static>(
        &self,
        open: impl FnOnce(&Path, &Open<'_>) -> Answer<T> + Send + 'static,
    ) -> Result<T> {
        let Self { dir, catalogue, readers, witness } = self.clone();
        let opened = tokio::task::spawn_blocking(move || {
            open(&dir, &Open { catalogue: &catalogue, readers, witness })
        });
        let opened =
            opened.await.map_err(|e| Error::new(Code::DEFECT, "opening a context panicked").because(e))?;
        Ok(opened?)
    }
}

pub(super) async fn tell_baseline(owners: &Owners, witness: &dyn Witness) -> Result<()> {
    for row in owners.catalog.snapshot().await? {
        witness.baseline(Entity::new(CONTENT, &row.sku)?, Stamp::of(row.version));
    }
    for row in owners.pricing.snapshot().await? {
        let offer = format!("{}/{}", row.sku, row.region);
        witness.baseline(Entity::new(PRICE, &offer)?, Stamp::of(row.version));
    }
    for row in owners.inventory.snapshot().await? {
        let offer = format!("{}/{}", row.sku, row.region);
        witness.baseline(Entity::new(STOCK, &offer)?, Stamp::of(row.version));
    }
    Ok(())
}

pub(super) async fn partitions(log: &dyn Log, topics: &[Topic]) -> Result<Vec<Partition>> {
    let mut partitions = Vec::new();
    for topic in topics {
        let count = log.partitions(topic).await?;
        partitions.extend((0..count).map(|index| Partition { topic: topic.clone(), index }));
    }
    Ok(partitions)
}
