//! Inventory: what can be sold, by product, region and fulfilment node. Owns `stock/{sku}/{region}`.

use tidings_core::shared::Seen;
use tidings_core::{Entity, Version};

use crate::context::{Context, Open};
use crate::digest;
use crate::name::{Market, Sku, offer_id};
use crate::refusal::{Refusal, Result};
use crate::seed::Catalogue;
use crate::store::{Cells, Change, Row, Schema, Sql, Table};
use crate::token::{Token, Written};

mod event;

pub use event::AvailableToSellAdjusted;

/// The entity kind that Inventory owns.
pub const STOCK: &str = "stock";

/// The largest single adjustment, in units.
const MOST_UNITS: u64 = 1_000_000;

/// What can be sold of a product in a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stock {
    /// Units over all nodes of the region.
    pub available: u64,
    /// The version of the stock.
    pub version: Version,
}

/// A row of Inventory's published snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Stocked {
    pub(crate) sku: String,
    pub(crate) region: String,
    pub(crate) available: u64,
    pub(crate) version: Version,
}

/// The context.
pub struct Inventory {
    context: Context,
}

impl Inventory {
    pub(crate) fn open(open: &Open) -> Result<Self> {
        let schema = Schema {
            sqlite: include_str!("inventory/sqlite.sql"),
            postgres: include_str!("inventory/postgres.sql"),
            publishes: true,
        };
        Ok(Self { context: Context::open("inventory", schema, open, fill)? })
    }

    /// What can be sold, with its version, from one snapshot; `None` if there is no such product.
    pub async fn stock(&self, sku: &Sku, market: Market) -> Result<Option<Stock>> {
        Ok(self.stock_at(sku, market).await?.0)
    }

    /// As [`Inventory::stock`], with what was seen of the database, if it can say.
    pub(crate) async fn stock_at(&self, sku: &Sku, market: Market) -> Result<(Option<Stock>, Option<Seen>)> {
        let (rows, seen) = self.context.readers.rows_at(STOCKED, &[sku.as_str(), market.as_str()]).await?;
        Ok((rows.first().map(stock).transpose()?, seen))
    }

    /// Adds units to a node, or takes them away; never below zero.
    pub async fn adjust(&self, sku: &Sku, market: Market, node: &str, delta: i64) -> Result<Written> {
        if delta == 0 || delta.unsigned_abs() > MOST_UNITS {
            let what =
                format!("{delta} is not an adjustment: use 1 to {MOST_UNITS} units, or their negative");
            return Err(Refusal::invalid("QUANTITY_INVALID", what));
        }
        let (about, sku, node) = (sku.as_str(), sku.clone(), node.to_owned());
        self.context.writer()?.command(about, move |change| adjust(change, &sku, market, &node, delta)).await
    }

    /// Takes stock for an order, from as many nodes as it needs, all or nothing. The same order takes it once.
    pub async fn reserve(&self, order: &str, sku: &Sku, market: Market, units: u64) -> Result<Written> {
        if !(1..=MOST_UNITS).contains(&units) {
            let what = format!("{units} is not a quantity: use 1 to {MOST_UNITS}");
            return Err(Refusal::invalid("QUANTITY_INVALID", what));
        }
        let (about, order, sku) = (sku.as_str(), order.to_owned(), sku.clone());
        self.context
            .writer()?
            .command(about, move |change| reserve(change, &order, &sku, market, units))
            .await
    }

    /// All stock, from one snapshot.
    pub(crate) async fn snapshot(&self) -> Result<Vec<Stocked>> {
        self.context.readers.read(stocked).await
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

fn fill(catalogue: &Catalogue) -> Vec<Table<'_>> {
    let all = || {
        catalogue.products.iter().flat_map(|p| Market::ALL.into_iter().zip(p.units).map(move |at| (p, at)))
    };
    let stock = vec![
        ("sku", Cells::text(all().map(|(p, _)| p.sku.as_str()))),
        ("region", Cells::text(all().map(|(_, (market, _))| market.as_str()))),
        ("available", Cells::int(all().map(|(_, (_, units))| units.iter().sum()))),
        ("version", Cells::int(all().map(|_| 1))),
    ];
    let nodes = || {
        let at = |(p, (market, units)): (_, (Market, [u32; 2]))| {
            market.nodes().into_iter().zip(units).map(move |node| (p, market, node))
        };
        all().flat_map(at)
    };
    let nodes = vec![
        ("sku", Cells::text(nodes().map(|(p, _, _)| p.sku.as_str()))),
        ("region", Cells::text(nodes().map(|(_, market, _)| market.as_str()))),
        ("node", Cells::text(nodes().map(|(_, _, (node, _))| node))),
        ("quantity", Cells::int(nodes().map(|(_, _, (_, quantity))| quantity))),
    ];
    vec![Table { name: "stock", columns: stock }, Table { name: "node_stock", columns: nodes }]
}

const STOCKED: &str = "SELECT available, version FROM stock WHERE sku = $1 AND region = $2";

fn stock(row: &Row) -> Result<Stock> {
    Ok(Stock { available: row.get(0)?, version: row.get(1)? })
}

fn stock_before(change: &Change<'_>, sku: &Sku, market: Market) -> Result<Stock> {
    let row = change.sql().row(STOCKED, &[sku.into(), market.into()])?;
    stock(&row.ok_or_else(|| sku.unknown())?)
}

fn adjust(change: &mut Change<'_>, sku: &Sku, market: Market, node: &str, delta: i64) -> Result<Written> {
    if !market.nodes().contains(&node) {
        let shown: String = node.chars().take(40).collect();
        let known = market.nodes().join(", ");
        let what = format!("region {market} has no node {shown:?}: use one of {known}");
        return Err(Refusal::invalid("NODE_UNKNOWN", what));
    }
    let before = stock_before(change, sku, market)?;
    let sql = "SELECT quantity FROM node_stock WHERE sku = $1 AND region = $2 AND node = $3";
    let held = change.sql().row(sql, &[sku.into(), market.into(), node.into()])?;
    let held: u64 = held.map_or(Ok(0), |row| row.get(0))?;
    let Some(quantity) = held.checked_add_signed(delta) else {
        let what = format!("node {node} holds {held} of {sku}, fewer than {}", delta.unsigned_abs());
        return Err(Refusal::conflict("STOCK_SHORT", what));
    };
    let version = set_node(change, sku, market, node, quantity, &before)?;
    written(sku, market, version)
}

/// Writes one node's quantity, the region's sum with its next version, and the event.
fn set_node(
    change: &mut Change<'_>,
    sku: &Sku,
    market: Market,
    node: &str,
    quantity: u64,
    before: &Stock,
) -> Result<Version> {
    let stored = i64::try_from(quantity).map_err(|_| {
        Refusal::invalid("QUANTITY_INVALID", format!("{quantity} units are more than can be counted"))
    })?;
    change.sql().execute(
        "INSERT INTO node_stock (sku, region, node, quantity) VALUES ($1, $2, $3, $4)
         ON CONFLICT (sku, region, node) DO UPDATE SET quantity = excluded.quantity",
        &[sku.into(), market.into(), node.into(), stored.into()],
    )?;
    let updated = change.sql().one(
        "UPDATE stock SET version = version + 1, available =
             (SELECT sum(quantity) FROM node_stock WHERE sku = $1 AND region = $2)
         WHERE sku = $1 AND region = $2 RETURNING available, version",
        &[sku.into(), market.into()],
    )?;
    let (available, version): (u64, Version) = (updated.get(0)?, updated.get(1)?);
    change.publish(
        &AvailableToSellAdjusted {
            sku: sku.clone(),
            region: market,
            node: node.to_owned(),
            quantity,
            version: version.number(),
            available,
            available_before: before.available,
        },
        digest::stock(available),
    )?;
    Ok(version)
}

fn reserve(change: &mut Change<'_>, order: &str, sku: &Sku, market: Market, units: u64) -> Result<Written> {
    if let Some(version) = reserved(change, order)? {
        return written(sku, market, version);
    }
    let mut before = stock_before(change, sku, market)?;
    if before.available < units {
        let what = format!("{} of {sku} can be sold in {market}, fewer than {units}", before.available);
        return Err(Refusal::conflict("STOCK_SHORT", what));
    }
    let mut open = units;
    for (node, held) in fullest_first(change, sku, market)? {
        let taken = held.min(open);
        if taken == 0 {
            break;
        }
        before.version = set_node(change, sku, market, &node, held - taken, &before)?;
        before.available -= taken;
        open -= taken;
    }
    let quantity = i64::try_from(units).unwrap_or(i64::MAX);
    change.sql().execute(
        "INSERT INTO reservation (order_id, sku, region, quantity, version) VALUES ($1, $2, $3, $4, $5)",
        &[order.into(), sku.into(), market.into(), quantity.into(), before.version.into()],
    )?;
    written(sku, market, before.version)
}

fn reserved(change: &Change<'_>, order: &str) -> Result<Option<Version>> {
    let row = change.sql().row("SELECT version FROM reservation WHERE order_id = $1", &[order.into()])?;
    row.map(|row| row.get(0)).transpose()
}

fn fullest_first(change: &Change<'_>, sku: &Sku, market: Market) -> Result<Vec<(String, u64)>> {
    let sql =
        "SELECT node, quantity FROM node_stock WHERE sku = $1 AND region = $2 ORDER BY quantity DESC, node";
    let rows = change.sql().rows(sql, &[sku.into(), market.into()])?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

fn written(sku: &Sku, market: Market, version: Version) -> Result<Written> {
    let entity = Entity::new(STOCK, &offer_id(sku, market))?;
    Ok(Written { token: Token { entity, version }, published: true })
}

fn stocked(db: &Sql<'_>) -> Result<Vec<Stocked>> {
    let sql = "SELECT sku, region, available, version FROM stock ORDER BY sku, region";
    let stocked = |row: &Row| {
        Ok(Stocked { sku: row.get(0)?, region: row.get(1)?, available: row.get(2)?, version: row.get(3)? })
    };
    db.rows(sql, &[])?.iter().map(stocked).collect()
}
