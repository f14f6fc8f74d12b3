//! Ctrl-C, and waiting that ends with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Somebody asked to end.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it was asked to end")
    }
}

impl std::error::Error for Interrupted {}

/// Whether somebody asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From here on, Ctrl-C and its kin end this program only when it looks here.
    pub(crate) fn listen(runtime: &Handle) -> Result<Self> {
        let stop = Self::default();
        let _context = runtime.enter();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let (mut signals, stop) = (signal(kind)?, stop.clone());
            runtime.spawn(async move {
                signals.recv().await;
                stop.ask();
            });
        }
        Ok(stop)
    }

    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn check(&self) -> Result<()> {
        ensure!(!self.0.load(Ordering::Relaxed), Interrupted);
        Ok(())
    }

    /// Lets this much time pass.
    pub(crate) fn pass(&self, time: Duration) -> Result<()> {
        self.until(time, || Ok(false)).map(drop)
    }

    /// Looks until it is so; whether it came to be in time.
    pub(crate) fn until(&self, limit: Duration, mut is_so: impl FnMut() -> Result<bool>) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            self.check()?;
            if is_so()? {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}
