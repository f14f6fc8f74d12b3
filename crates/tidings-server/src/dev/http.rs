//! What answers on the port: the retail API, the console, the status.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use futures_util::{Stream, stream};
use retail::Platform;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::console::Console;

/// The server at work.
pub(crate) struct Server {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers on this listener.
    pub(crate) fn start(listener: TcpListener, platform: Arc<Platform>, console: Arc<Console>) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let router = retail::http::router(platform).merge(routes(console)).fallback(nothing_here);
        let router = router.layer(axum::middleware::from_fn(only_from_here));
        let task = tokio::spawn(async move {
            let stopped = async move {
                // If nobody is left to stop it, it is over, too.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                eprintln!("tidings: the HTTP server ended ({error})");
            }
        });
        Self { stop, task }
    }

    /// Lets requests under way finish, until the deadline.
    pub(crate) async fn stop(mut self, deadline: Instant) {
        self.stop.send_replace(true);
        let soon = Instant::now() + std::time::Duration::from_secs(1);
        if tokio::time::timeout_at(deadline.min(soon), &mut self.task).await.is_err() {
            // Idle connections of browsers.
            self.task.abort();
        }
    }
}

/// No other site's page may read or change anything here, nor a name that has been pointed at this address.
async fn only_from_here(request: Request, next: Next) -> Response {
    if is_from_here(request.headers()) {
        return next.run(request).await;
    }
    let error = "this address answers only programs and pages of this machine; use http://127.0.0.1";
    (StatusCode::FORBIDDEN, axum::Json(json!({ "error": error, "code": "ELSEWHERE" }))).into_response()
}

fn is_from_here(headers: &HeaderMap) -> bool {
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = header(header::HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let own = header(header::ORIGIN).is_none_or(|origin| origin == format!("http://{host}"));
    own && matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

fn routes(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/console/events", get(events))
        .route(
            "/console/style.css",
            get(|| async { asset("text/css", include_str!("../../assets/console.css")) }),
        )
        .route(
            "/console/console.js",
            get(|| async { asset("text/javascript", include_str!("../../assets/console.js")) }),
        )
        .route(
            "/console/icon.svg",
            get(|| async { asset("image/svg+xml", include_str!("../../assets/icon.svg")) }),
        )
        .route("/status", get(status))
        .with_state(console)
}

/// Nothing from elsewhere is loaded, and nobody else may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

async fn page(State(console): State<Arc<Console>>) -> Response {
    match console.page().await {
        Ok(page) => ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response(),
        Err(error) => failed(&error),
    }
}

async fn events(State(console): State<Arc<Console>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let boards = stream::unfold(console.boards(), |mut boards| async move {
        boards.changed().await.ok()?;
        let board = boards.borrow_and_update().clone();
        Some((Ok(Event::default().data(&*board)), boards))
    });
    Sse::new(boards).keep_alive(KeepAlive::default())
}

async fn status(State(console): State<Arc<Console>>) -> Response {
    match console.status().await {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => failed(&error),
    }
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let nosniff = (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), nosniff], text).into_response()
}

fn failed(error: &tidings_core::Error) -> Response {
    let body = json!({ "error": error.to_string(), "code": error.code().id() });
    (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(body)).into_response()
}

async fn nothing_here() -> Response {
    let body = json!({
        "error": "there is nothing at this address; the console is at /, the API begins with /products, /listings, \
                  /prices, /promotions, /stock, /content and /checkout",
        "code": "NOT_FOUND",
    });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_answered() {
        for (host, origin, answered) in [
            ("127.0.0.1:7878", None, true),
            ("localhost:7878", Some("http://localhost:7878"), true),
            ("127.0.0.1:7878", Some("http://evil.example"), false),
            ("127.0.0.1:7878", Some("null"), false),
            ("evil.example:7878", None, false),
            ("127.0.0.1.evil.example", None, false),
            ("", None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            origin.map(|origin| headers.insert(header::ORIGIN, HeaderValue::from_static(origin)));
            assert_eq!(is_from_here(&headers), answered, "{host} {origin:?}");
        }
    }
}
