//! What every implementation of a port must do: one suite per port, run by each backend as its first test.
//!
//! A suite is ordinary async functions that panic with what they saw; `run_all` runs every one. A backend describes
//! itself by a *home*, which opens it again as a restart would.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidings_core::{Result, Time};

pub mod log;
pub mod outbox;
pub mod parking;
pub(crate) mod sample;
pub mod store;
#[cfg(test)]
mod tests;

pub use log::LogHome;
pub use outbox::OutboxHome;
pub use parking::ParkingHome;
pub use store::{StoreHome, Subject};

/// Far beyond what any step takes; reached only where something never comes.
const DEADLINE: Duration = Duration::from_secs(60);

/// The value, or a panic that says what was being done.
#[track_caller]
fn must<T>(doing: &str, result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{doing}: {error}"),
    }
}

/// The future's value, or a panic if it never comes.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing after {DEADLINE:?}"),
    }
}

/// Polls a future once, so that it has begun (and registered itself, if it waits).
async fn begin<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

fn system_now() -> Time {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
    Time::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}
