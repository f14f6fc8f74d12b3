//! Writing: to the owners, each answered with a token.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::read::named;
use crate::catalog::Revision;
use crate::checkout::{Order, Placed};
use crate::name::{Market, Sku};
use crate::platform::Platform;
use crate::pricing::Offer;
use crate::refusal::{Refusal, Result};
use crate::token::Written;

type Body = Result<Bytes, BytesRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPrice {
    region: String,
    amount_cents: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPromotion {
    sku: String,
    region: String,
    percent: u8,
    #[serde(default)]
    starts_in_s: f64,
    lasts_s: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjustment {
    region: String,
    node: String,
    delta: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    sku: String,
    region: String,
    quantity: u32,
    expected_cents: Option<u32>,
}

pub(super) async fn price(
    State(platform): State<Arc<Platform>>,
    sku: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Json<Written>> {
    let new: NewPrice = read(body)?;
    let (sku, market) = (Sku::parse(&named(sku)?)?, Market::parse(&new.region)?);
    platform.set_price(&sku, market, new.amount_cents).await.map(Json)
}

pub(super) async fn promotion(State(platform): State<Arc<Platform>>, body: Body) -> Result<Json<Value>> {
    let new: NewPromotion = read(body)?;
    let offer = Offer {
        sku: Sku::parse(&new.sku)?,
        market: Market::parse(&new.region)?,
        percent: new.percent,
        starts_in: seconds("starts_in_s", new.starts_in_s)?,
        lasts: seconds("lasts_s", new.lasts_s)?,
    };
    let promoted = platform.promote(offer).await?;
    Ok(Json(json!({
        "token": promoted.written.token,
        "promotion": promoted.promotion,
        "starts": promoted.window.from.map(|time| time.to_string()),
        "ends": promoted.window.until.map(|time| time.to_string()),
    })))
}

pub(super) async fn stock(
    State(platform): State<Arc<Platform>>,
    sku: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Json<Written>> {
    let new: Adjustment = read(body)?;
    let (sku, market) = (Sku::parse(&named(sku)?)?, Market::parse(&new.region)?);
    platform.adjust_stock(&sku, market, &new.node, new.delta).await.map(Json)
}

pub(super) async fn content(
    State(platform): State<Arc<Platform>>,
    sku: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Json<Written>> {
    let revision: Revision = read(body)?;
    platform.revise(&Sku::parse(&named(sku)?)?, revision).await.map(Json)
}

pub(super) async fn checkout(State(platform): State<Arc<Platform>>, body: Body) -> Result<Json<Placed>> {
    let new: NewOrder = read(body)?;
    let order = Order {
        sku: Sku::parse(&new.sku)?,
        market: Market::parse(&new.region)?,
        quantity: new.quantity,
        expected_cents: new.expected_cents,
    };
    platform.check_out(order).await.map(Json)
}

/// Read from the bytes, whatever media type they claim, so that every fault is told in the same way.
fn read<T: DeserializeOwned>(body: Body) -> Result<T> {
    let bytes = body.map_err(|rejection| {
        Refusal::invalid("BODY_INVALID", format!("the body cannot be read: {}", rejection.body_text()))
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Refusal::invalid("BODY_INVALID", format!("the body is not what is expected: {e}")))
}

fn seconds(what: &str, seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        Refusal::invalid("WINDOW_INVALID", format!("{what} is {seconds}: use a number of seconds, 0 or more"))
    })
}
