//! The ports in memory: for tests, and for what need not outlive the process.
//!
//! They keep every promise of their ports but one: nothing survives the process.

use std::time::{SystemTime, UNIX_EPOCH};

use tidings_core::Time;

mod log;
mod outbox;
mod shared;
#[cfg(test)]
mod tests;

pub use log::MemoryLog;
pub use outbox::MemoryOutbox;
pub use shared::MemoryLevel;

/// A wall clock; tests pass their own.
type WallClock = Box<dyn Fn() -> Time + Send + Sync>;

fn system_clock() -> WallClock {
    Box::new(|| {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_micros());
        Time::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    })
}
