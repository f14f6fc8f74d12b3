//! The one place where the toolkit learns what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidings_core::Time;

/// Monotonic time and the source's time.
///
/// Time advances with the monotonic clock, so a wall clock that is set back cannot make an answer look younger than it
/// is. A machine that was suspended looks, until the next mark, as if it had not been: do not suspend servers.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { start: Instant, coarse: coarsetime::Instant, wall: Time },
    Manual(Arc<AtomicU64>),
    Runtime { start: tokio::time::Instant, wall: Time, offset: Arc<AtomicI64> },
}

/// A moment on the hit path: hundredths of a second of [`Clock::elapsed`], rounded down; good for more than a year. Eight bytes would be too
/// many per entry, and reading a finer clock too slow; whoever computes an age from two of them adds [`Moment::BLUR`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(pub(crate) u32);

impl Moment {
    const UNIT: Duration = Duration::from_millis(10);
    /// The kernel's coarse clock may be one scheduler tick behind (10 ms at 100 Hz), and rounding hides as much again.
    pub(crate) const BLUR: u32 = 2;

    pub(crate) fn of(since_start: Duration) -> Self {
        Self(u32::try_from(since_start.as_millis() / Self::UNIT.as_millis()).unwrap_or(u32::MAX))
    }

    /// The most time that can have passed since `earlier`.
    pub(crate) fn age_of(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0).saturating_add(Self::BLUR)
    }

    /// How many whole moments fit into `span`.
    pub(crate) fn span(span: Duration) -> u32 {
        Self::of(span).0
    }

    pub(crate) fn duration(units: u32) -> Duration {
        Duration::from_millis(u64::from(units) * 10)
    }

    pub(crate) fn plus(self, units: u32) -> Self {
        Self(self.0.saturating_add(units))
    }
}

/// [`Clock::PAST`] as moments.
const PAST: u32 = 100 * 24 * 60 * 60 * 100;

impl Clock {
    /// How far back from its start a clock reaches: what a process resumes from may be older than the process. No view's
    /// bound is longer, so what is older still is simply too old.
    pub const PAST: Duration = Duration::from_secs(100 * 24 * 60 * 60);

    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        // The monotonic start first: a pause between the two must not make later marks look younger.
        let (start, coarse) = (Instant::now(), coarsetime::Instant::now());
        Self(Source::System { start, coarse, wall: system_time() })
    }

    /// A clock that stands still until [`Clock::advance`].
    #[must_use]
    pub fn manual() -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(0))))
    }

    /// A clock that goes by the async runtime's, and shows `wall` now: on a paused runtime it moves as the runtime moves it.
    /// Make and read it inside that runtime.
    #[must_use]
    pub fn of_runtime(wall: Time) -> Self {
        Self(Source::Runtime { start: tokio::time::Instant::now(), wall, offset: Arc::default() })
    }

    /// Sets the machine's time under a clock of the runtime, and under every clone of it, as an operator or a time server
    /// does: as with the system's, the clock follows it forward, and never falls behind its own steady time. Other clocks
    /// do not listen.
    pub fn set_wall(&self, to: Time) {
        if let Source::Runtime { start, wall, offset } = &self.0 {
            let steady = wall.plus(start.elapsed());
            offset.store(to.micros().saturating_sub(steady.micros()), Ordering::Release);
        }
    }

    /// Moves a manual clock, and every clone of it, forward. Other clocks do not listen.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(nanos) = &self.0 {
            nanos.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::AcqRel);
        }
    }

    /// Monotonic time since [`Clock::PAST`] before the clock was made.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Self::PAST
            + match &self.0 {
                Source::System { start, .. } => start.elapsed(),
                Source::Manual(nanos) => Duration::from_nanos(nanos.load(Ordering::Acquire)),
                Source::Runtime { start, .. } => start.elapsed(),
            }
    }

    /// The time by this process's clock, as sources in this process stamp their commits.
    #[must_use]
    pub fn wall(&self) -> Time {
        match &self.0 {
            // Forward the system's clock may jump: sources elsewhere on this machine follow it.
            Source::System { start, wall, .. } => wall.plus(start.elapsed()).max(system_time()),
            Source::Manual(_) => Time::from_micros(0).plus(self.elapsed() - Self::PAST),
            Source::Runtime { start, wall, offset } => {
                let ahead = u64::try_from(offset.load(Ordering::Acquire)).unwrap_or(0);
                wall.plus(start.elapsed()).plus(Duration::from_micros(ahead))
            }
        }
    }

    /// Now, never later than it is, as cheaply as possible.
    pub(crate) fn moment(&self) -> Moment {
        match &self.0 {
            // Kept by the kernel: it advances even if this process was stopped, which a ticker of ours would not.
            Source::System { coarse, .. } => {
                let elapsed = coarsetime::Instant::now().duration_since(*coarse);
                Moment(u32::try_from(elapsed.as_millis() / 10).unwrap_or(u32::MAX)).plus(PAST)
            }
            Source::Manual(_) | Source::Runtime { .. } => Moment::of(self.elapsed()),
        }
    }
}

fn system_time() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_of_the_runtime_moves_with_it_and_only_its_wall_is_set() {
        let clock = Clock::of_runtime(Time::from_micros(1_000_000));
        tokio::time::advance(Duration::from_millis(30)).await;
        assert_eq!(clock.elapsed(), Clock::PAST + Duration::from_millis(30));
        assert_eq!(clock.moment(), Moment(PAST + 3));
        assert_eq!(clock.wall().micros(), 1_030_000);
        clock.set_wall(Time::from_micros(9_000_000));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(clock.clone().wall().micros(), 9_001_000, "forward it follows");
        clock.set_wall(Time::from_micros(5));
        assert_eq!(clock.wall().micros(), 1_031_000, "but never falls behind its own steady time");
        assert_eq!(clock.elapsed(), Clock::PAST + Duration::from_millis(31));
    }
}
