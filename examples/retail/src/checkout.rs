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

use std::sync::Arc;

use serde::Serialize;
use tidings::Direct;
use tidings_core::{Code, Error, Version};

use crate::context::{Context, Open};
use crate::inventory::{Inventory, Stock};
use crate::name::{Market, Sku};
use crate::pricing::Price;
use crate::refusal::{Refusal, Result};
use crate::store::{Change, Row, Schema, Sql};
use crate::token::{self, Token};

/// What its commands are about: one after another, since there are few.
const ORDERS: &str = "";

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
    context: Context,
    inventory: Arc<Inventory>,
}

impl Checkout {
    pub(crate) fn open(open: &Open, inventory: Arc<Inventory>) -> Result<Self> {
        let schema = Schema {
            sqlite: include_str!("checkout/sqlite.sql"),
            postgres: include_str!("checkout/postgres.sql"),
            publishes: false,
        };
        let begins_empty = |_: &_| Vec::new();
        Ok(Self { context: Context::open("checkout", schema, open, begins_empty)?, inventory })
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
        let pending = self.context.writer()?.command(ORDERS, |change| pending(&change.sql())).await?;
        for order in &pending {
            match self.take_stock(order).await {
                Ok(_) | Err(Refusal::Conflict { .. } | Refusal::Unknown { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(pending.len())
    }

    pub(crate) async fn stop(&self) {
        self.context.stop().await;
    }

    async fn enter(&self, order: Pending, price: Price) -> Result<Pending> {
        let enter = move |change: &mut Change<'_>| {
            let entered = change.sql().one(
                "INSERT INTO orders (sku, region, quantity, unit_cents, price_version)
                 VALUES ($1, $2, $3, $4, $5) RETURNING number",
                &[
                    (&order.sku).into(),
                    order.market.into(),
                    i64::try_from(order.units).unwrap_or(i64::MAX).into(),
                    price.cents.into(),
                    price.version.into(),
                ],
            )?;
            Ok(Pending { number: entered.get(0)?, ..order })
        };
        self.context.writer()?.command(ORDERS, enter).await
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
        let settle = move |change: &mut Change<'_>| {
            let sql = "UPDATE orders SET state = $2 WHERE number = $1";
            change.sql().execute(sql, &[number.into(), state.into()]).map(drop)
        };
        self.context.writer()?.command(ORDERS, settle).await?;
        taken.map(|written| written.token)
    }
}

struct Pending {
    number: i64,
    sku: Sku,
    market: Market,
    units: u64,
}

fn pending(db: &Sql<'_>) -> Result<Vec<Pending>> {
    let sql = "SELECT number, sku, region, quantity FROM orders WHERE state = 'pending' ORDER BY number";
    let damaged = |e: Refusal| Error::new(Code::STORE_CORRUPT, "an order that cannot be read").because(e);
    let pending = |row: &Row| {
        Ok(Pending {
            number: row.get(0)?,
            sku: Sku::parse(&row.get::<String>(1)?).map_err(damaged)?,
            market: Market::parse(&row.get::<String>(2)?).map_err(damaged)?,
            units: row.get(3)?,
        })
    };
    db.rows(sql, &[])?.iter().map(pending).collect()
}
