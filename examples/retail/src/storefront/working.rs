//! What keeps one copy up to date: its consumer, and what repairs its read model after a gap.

use std::time::Duration;

use tidings::{Consumer, Running};
use tidings_core::{Code, Error, Result};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::experience::Repairer;

/// Both of them at work; they end when it is dropped.
pub(super) struct Working {
    consumer: Running,
    repairer: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Working {
    pub(super) fn start(consumer: Consumer, repairer: Repairer) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(repairer.run(stopped));
        Self { consumer: consumer.spawn(), repairer: tasks, stop }
    }

    /// Why one of them has ended by itself, if it has.
    pub(super) async fn failure(&mut self) -> Option<Error> {
        let ended = || Error::new(Code::DEFECT, "a driver ended without being asked");
        if let Some(done) = self.repairer.try_join_next() {
            return Some(done.map_or_else(panicked, |()| ended()));
        }
        if !self.consumer.is_finished() {
            return None;
        }
        Some(self.consumer.finished().await.err().unwrap_or_else(ended))
    }

    /// Lets the consumer finish, and after it the repair of whatever gap it met. What is not repaired in time is repaired
    /// after the next start.
    pub(super) async fn stop(mut self, at_most: Duration) -> Result<()> {
        let deadline = Instant::now() + at_most;
        let drained = self.consumer.stop(at_most).await;
        self.stop.send_replace(true);
        let repaired = match tokio::time::timeout_at(deadline, self.repairer.join_next()).await {
            Ok(done) => done.unwrap_or(Ok(())).map_err(panicked),
            Err(_) => {
                let what = format!("a gap in the read model was not repaired within {at_most:?}");
                Err(Error::new(Code::STOPPING, what))
            }
        };
        drained.and(repaired)
    }
}

fn panicked(failure: JoinError) -> Error {
    Error::new(Code::DEFECT, "what repairs the read model panicked").because(failure)
}
