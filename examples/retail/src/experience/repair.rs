//! After a gap the read model takes the owners' snapshots again, while events go on being applied.
//!
//! That there is something to repair is in the read model's own file, so a crash forgets neither the gap nor what it
//! was repaired with. Until it is repaired, listings claim no more than is known: see `Sources::caught_up`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tidings::{Clock, Fence};
use tidings_core::retry::Backoff;
use tidings_core::{Region, Time};
use tidings_sqlite::{Gap, SqliteProjection};
use tokio::sync::watch;

use super::category::Categories;
use super::{Owners, projection, snapshot};
use crate::refusal::Result;
use crate::store::FileReaders;
use crate::witness::Witness;

/// The moment, by the owners' clock, as of which the read model has everything from their snapshots.
#[derive(Debug, Clone)]
pub(super) struct Taken(Arc<AtomicI64>);

impl Taken {
    pub(super) fn at(time: Time) -> Self {
        Self(Arc::new(AtomicI64::new(time.micros())))
    }

    pub(super) fn time(&self) -> Time {
        Time::from_micros(self.0.load(Ordering::Acquire))
    }

    /// Rows never go back, so neither does this.
    fn again(&self, time: Time) {
        self.0.fetch_max(time.micros(), Ordering::AcqRel);
    }
}

/// What became of gaps in one copy's read model.
#[derive(Debug, Default)]
pub(super) struct Counts {
    repaired: AtomicU64,
    failed: AtomicU64,
}

/// What became of gaps in one copy's read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repairs {
    /// How often it has taken the owners' snapshots.
    pub done: u64,
    /// How often that failed; it is tried again, with pauses that grow.
    pub failed: u64,
    /// Whether there is a gap that has not been repaired yet.
    pub open: bool,
}

impl Counts {
    pub(super) fn with(&self, open: bool) -> Repairs {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Repairs { done: count(&self.repaired), failed: count(&self.failed), open }
    }
}

/// Repairs one copy's read model.
pub(crate) struct Repairer {
    pub(super) owners: Owners,
    pub(super) projection: Arc<SqliteProjection>,
    pub(super) readers: FileReaders,
    pub(super) categories: Arc<Categories>,
    pub(super) taken: Taken,
    pub(super) counts: Arc<Counts>,
    pub(super) clock: Clock,
    pub(super) fence: Arc<Fence>,
    pub(super) witness: Arc<dyn Witness>,
    /// How long an owner may take to show what it has published.
    pub(super) visible_within: Duration,
}

impl Repairer {
    /// Repairs after every gap, until it is told to stop and nothing is left to repair.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            let gap = tokio::select! {
                biased;
                gap = self.projection.gap_opened() => gap,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if self.repair(gap).await.is_ok() {
                failures = 0;
                self.counts.repaired.fetch_add(1, Ordering::Relaxed);
            } else {
                // Whatever it was: listings say that they age, and nobody else can mend it.
                failures += 1;
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Backoff::default().wait(failures, rand::random())).await;
            }
        }
    }

    async fn repair(&self, gap: Gap) -> Result<()> {
        // What was missed is published; only now it is sure to be readable.
        tokio::time::sleep(self.visible_within).await;
        let before = self.readers.read(projection::versions).await?;
        let snapshots = snapshot::take(&self.clock, &self.owners).await?;
        let (categories, taken) = (snapshots.categories(), snapshots.taken);
        let changed =
            self.projection.repair(gap, move |tx| Ok(snapshot::merge(tx, &snapshots, &before)?)).await?;
        self.categories.learn_all(categories);
        self.taken.again(taken);
        // Any listing may be another one now.
        self.fence.bump(&Region::every());
        self.witness.repaired(changed);
        Ok(())
    }
}
