//! Pricing: base prices and promotions. Owns `price/{sku}/{region}`, and is alone in saying what a price is and when a
//! promotion is in force - by its own clock, never by that of whoever shows the price.

use std::time::Duration;

use tidings::Clock;
use tidings_core::shared::Seen;
use tidings_core::{Code, Entity, Error, Time, Version, Window};
use tokio::sync::Notify;

use crate::context::{Context, Open};
use crate::digest;
use crate::name::{Market, Sku, offer_id};
use crate::refusal::{Refusal, Result};
use crate::seed::Catalogue;
use crate::store::{Cells, Change, Row, Schema, Sql, Table};
use crate::token::{Token, Written};

mod effective;
mod event;
mod timer;

use effective::{Promotion, in_force};
pub use event::{At, BasePriceChanged, PromotionActivated, PromotionExpired, PromotionScheduled};

/// The entity kind that Pricing owns.
pub const PRICE: &str = "price";

/// The highest base price, in cents.
const MOST_CENTS: u32 = 100_000_000;
/// How far ahead a promotion may begin, and how long it may last.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The price of a product in a region, as it is in force at Pricing's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// What is to be paid, in cents.
    pub cents: u32,
    /// What it would be without a promotion, in cents.
    pub base_cents: u32,
    /// What the promotion in force takes off, in percent.
    pub percent_off: Option<u8>,
    /// When the price in force may change without anybody changing it.
    pub boundary: Option<Time>,
    /// The version of the price.
    pub version: Version,
}

/// A promotion to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The product.
    pub sku: Sku,
    /// The region.
    pub market: Market,
    /// How much it takes off, 1 to 90 percent.
    pub percent: u8,
    /// How long from now it begins; zero is at once.
    pub starts_in: Duration,
    /// How long it lasts.
    pub lasts: Duration,
}

/// A promotion as it was entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promoted {
    /// The price as it is now.
    pub written: Written,
    /// The promotion's number.
    pub promotion: i64,
    /// From when until when it is in force.
    pub window: Window,
}

/// A row of Pricing's published snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Priced {
    pub(crate) sku: String,
    pub(crate) region: String,
    pub(crate) cents: u32,
    pub(crate) version: Version,
}

/// The context.
pub struct Pricing {
    context: Context,
    clock: Clock,
    scheduled: Notify,
}

impl Pricing {
    pub(crate) fn open(open: &Open, clock: Clock) -> Result<Self> {
        let schema = Schema {
            sqlite: include_str!("pricing/sqlite.sql"),
            postgres: include_str!("pricing/postgres.sql"),
            publishes: true,
        };
        let context = Context::open("pricing", schema, open, fill)?;
        Ok(Self { context, clock, scheduled: Notify::new() })
    }

    /// The price in force now, with its version and next boundary, from one snapshot; `None` if there is no such
    /// product.
    pub async fn price(&self, sku: &Sku, market: Market) -> Result<Option<Price>> {
        Ok(self.price_at(sku, market).await?.0)
    }

    /// As [`Pricing::price`], with what was seen of the database, if it can say.
    pub(crate) async fn price_at(&self, sku: &Sku, market: Market) -> Result<(Option<Price>, Option<Seen>)> {
        let (rows, seen) = self.context.readers.rows_at(PROMOTED, &[sku.as_str(), market.as_str()]).await?;
        Ok((price_of(&rows, &self.clock)?, seen))
    }

    /// Sets the base price, in cents (1 to 100,000,000).
    pub async fn set_base(&self, sku: &Sku, market: Market, cents: u32) -> Result<Written> {
        if !(1..=MOST_CENTS).contains(&cents) {
            let what = format!("{cents} is not a price in cents: use 1 to {MOST_CENTS}");
            return Err(Refusal::invalid("AMOUNT_INVALID", what));
        }
        let (about, sku, clock) = (sku.as_str(), sku.clone(), self.clock.clone());
        let command = move |change: &mut Change<'_>| set_base(change, &sku, market, cents, &clock);
        self.context.writer()?.command(about, command).await
    }

    /// Enters a promotion; it begins and ends by itself.
    pub async fn promote(&self, offer: Offer) -> Result<Promoted> {
        check(&offer)?;
        let (about, clock) = (offer.sku.clone(), self.clock.clone());
        let command = move |change: &mut Change<'_>| promote(change, &offer, &clock);
        let promoted = self.context.writer()?.command(about.as_str(), command).await;
        self.scheduled.notify_one();
        promoted
    }

    /// Every price in force, from one snapshot.
    pub(crate) async fn snapshot(&self) -> Result<Vec<Priced>> {
        let clock = self.clock.clone();
        self.context.readers.read(move |db| priced(db, &clock)).await
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

fn fill(catalogue: &Catalogue) -> Vec<Table<'_>> {
    let all =
        || catalogue.products.iter().flat_map(|p| Market::ALL.iter().zip(p.cents).map(move |at| (p, at)));
    let columns = vec![
        ("sku", Cells::text(all().map(|(p, _)| p.sku.as_str()))),
        ("region", Cells::text(all().map(|(_, (market, _))| market.as_str()))),
        ("base_cents", Cells::int(all().map(|(_, (_, cents))| cents))),
        ("version", Cells::int(all().map(|_| 1))),
    ];
    vec![Table { name: "price", columns }]
}

/// A price with each of its promotions, or one row without any.
const PROMOTED: &str = "SELECT base_cents, version, percent, starts_us, ends_us
    FROM price LEFT JOIN promotion USING (sku, region) WHERE sku = $1 AND region = $2";

fn price(db: &Sql<'_>, sku: &str, region: &str, clock: &Clock) -> Result<Option<Price>> {
    price_of(&db.rows(PROMOTED, &[sku.into(), region.into()])?, clock)
}

/// The clock is read after the snapshot was taken: what is in force is never judged by a moment before the state.
fn price_of(rows: &[Row], clock: &Clock) -> Result<Option<Price>> {
    let Some(row) = rows.first() else { return Ok(None) };
    let (base_cents, version) = (row.get(0)?, row.get(1)?);
    let promotions = rows.iter().filter_map(|row| promotion(row).transpose());
    let promotions = promotions.collect::<Result<Vec<_>>>()?;
    let (cents, percent_off, boundary) = in_force(base_cents, &promotions, clock.wall());
    Ok(Some(Price { cents, base_cents, percent_off, boundary, version }))
}

fn promotion(row: &Row) -> Result<Option<Promotion>> {
    let Some(percent) = row.get(2)? else { return Ok(None) };
    let (from, until) = (Time::from_micros(row.get(3)?), Time::from_micros(row.get(4)?));
    Ok(Some(Promotion { percent, window: Window { from: Some(from), until: Some(until) } }))
}

fn set_base(
    change: &mut Change<'_>,
    sku: &Sku,
    market: Market,
    cents: u32,
    clock: &Clock,
) -> Result<Written> {
    let Some(before) = price(&change.sql(), sku.as_str(), market.as_str(), clock)? else {
        return Err(sku.unknown());
    };
    if before.base_cents == cents {
        return written(sku, market, before.version, false);
    }
    let sql = "UPDATE price SET base_cents = $3, version = version + 1 WHERE sku = $1 AND region = $2";
    change.sql().execute(sql, &[sku.into(), market.into(), cents.into()])?;
    let after = price(&change.sql(), sku.as_str(), market.as_str(), clock)?.ok_or_else(|| sku.unknown())?;
    change.publish(
        &BasePriceChanged {
            sku: sku.clone(),
            region: market,
            version: after.version.number(),
            base_cents: after.base_cents,
            cents: after.cents,
        },
        digest::price(after.base_cents),
    )?;
    written(sku, market, after.version, true)
}

fn promote(change: &mut Change<'_>, offer: &Offer, clock: &Clock) -> Result<Promoted> {
    let (sku, market) = (&offer.sku, offer.market);
    let starts = clock.wall().plus(offer.starts_in);
    let ends = starts.plus(offer.lasts);
    if price(&change.sql(), sku.as_str(), market.as_str(), clock)?.is_none() {
        return Err(sku.unknown());
    }
    let entered = change.sql().one(
        "INSERT INTO promotion (sku, region, percent, starts_us, ends_us, activated)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        &[
            sku.into(),
            market.into(),
            u32::from(offer.percent).into(),
            starts.micros().into(),
            ends.micros().into(),
            u32::from(offer.starts_in.is_zero()).into(),
        ],
    )?;
    let promotion = entered.get(0)?;
    let after = raise(change, sku, market, clock)?;
    let (sku, region, percent) = (sku.clone(), market, offer.percent);
    let (starts_at, ends_at) = (At(starts.micros()), At(ends.micros()));
    let (version, cents) = (after.version.number(), after.cents);
    if offer.starts_in.is_zero() {
        let (starts, ends) = (starts_at, ends_at);
        change.publish(
            &PromotionActivated { sku, region, version, promotion, percent, starts, ends, cents },
            digest::price(after.base_cents),
        )?;
    } else {
        let (starts, ends) = (starts_at, ends_at);
        change.publish(
            &PromotionScheduled { sku, region, version, promotion, percent, starts, ends, cents },
            digest::price(after.base_cents),
        )?;
    }
    let written = written(&offer.sku, market, after.version, true)?;
    Ok(Promoted { written, promotion, window: Window { from: Some(starts), until: Some(ends) } })
}

/// Gives the price its next version, and returns it as it is now. The promotions are read once the price is locked: a
/// command and the timer may be about the same one at once, and each must count what the other has committed.
fn raise(change: &Change<'_>, sku: &Sku, market: Market, clock: &Clock) -> Result<Price> {
    let sql = "UPDATE price SET version = version + 1 WHERE sku = $1 AND region = $2";
    change.sql().execute(sql, &[sku.into(), market.into()])?;
    price(&change.sql(), sku.as_str(), market.as_str(), clock)?.ok_or_else(|| sku.unknown())
}

fn written(sku: &Sku, market: Market, version: Version, published: bool) -> Result<Written> {
    let entity = Entity::new(PRICE, &offer_id(sku, market))?;
    Ok(Written { token: Token { entity, version }, published })
}

fn priced(db: &Sql<'_>, clock: &Clock) -> Result<Vec<Priced>> {
    let promoted = db.rows("SELECT DISTINCT sku, region FROM promotion", &[])?;
    let promoted = promoted.iter().map(|row| Ok((row.get(0)?, row.get(1)?)));
    let promoted = promoted.collect::<Result<std::collections::BTreeSet<(String, String)>>>()?;
    let sql = "SELECT sku, region, base_cents, version FROM price ORDER BY sku, region";
    let priced = |row: &Row| {
        Ok(Priced { sku: row.get(0)?, region: row.get(1)?, cents: row.get(2)?, version: row.get(3)? })
    };
    let mut all = db.rows(sql, &[])?.iter().map(priced).collect::<Result<Vec<_>>>()?;
    for row in &mut all {
        if promoted.contains(&(row.sku.clone(), row.region.clone())) {
            row.cents = price(db, &row.sku, &row.region, clock)?.map_or(row.cents, |price| price.cents);
        }
    }
    Ok(all)
}

fn check(offer: &Offer) -> Result<()> {
    if !(1..=90).contains(&offer.percent) {
        let what = format!("{} percent cannot be taken off: use 1 to 90", offer.percent);
        return Err(Refusal::invalid("PERCENT_INVALID", what));
    }
    if offer.lasts.is_zero() || offer.lasts > LONGEST || offer.starts_in > LONGEST {
        let what =
            "a promotion must begin within 366 days and last longer than nothing, for at most 366 days";
        return Err(Refusal::invalid("WINDOW_INVALID", what));
    }
    Ok(())
}

/// What the timer reads of a promotion that is due.
struct Due {
    id: i64,
    sku: Sku,
    market: Market,
    percent: u8,
    starts: At,
    ends: At,
}

fn due(row: &Row) -> Result<Due> {
    let damaged = |e: Refusal| Error::new(Code::STORE_CORRUPT, "a promotion that cannot be read").because(e);
    Ok(Due {
        id: row.get(0)?,
        sku: Sku::parse(&row.get::<String>(1)?).map_err(damaged)?,
        market: Market::parse(&row.get::<String>(2)?).map_err(damaged)?,
        percent: row.get(3)?,
        starts: At(row.get(4)?),
        ends: At(row.get(5)?),
    })
}

#[cfg(test)]
mod tests;
