//! The platform over HTTP: JSON in, JSON out, and with each answer what is known of its freshness.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};

use crate::platform::Platform;
use crate::storefront::Storefront;

mod answer;
mod read;
mod write;

/// The largest request body, in bytes.
const BODY_BYTES: usize = 64 << 10;

/// The API of a running platform.
///
/// | | |
/// |---|---|
/// | `GET /products/{sku}?region=eu` | a product page; `at_least=price/SKU/eu:7` reads at least that |
/// | `GET /listings/{category}?region=eu&sort=price` | a listing: `price`, `popularity` (default) or `newest` |
/// | `PUT /prices/{sku}` | `{"region", "amount_cents"}` |
/// | `POST /promotions` | `{"sku", "region", "percent", "starts_in_s"?, "lasts_s"}` |
/// | `POST /stock/{sku}` | `{"region", "node", "delta"}` |
/// | `PUT /content/{sku}` | any of `{"title", "description", "category", "media", "note"}` |
/// | `POST /checkout` | `{"sku", "region", "quantity", "expected_cents"?}` |
///
/// Reads answer with `x-tidings-freshness` and `x-tidings-version`; writes with a token to read at least that. What
/// is refused answers `{"error", "code"}`.
pub fn router(platform: Arc<Platform>) -> Router {
    let reads = reads(platform.storefront().clone());
    let writes = Router::new()
        .route("/prices/{sku}", put(write::price))
        .route("/promotions", post(write::promotion))
        .route("/stock/{sku}", post(write::stock))
        .route("/content/{sku}", put(write::content))
        .route("/checkout", post(write::checkout))
        .with_state(platform);
    reads
        .merge(writes)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

/// The reading half of it, of one copy alone.
pub fn storefront(storefront: Arc<Storefront>) -> Router {
    reads(storefront).method_not_allowed_fallback(answer::method_not_allowed)
}

fn reads(storefront: Arc<Storefront>) -> Router {
    Router::new()
        .route("/products/{sku}", get(read::product))
        .route("/listings/{category}", get(read::listing))
        .with_state(storefront)
}
