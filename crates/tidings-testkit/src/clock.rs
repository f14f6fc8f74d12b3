//! Time that moves only when the test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tidings_core::Time;

/// A wall clock and a monotonic clock, shared by all clones.
///
/// They advance together; only the wall clock can be set, as an operator or a time server does. Code that orders
/// events by the wall clock fails where the two part.
#[derive(Debug, Clone)]
pub struct VirtualClock(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    wall_micros: AtomicI64,
    monotonic_micros: AtomicU64,
}

impl VirtualClock {
    /// A clock that shows `start`; its monotonic side begins at zero.
    #[must_use]
    pub fn starting_at(start: Time) -> Self {
        Self(Arc::new(Hands {
            wall_micros: AtomicI64::new(start.micros()),
            monotonic_micros: AtomicU64::new(0),
        }))
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::from_micros(self.0.wall_micros.load(Ordering::SeqCst))
    }

    /// Whole milliseconds passed since the start, by the monotonic clock.
    #[must_use]
    pub fn millis(&self) -> u64 {
        self.0.monotonic_micros.load(Ordering::SeqCst) / 1000
    }

    /// Lets time pass, to the microsecond.
    pub fn advance(&self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.0.monotonic_micros.fetch_add(micros, Ordering::SeqCst);
        self.0.wall_micros.fetch_add(i64::try_from(micros).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the wall clock, forwards or backwards; the monotonic clock does not notice.
    pub fn set_wall(&self, time: Time) {
        self.0.wall_micros.store(time.micros(), Ordering::SeqCst);
    }

    /// The wall clock as the function that components take.
    #[must_use]
    pub fn as_fn(&self) -> Arc<dyn Fn() -> Time + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }

    /// The monotonic clock, in milliseconds, as the function that components take.
    #[must_use]
    pub fn as_millis_fn(&self) -> Arc<dyn Fn() -> u64 + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_time_and_only_the_wall_clock_jumps() {
        let clock = VirtualClock::starting_at(Time::from_micros(1_000_000));
        let (wall, millis) = (clock.as_fn(), clock.as_millis_fn());
        clock.advance(Duration::from_micros(2_500));
        assert_eq!((wall().micros(), millis()), (1_002_500, 2));
        clock.set_wall(Time::from_micros(5));
        assert_eq!((wall().micros(), millis()), (5, 2));
    }
}
