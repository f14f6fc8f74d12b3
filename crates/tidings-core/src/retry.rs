//! How long to wait before trying again.

use std::time::Duration;

/// A doubling wait with a ceiling.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(10), longest: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// The wait before attempt `attempt` (the first retry is 1): between half and all of the doubled wait, chosen by
    /// `random`, so that many who failed together do not come back together.
    #[must_use]
    pub fn wait(self, attempt: u32, random: u64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        let half = full / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos(random % spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_ceiling_and_never_vanish() {
        let backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(50) };
        for (attempt, full) in [(1, 10), (2, 20), (3, 40), (4, 50), (1000, 50)] {
            for random in [0, 1, u64::MAX] {
                let wait = backoff.wait(attempt, random);
                let full = Duration::from_millis(full);
                assert!(wait >= full / 2 && wait <= full, "attempt {attempt}: {wait:?}");
            }
        }
    }
}
