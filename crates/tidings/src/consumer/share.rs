//! A consumer that shares a group's work: lanes come and go with the partitions that its member is given.
//!
//! A lane of a partition that is being taken away finishes what it has planned, commits and ends; one that does not
//! within its member's patience is aborted, and so is, at once, one whose partition is lost. What an aborted lane has
//! asked of a store may still take effect a moment later. The fence makes that harmless: it was read from the log, and
//! whoever has the partition now applies it as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_core::error::Policy;
use tidings_core::port::{Change, Membership};
use tidings_core::retry::Backoff;
use tidings_core::{Code, Error, Partition, Position, Result};
use tokio::sync::OnceCell;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};

use super::lane::Lane;
use super::{Consumer, Ordering};
use crate::running::Stopping;

/// Follows the member's changes until the consumer is stopped, the group is left, or a lane fails.
pub(super) async fn run(
    consumer: Arc<Consumer>,
    member: Arc<dyn Membership>,
    stopping: Stopping,
) -> Result<()> {
    // Whatever ends this, the others should not wait. Declared before the lanes, so that these end first.
    let _leaves = Leaves(member.clone());
    let mut share = Share { consumer, member, stopping, lanes: BTreeMap::new(), tasks: JoinSet::new() };
    let mut failures = 0;
    loop {
        tokio::select! {
            biased;
            change = share.member.changed() => match change {
                Ok(change) => {
                    failures = 0;
                    share.change(change).await?;
                }
                Err(error) => {
                    failures += 1;
                    share.bear(error, failures).await?;
                }
            },
            Some(ended) = share.tasks.join_next_with_id() => {
                share.ended(ended)?;
            }
            () = share.stopping.asked(), if !share.stopping.is_asked() => {}
        }
        if share.stopping.is_asked() && share.tasks.is_empty() {
            return Ok(());
        }
    }
}

/// Leaves the group when it is dropped.
struct Leaves(Arc<dyn Membership>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// What this consumer has of the work.
struct Share {
    consumer: Arc<Consumer>,
    member: Arc<dyn Membership>,
    stopping: Stopping,
    lanes: BTreeMap<Partition, Held>,
    tasks: JoinSet<Result<()>>,
}

/// The lane of a partition.
struct Held {
    leaving: Stopping,
    task: AbortHandle,
}

impl Share {
    async fn change(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Assigned(positions) => {
                // Given anew without having been taken: whatever is still under way began at an older position.
                let again: Vec<_> = positions.iter().map(|position| position.partition.clone()).collect();
                self.abort(&again).await?;
                // Who is about to leave takes on nothing more.
                if !self.stopping.is_asked() {
                    self.assign(positions);
                }
            }
            Change::Revoked(partitions) => {
                let handed_over = self.hand_over(&partitions).await;
                self.member.release(&partitions);
                handed_over?;
            }
            Change::Lost(partitions) => self.abort(&partitions).await?,
        }
        Ok(())
    }

    fn assign(&mut self, positions: Vec<Position>) {
        // One beginning for all of them, in the lanes: a store that is away must not keep changes from being heard.
        let begun = Arc::<OnceCell<()>>::default();
        let all: Arc<[Position]> = positions.clone().into();
        for position in positions {
            let (consumer, stopping, leaving) =
                (self.consumer.clone(), self.stopping.clone(), Stopping::default());
            let partition = position.partition.clone();
            let lane = Lane { consumer: consumer.clone(), position, leaving: leaving.clone() };
            let (begun, all, left) = (begun.clone(), all.clone(), leaving.clone());
            let task = self.tasks.spawn(async move {
                tokio::select! {
                    biased;
                    done = begun.get_or_try_init(|| consumer.begin(&all)) => { done?; }
                    () = left.asked() => return Ok(()),
                    () = stopping.asked() => return Ok(()),
                }
                lane.run(stopping).await
            });
            self.lanes.insert(partition, Held { leaving, task });
        }
    }

    /// The lanes of these partitions finish what they have begun; those that take too long are aborted.
    async fn hand_over(&mut self, partitions: &[Partition]) -> Result<()> {
        for held in partitions.iter().filter_map(|partition| self.lanes.get(partition)) {
            held.leaving.ask();
        }
        // The member lets go by itself when its patience ends: before that, everything here has to be over.
        let deadline = Instant::now() + self.member.patience().mul_f64(0.8);
        while self.has_any(partitions) {
            match timeout_at(deadline, self.tasks.join_next_with_id()).await {
                Ok(Some(ended)) => {
                    self.ended(ended)?;
                }
                Ok(None) => break,
                Err(_) => return self.abort(partitions).await,
            }
        }
        Ok(())
    }

    /// Ends the lanes of these partitions where they are, and waits until they have.
    async fn abort(&mut self, partitions: &[Partition]) -> Result<()> {
        for held in partitions.iter().filter_map(|partition| self.lanes.get(partition)) {
            held.task.abort();
        }
        while self.has_any(partitions) {
            let Some(ended) = self.tasks.join_next_with_id().await else { break };
            self.ended(ended)?;
        }
        Ok(())
    }

    fn has_any(&self, partitions: &[Partition]) -> bool {
        partitions.iter().any(|partition| self.lanes.contains_key(partition))
    }

    /// A lane is over: it was aborted or handed over, its commit was refused, or it has failed.
    fn ended(&mut self, ended: Result<(Id, Result<()>), JoinError>) -> Result<()> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        self.lanes.retain(|_, held| held.task.id() != id);
        match ended {
            Ok((_, result)) => result,
            Err(failure) if failure.is_panic() => std::panic::resume_unwind(failure.into_panic()),
            Err(_) => Ok(()),
        }
    }

    /// The member has failed. Its lanes go on: what it no longer holds it will say.
    async fn bear(&mut self, error: Error, failures: u32) -> Result<()> {
        let is_over = error.code() == Code::STOPPING;
        if is_over || error.kind().policy() != Policy::Backoff {
            return Err(error.at(&self.consumer.name));
        }
        self.consumer.counts.failures.fetch_add(1, Ordering::Relaxed);
        sleep(Backoff::default().wait(failures, u64::from(failures))).await;
        Ok(())
    }
}
