//! A driver at work.

use std::future::Future;
use std::time::Duration;

use tidings_core::error::Policy;
use tidings_core::port::Boxed;
use tidings_core::retry::Backoff;
use tidings_core::{Code, Error, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A relay or consumer at work. Dropping it stops the work without draining.
#[derive(Debug)]
pub struct Running {
    name: String,
    stopping: watch::Sender<bool>,
    task: JoinHandle<Result<()>>,
    ended: Option<Result<()>>,
}

/// Tells a driver to drain.
#[derive(Clone)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Resolves once the driver should drain; at once if it has been told before.
    pub(crate) async fn asked(&mut self) {
        if self.0.wait_for(|stopping| *stopping).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}

impl Stopping {
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }
}

impl Running {
    pub(crate) fn spawn<F>(name: String, work: impl FnOnce(Stopping) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (stopping, asked) = watch::channel(false);
        let task = tokio::spawn(work(Stopping(asked)));
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
        self.stopping.send_replace(true);
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

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
