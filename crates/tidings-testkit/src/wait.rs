//! Waiting for what must happen, instead of sleeping and hoping that it has.

use std::time::{Duration, Instant};

/// Far beyond what any step takes; reached only where something never comes.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks: short beside any step, long beside a look.
const PAUSE: Duration = Duration::from_millis(1);

/// Asks again until there is an answer. Needs a tokio runtime with time enabled.
///
/// # Panics
/// If there is none after a minute, saying what never happened.
pub async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "it never happened that {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// As [`until`], without a runtime: for tests of whole programs.
///
/// # Panics
/// If there is no answer after a minute, saying what never happened.
pub fn until_sync<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "it never happened that {what}");
        std::thread::sleep(PAUSE);
    }
}
