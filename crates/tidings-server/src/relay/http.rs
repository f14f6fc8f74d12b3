//! Probes, metrics, pause and resume.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::board::{Board, Phase};

/// Answers until it is aborted.
pub(super) async fn serve(listener: TcpListener, board: Arc<Board>) {
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(async |State(board): State<Arc<Board>>| Json(board.status())))
        .route("/pause", post(async |State(board), headers: HeaderMap| hold(&board, &headers, true)))
        .route("/resume", post(async |State(board), headers: HeaderMap| hold(&board, &headers, false)))
        .with_state(board);
    if let Err(error) = axum::serve(listener, router).await {
        eprintln!("tidings: the HTTP server ended ({error})");
    }
}

async fn ready(State(board): State<Arc<Board>>) -> Response {
    let status = board.status();
    let text = match (status.source.or(status.log), status.phase) {
        (Some(trouble), _) => trouble,
        (None, Phase::Starting) => "starting".to_owned(),
        (None, Phase::StandingBy) => "standing by".to_owned(),
        (None, Phase::Leading) => "leading".to_owned(),
        (None, Phase::Draining) => "draining".to_owned(),
    };
    let code = if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{text}\n")).into_response()
}

async fn metrics(State(board): State<Arc<Board>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], board.metrics()).into_response()
}

fn hold(board: &Arc<Board>, headers: &HeaderMap, paused: bool) -> Response {
    // A browser says from which page it asks; no page has business here.
    if headers.contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, "not for pages\n").into_response();
    }
    board.pause(paused);
    Json(board.status()).into_response()
}
