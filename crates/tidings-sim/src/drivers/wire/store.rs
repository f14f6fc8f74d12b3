//! A store at the other end of a link: the fence of a host, or a group's projection.

use std::sync::Arc;

use tidings::{Partition, Result};
use tidings_core::Action;
use tidings_core::port::{Batch, Boxed, Store};

use super::super::link::{Call, Link};
use super::super::stage::wall_at;
use crate::fault::Fault;
use crate::mutant::Mutant;

/// A store as its consumer reaches it.
pub(in super::super) struct StoreWire {
    store: Arc<dyn Store>,
    link: Arc<Link>,
}

impl StoreWire {
    pub(in super::super) fn new(store: Arc<dyn Store>, link: &Arc<Link>) -> Arc<Self> {
        Arc::new(Self { store, link: link.clone() })
    }

    /// What is done of a batch: everything, unless a guard is left out.
    async fn carry_out(&self, mut batch: Batch<'_>) -> Result<()> {
        let stage = &self.link.stage;
        if stage.is_whole() {
            return self.store.apply(batch).await;
        }
        if stage.lacks(Mutant::DriverMarkTime) && batch.caught_up.is_some() {
            batch.caught_up = Some(wall_at(stage.now()));
        }
        if stage.lacks(Mutant::DriverMarkOrder) && batch.caught_up.is_some() {
            self.store.apply(Batch { actions: &[], events: &[], parked: &[], ..batch }).await?;
            stage.nap().await;
        }
        let raises = batch.actions.iter().filter(|action| matches!(action, Action::Raise { .. })).count();
        let mut raised = 0;
        let kept = |action: &&Action| match action {
            Action::Raise { entity, .. } => {
                raised += 1;
                let parked = || batch.parked.iter().any(|event| event.entity == *entity);
                !(stage.lacks(Mutant::DriverRaise) && raised > 1 && raised == raises
                    || stage.lacks(Mutant::DriverParkFence) && parked())
            }
            Action::Bump { .. } => !stage.lacks(Mutant::DriverBump),
            Action::Refresh { .. } | Action::Update { .. } => true,
        };
        let actions: Vec<_> = batch.actions.iter().filter(kept).cloned().collect();
        self.store.apply(Batch { actions: &actions, ..batch }).await
    }
}

impl Store for StoreWire {
    fn begin<'a>(&'a self, consumer: &'a str, partitions: &'a [Partition]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.link.stage.nap().await;
            match self.link.stage.lacks(Mutant::DriverBeginEpoch) {
                true => Ok(()),
                false => self.store.begin(consumer, partitions).await,
            }
        })
    }

    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.link.enter(Call::Apply).await?;
            let mut done = self.carry_out(batch).await;
            if self.link.stage.strikes(Fault::Double) {
                self.link.stage.nap().await;
                done = done.and(self.carry_out(batch).await);
            }
            self.link.leave(Call::Apply, done).await
        })
    }

    fn open_epoch<'a>(&'a self, why: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.link.stage.nap().await;
            match self.link.stage.lacks(Mutant::DriverGapEpoch) {
                true => Ok(()),
                false => self.store.open_epoch(why).await,
            }
        })
    }
}
