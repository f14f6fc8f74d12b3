//! One change, as colleagues and customers make them.

use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;

use super::market;
use crate::catalog::Revision;
use crate::name::{Market, Sku};
use crate::platform::Platform;
use crate::pricing::Offer;
use crate::refusal::Result;
use crate::token::{Token, Written};

/// A change that was made, and where it can be seen.
pub(super) struct Made {
    pub(super) market: Market,
    pub(super) token: Token,
}

/// Half of all changes are stock, a third prices, the rest content and promotions.
pub(super) async fn make(platform: &Platform, sku: &Sku, random: &mut SmallRng) -> Result<Made> {
    match random.random_range(0..100) {
        0..50 => stock(platform, sku, random).await,
        50..83 => price(platform, sku, random).await,
        83..95 => content(platform, sku, random).await,
        _ => promotion(platform, sku, random).await,
    }
}

/// Three sales for each delivery.
async fn stock(platform: &Platform, sku: &Sku, random: &mut SmallRng) -> Result<Made> {
    let market = market(random);
    let node = market.nodes()[random.random_range(0..2)];
    let delta =
        if random.random_ratio(3, 4) { -random.random_range(1..=3) } else { random.random_range(4..=9) };
    let Written { token, .. } = platform.adjust_stock(sku, market, node, delta).await?;
    Ok(Made { market, token })
}

/// Up or down by about a tenth, ending in 9.
async fn price(platform: &Platform, sku: &Sku, random: &mut SmallRng) -> Result<Made> {
    let market = market(random);
    let percent = random.random_range(90..=111);
    let Some(price) = platform.pricing().price(sku, market).await? else { return Err(sku.unknown()) };
    let cents = (price.base_cents / 10 * percent / 100).clamp(20, 900_000) * 10 + 9;
    let Written { token, .. } = platform.set_price(sku, market, cents).await?;
    Ok(Made { market, token })
}

/// One in five is bookkeeping, which nobody is told of.
async fn content(platform: &Platform, sku: &Sku, random: &mut SmallRng) -> Result<Made> {
    const MARK: &str = ", edition ";
    let edition = random.random_range(2..1000);
    let bookkeeping = random.random_ratio(1, 5);
    let Some(content) = platform.catalog().content(sku).await? else { return Err(sku.unknown()) };
    let plain = content.title.split(MARK).next().unwrap_or_default();
    let revision = if bookkeeping {
        Revision { note: Some(format!("checked, {edition}")), ..Revision::default() }
    } else {
        Revision { title: Some(format!("{plain}{MARK}{edition}")), ..Revision::default() }
    };
    let Written { token, .. } = platform.revise(sku, revision).await?;
    Ok(Made { market: market(random), token })
}

/// Short ones, so that a run of seconds sees them begin and end.
async fn promotion(platform: &Platform, sku: &Sku, random: &mut SmallRng) -> Result<Made> {
    let market = market(random);
    let offer = Offer {
        sku: sku.clone(),
        market,
        percent: random.random_range(1..=8) * 5,
        starts_in: Duration::from_millis(random.random_range(0..4) * 500),
        lasts: Duration::from_millis(random.random_range(1_000..6_000)),
    };
    let Written { token, .. } = platform.promote(offer).await?.written;
    Ok(Made { market, token })
}
