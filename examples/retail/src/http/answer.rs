//! How answers and refusals look.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use tidings_core::error::Kind;
use tidings_core::{Certificate, Freshness, Path};

use crate::refusal::Refusal;

const FRESHNESS: HeaderName = HeaderName::from_static("x-tidings-freshness");
const VERSION: HeaderName = HeaderName::from_static("x-tidings-version");

/// An answer from a view, under its name, with its certificate in the body and in headers.
pub(super) fn certified(name: &str, value: &impl Serialize, certificate: Certificate) -> Response {
    let body = json!({ name: value, "certificate": shown(certificate) });
    (headers(certificate), Json(body)).into_response()
}

fn shown(certificate: Certificate) -> Value {
    let within_ms = match certificate.freshness {
        // Rounded up: rounded down, it would claim more than is known.
        Freshness::Within(age) => Some(u64::try_from(age.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)),
        _ => None,
    };
    json!({
        "freshness": certificate.freshness.to_string(),
        "within_ms": within_ms,
        "version": certificate.version.map(tidings_core::Version::number),
        "path": path(certificate.path),
    })
}

fn path(path: Path) -> &'static str {
    match path {
        Path::L1 => "l1",
        Path::L2 => "l2",
        Path::Source => "source",
        Path::SourceUnkept => "source, not kept",
        Path::Coalesced => "coalesced",
    }
}

pub(super) fn headers(certificate: Certificate) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(freshness) = HeaderValue::from_str(&certificate.freshness.to_string()) {
        headers.insert(FRESHNESS, freshness);
    }
    if let Some(version) = certificate.version {
        headers.insert(VERSION, HeaderValue::from(version.number()));
    }
    headers
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } => StatusCode::BAD_REQUEST,
            Self::Unknown { .. } => StatusCode::NOT_FOUND,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::Failed(error) => match error.kind() {
                Kind::Input => StatusCode::BAD_REQUEST,
                Kind::Retry | Kind::Setup | Kind::Fenced => StatusCode::SERVICE_UNAVAILABLE,
                Kind::Data | Kind::Fatal => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.to_string(), "code": self.code() });
        (self.status(), Json(body)).into_response()
    }
}

pub(super) async fn method_not_allowed() -> Response {
    let body = json!({ "error": "this address does not take that method", "code": "METHOD_NOT_ALLOWED" });
    (StatusCode::METHOD_NOT_ALLOWED, Json(body)).into_response()
}
