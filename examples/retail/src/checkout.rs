//! Checkout: commits to a price and takes stock. Never on the word of a cache.
//!
//! [`Checkout::place`] takes [`Direct`] values, which only a read past every cache can make:
//!
//! ```
//! use retail::checkout::{Checkout, Order, Placed};
//! use retail::{Price, Refusal, Stock};
//! use tidings::Direct;
//!
//! async fn right(
//!     checkout: &Checkout,
//!     order: Order,
//!     price: Direct<Price>,
//!     stock: Direct<Stock>,
//! ) -> Result<Placed, Refusal> {
//!     checkout.place(order, price, stock).await
//! }
//! ```
//!
//! A cached price does not compile, however fresh:
//!
//! ```compile_fail,E0308
//! use retail::checkout::{Checkout, Order, Placed};
//! use retail::{Price, Refusal, Stock};
//! use tidings::{Cached, Direct};
//!
//! async fn wrong(
//!     checkout: &Checkout,
//!     order: Order,
//!     price: Cached<Price>,
//!     stock: Direct<Stock>,
//! ) -> Result<Placed, Refusal> {
//!     checkout.place(order, price, stock).await
//! }
//! ```

use std::path::Path;
use std::sync::Arc;

use rusqlite::params;
use serde::Serialize;
use tidings::Direct;
use tidings_core::{Code, Error, Version};

use crate::context::{Open, file};
use crate::inventory::{Inventory, Stock};
use crate::name::{Market, Sku};
use crate::pricing::Price;
use crate::refusal::{Refusal, Result};
use crate::store::{self, Writer, unsigned};
use crate::token::{self, Token};

/// What a customer wants to buy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The product.
    pub sku: Sku,
    /// The region it is bought in.
    pub market: Market,
    /// How many.
    pub quantity: u32,
    /// The price the customer was shown, in cents; any other is refused. `None` accepts the price in force.
    pub expected_cents: Option<u32>,
}

/// A placed order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placed {
    /// The order's number.
    pub order: i64,
    /// What one unit costs, in cents.
    pub unit_cents: u32,
    /// What all units cost, in cents.
    pub total_cents: u64,
    /// The version of the price that this is.
    #[serde(serialize_with = "token::as_number")]
    pub price_version: Version,
    /// The stock after it was taken.
    pub stock: Token,
}

/// The context.
pub struct Checkout {
    writer: Writer,
    inventory: Arc<Inventory>,
}

impl Checkout {
    pub(crate) fn open(dir: &Path, open: &Open<'_>, inventory: Arc<Inventory>) -> Result<Self> {
        let connection = store::open_writer(&file(dir, "checkout"), include_str!("checkout/schema.sql"))?;
        let publishes_nothing = Box::new(|| {});
        let writer = Writer::start("checkout", connection, open.witness.clone(), publishes_nothing)?;
        Ok(Self { writer, inventory })
    }

    /// Places an order at the price in force and takes its stock, or refuses it whole.
    ///
    /// The order is written first and settled afterwards, so that stock taken just before a crash belongs to an order
    /// that is found and settled at the next start.
    pub async fn place(&self, order: Order, price: Direct<Price>, stock: Direct<Stock>) -> Result<Placed> {
        let (price, stock) = (price.into_inner(), stock.into_inner());
        let units = u64::from(order.quantity);
        if !(1..=1000).contains(&order.quantity) {
            let what = format!("{units} units cannot be ordered at once: use 1 to 1000");
            return Err(Refusal::invalid("QUANTITY_INVALID", what));
        }
        if order.expected_cents.is_some_and(|expected| expected != price.cents) {
            let what = format!("the price of {} in {} is {} cents now", order.sku, order.market, price.cents);
            return Err(Refusal::conflict("PRICE_CHANGED", what));
        }
        if stock.available < units {
            let (sku, market) = (&order.sku, order.market);
            let what = format!("{} of {sku} can be sold in {market}, fewer than {units}", stock.available);
            return Err(Refusal::conflict("STOCK_SHORT", what));
        }
        let pending = Pending { number: 0, sku: order.sku, market: order.market, units };
        let pending = self.enter(pending, price).await?;
        let stock = self.take_stock(&pending).await?;
        Ok(Placed {
            order: pending.number,
            unit_cents: price.cents,
            total_cents: u64::from(price.cents) * units,
            price_version: price.version,
            stock,
        })
    }

    /// Settles what a crash left pending; returns how many orders that were.
    pub(crate) async fn settle(&self) -> Result<usize> {
        let pending = self.writer.command(|change| pending(change.sql())).await?;
        for order in &pending {
            match self.take_stock(order).await {
                Ok(_) | Err(Refusal::Conflict { .. } | Refusal::Unknown { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(pending.len())
    }

    pub(crate) async fn stop(&self) {
        self.writer.stop().await;
    }

    async fn enter(&self, order: Pending, price: Price) -> Result<Pending> {
        let enter = move |change: &mut store::Change<'_>| {
            change
                .sql()
                .prepare_cached(
                    "INSERT INTO orders (sku, region, quantity, unit_cents, price_version)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    order.sku.as_str(),
                    order.market.as_str(),
                    i64::try_from(order.units).unwrap_or(i64::MAX),
                    price.cents,
                    token::column(price.version)
                ])?;
            Ok(Pending { number: change.sql().last_insert_rowid(), ..order })
        };
        self.writer.command(enter).await
    }

    /// Inventory has the last word: what was read before may be gone. An order whose outcome is unknown stays pending.
    async fn take_stock(&self, order: &Pending) -> Result<Token> {
        let name = format!("order/{}", order.number);
        let taken = self.inventory.reserve(&name, &order.sku, order.market, order.units).await;
        let state = match &taken {
            Ok(_) => "placed",
            Err(Refusal::Failed(_)) => return taken.map(|written| written.token),
            Err(_) => "refused",
        };
        let number = order.number;
        let settle = move |change: &mut store::Change<'_>| {
            let mut update = change.sql().prepare_cached("UPDATE orders SET state = ?2 WHERE number = ?1")?;
            update.execute(params![number, state])?;
            Ok(())
        };
        self.writer.command(settle).await?;
        taken.map(|written| written.token)
    }
}

struct Pending {
    number: i64,
    sku: Sku,
    market: Market,
    units: u64,
}

fn pending(db: &rusqlite::Connection) -> Result<Vec<Pending>> {
    let mut query = db.prepare(
        "SELECT number, sku, region, quantity FROM orders WHERE state = 'pending' ORDER BY number",
    )?;
    let mut rows = query.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (sku, region): (String, String) = (row.get(1)?, row.get(2)?);
        let damaged = |e: Refusal| Error::new(Code::STORE_CORRUPT, "an order that cannot be read").because(e);
        found.push(Pending {
            number: row.get(0)?,
            sku: Sku::parse(&sku).map_err(damaged)?,
            market: Market::parse(&region).map_err(damaged)?,
            units: unsigned(row, 3)?,
        });
    }
    Ok(found)
}
