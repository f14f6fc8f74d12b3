//! Where the time comes from: the system, or a test.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidings_core::Time;

/// Tells the time of the machine that owns the data.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// The system's wall clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(now)
}

pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
