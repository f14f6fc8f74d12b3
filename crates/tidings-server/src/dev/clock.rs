//! The clock of a history that several processes write.

use rustix::time::{ClockId, clock_gettime};
use tidings_testkit::history::Nanos;

/// Nanoseconds since a moment that all processes of a run agree on, by the machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunClock {
    origin: u64,
}

impl RunClock {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self { origin: monotonic() }
    }

    /// The clock of a run that began at this origin.
    pub(crate) const fn since(origin: u64) -> Self {
        Self { origin }
    }

    /// When it began, for other processes of this machine.
    pub(crate) const fn origin(self) -> u64 {
        self.origin
    }

    pub(crate) fn now(self) -> Nanos {
        monotonic().saturating_sub(self.origin)
    }
}

fn monotonic() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or_default().saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or_default())
}
