//! A driver at work.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings_core::error::Policy;
use tidings_core::port::Boxed;
use tidings_core::retry::Backoff;
use tidings_core::{Code, Error, Result};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A relay or consumer at work. Dropping it stops the work without draining.
#[derive(Debug)]
pub struct Running {
    name: String,
    stopping: Stopping,
    task: JoinHandle<Result<()>>,
    ended: Option<Result<()>>,
}

/// Tells a driver to drain. Not a `watch`, which wakes those who wait in an order of chance.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    asked: AtomicBool,
    told: Notify,
}

impl Stopping {
    pub(crate) fn ask(&self) {
        self.0.asked.store(true, Ordering::Release);
        self.0.told.notify_waiters();
    }

    /// Resolves once the driver should drain; at once if it has been told before.
    pub(crate) async fn asked(&self) {
        // Registered before it looks, so that nothing in between is missed.
        let told = self.0.told.notified();
        if !self.is_asked() {
            told.await;
        }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }
}

impl Running {
    pub(crate) fn spawn<F>(name: String, work: impl FnOnce(Stopping) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let stopping = Stopping::default();
        let task = tokio::spawn(work(stopping.clone()));
        Self { name, stopping, task, ended: None }
    }

    /// Whether it has ended by itself, which only a failure makes it do.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until it ends by itself, and says why.
    pub async fn finished(&mut self) -> Result<()> {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        let ended = match (&mut self.task).await {
            Ok(result) => result,
            Err(failure) => Err(Error::new(Code::DEFECT, format!("{} panicked", self.name)).because(failure)),
        };
        self.ended.insert(ended).clone()
    }

    /// Lets it finish what there is to do, and waits for that. If it takes longer than `at_most` it is ended; nothing
    /// is lost, since what was not confirmed is done again after the next start.
    pub async fn stop(mut self, at_most: Duration) -> Result<()> {
        self.stopping.ask();
        match tokio::time::timeout(at_most, self.finished()).await {
            Ok(result) => result,
            Err(_) => {
                let what = format!("{} did not drain within {at_most:?}", self.name);
                Err(Error::new(Code::STOPPING, what))
            }
        }
    }
}

/// Tries again, with pauses, as long as waiting may help: for what a driver needs before it can begin.
pub(crate) async fn persist<'a, T>(work: impl Fn() -> Boxed<'a, Result<T>>) -> Result<T> {
    for attempt in 1.. {
        match work().await {
            Err(error) if error.kind().policy() == Policy::Backoff => {
                tokio::time::sleep(Backoff::default().wait(attempt, u64::from(attempt))).await;
            }
            done => return done,
        }
    }
    Err(Error::new(Code::OVERLOADED, "the attempts are used up"))
}

/// Spreads retries; nothing depends on its quality. The same after the same time, so that a run on a paused clock can be
/// repeated.
pub(crate) fn random(elapsed: Duration) -> u64 {
    let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(0);
    xxhash_rust::xxh3::xxh3_64(&nanos.to_le_bytes())
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
