//! What the owners publish as a whole: what the read model begins with, and what repairs it after a gap.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};
use tidings::Clock;
use tidings_core::{Time, Version};

use super::Owners;
use super::projection::signed;
use crate::catalog::{CONTENT, Listed, check_category};
use crate::digest;
use crate::inventory::{STOCK, Stocked};
use crate::name::Sku;
use crate::pricing::{PRICE, Priced};
use crate::refusal::{Refusal, Result};
use crate::token;
use crate::witness::Shown;

/// What the owners published as a whole.
pub(super) struct Snapshots {
    /// A moment, by the owners' clock, before any of them was taken.
    pub(super) taken: Time,
    pub(super) content: Vec<Listed>,
    pub(super) prices: Vec<Priced>,
    pub(super) stock: Vec<Stocked>,
}

/// Asks every owner for its snapshot.
pub(super) async fn take(clock: &Clock, owners: &Owners) -> Result<Snapshots> {
    Ok(Snapshots {
        taken: clock.wall(),
        content: owners.catalog.snapshot().await?,
        prices: owners.pricing.snapshot().await?,
        stock: owners.inventory.snapshot().await?,
    })
}

impl Snapshots {
    /// Which category each product is in, and the version that says so.
    pub(super) fn categories(&self) -> Vec<(Sku, &'static str, u64)> {
        let category = |listed: &Listed| {
            let (sku, category) = (Sku::parse(&listed.sku).ok()?, check_category(&listed.category).ok()?);
            Some((sku, category, listed.version.number()))
        };
        self.content.iter().filter_map(category).collect()
    }
}

/// The versions of everything that a read model held at one moment.
#[derive(Default)]
pub(super) struct Versions {
    pub(super) products: HashMap<String, i64>,
    pub(super) offers: HashMap<(String, String), (i64, i64)>,
}

/// Brings the read model to at least these snapshots: of each part the newer version stays, and what it held `before`
/// they were taken and they do not have goes, unless something newer has come of it since. What has changed is returned.
pub(super) fn merge(db: &Connection, snapshots: &Snapshots, before: &Versions) -> Result<Vec<Shown>> {
    let mut changed = Vec::new();
    products(db, snapshots, &mut changed)?;
    offers(db, snapshots, &mut changed)?;
    db.execute(
        "UPDATE offer SET category = p.category FROM product AS p
         WHERE p.sku = offer.sku AND p.category <> offer.category",
        [],
    )?;
    remove(db, snapshots, before)?;
    db.execute("DELETE FROM bootstrap", [])?;
    db.execute("INSERT INTO bootstrap (taken_us) VALUES (?1)", [snapshots.taken.micros()])?;
    Ok(changed)
}

fn products(db: &Connection, snapshots: &Snapshots, changed: &mut Vec<Shown>) -> Result<()> {
    let mut upsert = db.prepare(
        "INSERT INTO product VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (sku) DO UPDATE SET
             category = excluded.category, title = excluded.title, thumbnail = excluded.thumbnail,
             popularity = excluded.popularity, listed_day = excluded.listed_day, version = excluded.version
         WHERE excluded.version > product.version",
    )?;
    for p in &snapshots.content {
        let version = token::column(p.version);
        let row = params![p.sku, p.category, p.title, p.thumbnail, p.popularity, p.listed_day, version];
        if upsert.execute(row)? > 0 {
            let content = digest::content(&p.title, p.thumbnail.as_deref());
            changed.push(Shown::at(CONTENT, &p.sku, p.version, Some(content))?);
        }
    }
    Ok(())
}

fn offers(db: &Connection, snapshots: &Snapshots, changed: &mut Vec<Shown>) -> Result<()> {
    // Each part by its own version; on the right of a SET, columns are what they were.
    let mut upsert = db.prepare(
        "INSERT INTO offer VALUES (?1, ?2, '', ?3, ?4, ?5, ?6) ON CONFLICT (sku, region) DO UPDATE SET
             cents = iif(excluded.price_version > offer.price_version, excluded.cents, offer.cents),
             price_version = max(excluded.price_version, offer.price_version),
             available = iif(excluded.stock_version > offer.stock_version, excluded.available, offer.available),
             stock_version = max(excluded.stock_version, offer.stock_version)
         WHERE excluded.price_version > offer.price_version OR excluded.stock_version > offer.stock_version
         RETURNING price_version, stock_version",
    )?;
    let mut add = |price: &Priced, stock: &Stocked| -> Result<Option<(Version, Version)>> {
        let (cents, available) = (price.cents, signed(stock.available));
        let (priced, stocked) = (token::column(price.version), token::column(stock.version));
        let mut rows = upsert.query(params![price.sku, price.region, cents, priced, available, stocked])?;
        let versions = rows.next()?.map(|row| (token::version(row, 0), token::version(row, 1)));
        let versions = versions.map(|(price, stock)| Ok::<_, Refusal>((price?, stock?))).transpose()?;
        // Stepped to its end, so that it is done.
        while rows.next()?.is_some() {}
        Ok(versions)
    };
    // Both snapshots are ordered by SKU and region, and hold the same pairs.
    for (price, stock) in snapshots.prices.iter().zip(&snapshots.stock) {
        if (&price.sku, &price.region) != (&stock.sku, &stock.region) {
            let what =
                format!("Pricing and Inventory disagree about what is sold: {} and {}", price.sku, stock.sku);
            return Err(Refusal::conflict("SNAPSHOTS_DIFFER", what));
        }
        if let Some((priced, stocked)) = add(price, stock)? {
            let offer = format!("{}/{}", price.sku, price.region);
            changed.push(Shown::at(PRICE, &offer, priced, None)?);
            changed.push(Shown::at(STOCK, &offer, stocked, None)?);
        }
    }
    Ok(())
}

fn remove(db: &Connection, snapshots: &Snapshots, before: &Versions) -> Result<()> {
    let products: HashSet<_> = snapshots.content.iter().map(|p| p.sku.as_str()).collect();
    for (sku, version) in before.products.iter().filter(|(sku, _)| !products.contains(sku.as_str())) {
        db.execute("DELETE FROM product WHERE sku = ?1 AND version = ?2", params![sku, version])?;
    }
    let offers: HashSet<_> = snapshots.prices.iter().map(|p| (p.sku.as_str(), p.region.as_str())).collect();
    let is_gone = |sku: &str, region: &str| !offers.contains(&(sku, region));
    for ((sku, region), (price, stock)) in before.offers.iter().filter(|((s, r), _)| is_gone(s, r)) {
        db.execute(
            "DELETE FROM offer WHERE sku = ?1 AND region = ?2 AND price_version = ?3 AND stock_version = ?4",
            params![sku, region, price, stock],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
