//! Where a consumer's decisions take effect.

use std::sync::Arc;

use super::Boxed;
use crate::decision::Action;
use crate::error::Result;
use crate::event::Event;
use crate::position::{Partition, Position};
use crate::time::Time;

/// What one pass over a partition asks of a store.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Who consumes: what one consumer has caught up with says nothing about another.
    pub consumer: &'a str,
    /// The planned actions; already at most one per target.
    pub actions: &'a [Action],
    /// The events behind them that a handler accepted, in log order, for stores that keep state (projections).
    pub events: &'a [Arc<Event>],
    /// The events of the batch that are set aside. Until each is redriven or superseded, a store that keeps state does
    /// not know its entity, and must not claim to.
    pub parked: &'a [Arc<Event>],
    /// The position after the last record of the batch.
    pub next: &'a Position,
    /// The source time that this copy has caught up with once the batch is applied, if the batch holds a mark.
    pub caught_up: Option<Time>,
}

/// A copy or projection that a consumer keeps honest: an L1, an L2, a read model.
///
/// Applying is idempotent and indifferent to order: an older or repeated batch changes nothing.
pub trait Store: Send + Sync {
    /// A consumer is about to deliver these partitions from positions found *before* this call. A copy that was filled
    /// earlier may have missed something in between, so it opens an epoch here. Stores that keep their own position
    /// have nothing to do.
    fn begin<'a>(&'a self, consumer: &'a str, partitions: &'a [Partition]) -> Boxed<'a, Result<()>> {
        let _ = (consumer, partitions);
        Box::pin(std::future::ready(Ok(())))
    }

    /// Makes a batch take effect, all or nothing where the backend can; durable when it returns, if the store is.
    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>>;

    /// Something was missed: everything held becomes unverified until it is checked against the source.
    fn open_epoch<'a>(&'a self, why: &'a str) -> Boxed<'a, Result<()>>;
}
