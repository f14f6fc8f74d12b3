//! The read model behind listings: what the other contexts' events say, as rows.

use std::path::Path;

use rusqlite::{Connection, Transaction, params};
use tidings::DomainEvent;
use tidings_core::{Event, Time};
use tidings_sqlite::fault;

use super::page::{LISTED, Line, ListingKey, Sort};
use super::snapshot::{self, Snapshots, Versions};
use crate::catalog::{CONTENT, ProductContentUpdated, check_category};
use crate::digest;
use crate::inventory::{AvailableToSellAdjusted, STOCK};
use crate::name::{Market, Sku};
use crate::pricing::{BasePriceChanged, PRICE, PromotionActivated, PromotionExpired, PromotionScheduled};
use crate::refusal::Result;
use crate::store;
use crate::token;
use crate::witness::Shown;

/// The tables of the read model.
pub(super) const SCHEMA: &str = include_str!("schema.sql");

/// Takes one event in, within the transaction that also records how far the read model has come.
pub(super) fn apply(tx: &Transaction<'_>, event: &Event) -> tidings_core::Result<()> {
    match &*event.kind {
        ProductContentUpdated::TYPE => content(tx, &ProductContentUpdated::from_event(event)?),
        BasePriceChanged::TYPE => {
            let e = BasePriceChanged::from_event(event)?;
            price(tx, &e.sku, e.region, e.cents, e.version)
        }
        PromotionScheduled::TYPE => {
            let e = PromotionScheduled::from_event(event)?;
            price(tx, &e.sku, e.region, e.cents, e.version)
        }
        PromotionActivated::TYPE => {
            let e = PromotionActivated::from_event(event)?;
            price(tx, &e.sku, e.region, e.cents, e.version)
        }
        PromotionExpired::TYPE => {
            let e = PromotionExpired::from_event(event)?;
            price(tx, &e.sku, e.region, e.cents, e.version)
        }
        AvailableToSellAdjusted::TYPE => stock(tx, &AvailableToSellAdjusted::from_event(event)?),
        _ => Ok(()), // listings are not made of anything else
    }
}

fn content(tx: &Transaction<'_>, e: &ProductContentUpdated) -> tidings_core::Result<()> {
    let sql = "UPDATE product SET category = ?2, title = ?3, thumbnail = ?4, version = ?5
               WHERE sku = ?1 AND version < ?5";
    let row = params![e.sku.as_str(), e.category, e.title, e.thumbnail, signed(e.version)];
    if run(tx, sql, row)? == 0 {
        return Ok(());
    }
    let sql = "UPDATE offer SET category = ?2 WHERE sku = ?1 AND category <> ?2";
    run(tx, sql, params![e.sku.as_str(), e.category]).map(drop)
}

fn price(
    tx: &Transaction<'_>,
    sku: &Sku,
    market: Market,
    cents: u32,
    version: u64,
) -> tidings_core::Result<()> {
    let sql = "UPDATE offer SET cents = ?3, price_version = ?4
               WHERE sku = ?1 AND region = ?2 AND price_version < ?4";
    run(tx, sql, params![sku.as_str(), market.as_str(), cents, signed(version)]).map(drop)
}

fn stock(tx: &Transaction<'_>, e: &AvailableToSellAdjusted) -> tidings_core::Result<()> {
    let sql = "UPDATE offer SET available = ?3, stock_version = ?4
               WHERE sku = ?1 AND region = ?2 AND stock_version < ?4";
    run(tx, sql, params![e.sku.as_str(), e.region.as_str(), signed(e.available), signed(e.version)]).map(drop)
}

fn run(tx: &Transaction<'_>, sql: &str, row: impl rusqlite::Params) -> tidings_core::Result<usize> {
    tx.prepare_cached(sql).and_then(|mut statement| statement.execute(row)).map_err(fault)
}

/// Counts and versions come from signed columns of their owners; more cannot be.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Whether the read model has nothing yet.
pub(super) fn is_empty(path: &Path) -> Result<bool> {
    let connection = store::open_writer(path, SCHEMA)?;
    Ok(!connection.query_row("SELECT EXISTS (SELECT 1 FROM bootstrap)", [], |row| row.get::<_, bool>(0))?)
}

/// Fills an empty read model, all or nothing.
pub(super) fn bootstrap(path: &Path, snapshots: &Snapshots) -> Result<()> {
    let mut connection = store::open_writer(path, SCHEMA)?;
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    snapshot::merge(&tx, snapshots, &Versions::default())?;
    tx.commit()?;
    Ok(())
}

/// The versions of everything that it holds, from one snapshot.
pub(super) fn versions(db: &Connection) -> Result<Versions> {
    let mut versions = Versions::default();
    let mut query = db.prepare("SELECT sku, version FROM product")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        versions.products.insert(row.get(0)?, row.get(1)?);
    }
    let mut query = db.prepare("SELECT sku, region, price_version, stock_version FROM offer")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        versions.offers.insert((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?));
    }
    Ok(versions)
}

/// When the newest snapshots were taken that the read model has taken in.
pub(super) fn taken(db: &Connection) -> Result<Time> {
    Ok(db.query_row("SELECT max(taken_us) FROM bootstrap", [], |row| row.get(0).map(Time::from_micros))?)
}

/// A product as decisions and samplers need it.
pub(super) struct Known {
    pub(super) sku: Sku,
    pub(super) category: &'static str,
    pub(super) version: u64,
}

/// Every product, most popular first.
pub(super) fn known(db: &Connection) -> Result<Vec<Known>> {
    let mut query = db.prepare("SELECT sku, category, version FROM product ORDER BY popularity, sku")?;
    let mut rows = query.query([])?;
    let mut known = Vec::new();
    while let Some(row) = rows.next()? {
        let (sku, category): (String, String) = (row.get(0)?, row.get(1)?);
        let version = store::unsigned(row, 2)?;
        known.push(Known { sku: Sku::parse(&sku)?, category: check_category(&category)?, version });
    }
    Ok(known)
}

/// Everything that is modelled, from one snapshot. A price is not compared: it is the one in force.
pub(super) fn held(db: &Connection) -> Result<Vec<Shown>> {
    let mut held = Vec::new();
    let mut query = db.prepare("SELECT sku, version, title, thumbnail FROM product")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (sku, title): (String, String) = (row.get(0)?, row.get(2)?);
        let content = digest::content(&title, row.get::<_, Option<String>>(3)?.as_deref());
        held.push(Shown::at(CONTENT, &sku, token::version(row, 1)?, Some(content))?);
    }
    let mut query =
        db.prepare("SELECT sku || '/' || region, price_version, stock_version, available FROM offer")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (offer, stock) = (row.get::<_, String>(0)?, digest::stock(store::unsigned(row, 3)?));
        held.push(Shown::at(PRICE, &offer, token::version(row, 1)?, None)?);
        held.push(Shown::at(STOCK, &offer, token::version(row, 2)?, Some(stock))?);
    }
    Ok(held)
}

/// The first lines of a listing, from one snapshot.
pub(super) fn lines(db: &Connection, key: &ListingKey) -> Result<Vec<Line>> {
    // A cross join keeps SQLite to the order of the index that the first table is read by.
    let (tables, category, order) = match key.sort {
        Sort::Price => ("offer AS o CROSS JOIN product AS p", "o.category", "o.cents, p.popularity"),
        Sort::Popularity => ("product AS p CROSS JOIN offer AS o", "p.category", "p.popularity"),
        Sort::Newest => {
            ("product AS p CROSS JOIN offer AS o", "p.category", "p.listed_day DESC, p.popularity")
        }
    };
    let sql = format!(
        "SELECT p.sku, p.title, p.thumbnail, o.cents, o.available > 0, p.version, o.price_version
         FROM {tables} WHERE o.sku = p.sku AND o.region = ?2 AND {category} = ?1
         ORDER BY {order}, p.sku LIMIT {LISTED}"
    );
    let mut query = db.prepare_cached(&sql)?;
    let mut rows = query.query([key.category, key.market.as_str()])?;
    let mut lines = Vec::with_capacity(LISTED);
    while let Some(row) = rows.next()? {
        lines.push(Line {
            sku: Sku::parse(&row.get::<_, String>(0)?)?,
            title: row.get(1)?,
            thumbnail: row.get(2)?,
            cents: row.get(3)?,
            in_stock: row.get(4)?,
            content_version: token::version(row, 5)?,
            price_version: token::version(row, 6)?,
        });
    }
    Ok(lines)
}
