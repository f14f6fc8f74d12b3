//! Reading: through the views, with a certificate.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::answer::{certified, headers};
use crate::experience::{ListingKey, Sort};
use crate::name::{Market, Sku};
use crate::refusal::{Refusal, Result};
use crate::storefront::Storefront;
use crate::token::Token;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProductQuery {
    region: String,
    at_least: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListingQuery {
    region: String,
    sort: Option<String>,
}

pub(super) async fn product(
    State(storefront): State<Arc<Storefront>>,
    sku: Result<Path<String>, PathRejection>,
    query: Result<Query<ProductQuery>, QueryRejection>,
) -> Result<Response> {
    let Query(query) = query.map_err(bad_query)?;
    let (sku, market) = (Sku::parse(&named(sku)?)?, Market::parse(&query.region)?);
    let page = match query.at_least.as_deref().map(Token::parse).transpose()? {
        None => storefront.product(&sku, market).await?,
        Some(token) => storefront.product_at_least(&sku, market, &token).await?,
    };
    Ok(match page.value() {
        Some(value) => certified("product", value, page.certificate()),
        None => (headers(page.certificate()), sku.unknown()).into_response(),
    })
}

pub(super) async fn listing(
    State(storefront): State<Arc<Storefront>>,
    category: Result<Path<String>, PathRejection>,
    query: Result<Query<ListingQuery>, QueryRejection>,
) -> Result<Response> {
    let Query(query) = query.map_err(bad_query)?;
    let sort = query.sort.as_deref().map(Sort::parse).transpose()?.unwrap_or(Sort::Popularity);
    let key = ListingKey::new(&named(category)?, Market::parse(&query.region)?, sort)?;
    let page = storefront.listing(&key).await?;
    Ok(certified("listing", &page.value(), page.certificate()))
}

fn bad_query(rejection: QueryRejection) -> Refusal {
    Refusal::invalid("QUERY_INVALID", format!("the query cannot be read: {}", rejection.body_text()))
}

/// The part of the path that names what it is about.
pub(super) fn named(path: Result<Path<String>, PathRejection>) -> Result<String> {
    let bad = |rejection: PathRejection| {
        Refusal::invalid("PATH_INVALID", format!("the address cannot be read: {}", rejection.body_text()))
    };
    path.map(|Path(name)| name).map_err(bad)
}
