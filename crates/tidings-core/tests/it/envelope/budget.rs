//! How long to look for a counter-example, and where to begin.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a bound on the test itself; the core under test sees neither clock nor environment"
)]

use std::time::{Duration, Instant};

use proptest::prelude::Rng;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// `TIDINGS_FUZZ_SEED`, or any; printed, so that a run can be repeated.
pub(super) fn seed() -> u64 {
    let given = std::env::var("TIDINGS_FUZZ_SEED").ok().map(|s| s.parse().expect("a seed is a number"));
    let seed = given.unwrap_or_else(|| TestRunner::default().rng().next_u64());
    println!("TIDINGS_FUZZ_SEED={seed}");
    seed
}

/// Generates the same values for the same seed.
pub(super) fn runner(seed: u64) -> TestRunner {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed.to_le_bytes(); 4].concat());
    TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng)
}

/// A span of time that is used up.
pub(super) struct Budget(Instant);

impl Budget {
    pub(super) fn of(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// `TIDINGS_FUZZ_SECONDS`, by default 2.
    pub(super) fn for_fuzzing() -> Self {
        let given = std::env::var("TIDINGS_FUZZ_SECONDS").ok();
        let seconds = given.map_or(2.0, |s| s.parse().expect("TIDINGS_FUZZ_SECONDS is a number"));
        Self::of(Duration::from_secs_f64(seconds))
    }

    pub(super) fn is_left(&self) -> bool {
        Instant::now() < self.0
    }
}
