//! The ports as the driver sees them: what they answer is noted, and while the relay is paused nothing more is read.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::port::{Append, Boxed, Cursor, Log, Outbox, Read, ReadLimit, Retention, Scan};
use tidings_core::{Error, Offset, Partition, Position, Result, Time, Topic};

use super::board::Board;

/// While it holds, how often it is asked whether this relay still leads.
const HOLD: Duration = Duration::from_secs(1);

/// An outbox with a board.
pub(super) struct WatchedOutbox {
    pub(super) inner: Arc<dyn Outbox>,
    pub(super) board: Arc<Board>,
}

/// A log with a board.
pub(super) struct WatchedLog {
    pub(super) inner: Arc<dyn Log>,
    pub(super) board: Arc<Board>,
}

impl WatchedOutbox {
    async fn noted<T>(&self, call: Boxed<'_, Result<T>>) -> Result<T> {
        let result = call.await;
        self.board.source.note(&result);
        result
    }

    /// Returns when it is not paused. Leadership is kept meanwhile, or another relay would go on where this one holds.
    async fn hold(&self) -> Result<()> {
        let mut paused = self.board.paused();
        while *paused.borrow_and_update() {
            self.board.hold(true);
            // Elapsed or not, changed or not: both are looked at again.
            let _ = tokio::time::timeout(HOLD, paused.changed()).await;
            self.noted(self.inner.acknowledged()).await?;
        }
        self.board.hold(false);
        Ok(())
    }
}

impl Outbox for WatchedOutbox {
    fn scan(&self, after: Cursor, limit: usize) -> Boxed<'_, Result<Scan>> {
        Box::pin(async move {
            self.hold().await?;
            self.board.source.asks();
            let scan = self.noted(self.inner.scan(after, limit)).await?;
            if scan.complete {
                self.board.read_up_to(scan.time);
            }
            Ok(scan)
        })
    }

    fn acknowledged(&self) -> Boxed<'_, Result<Cursor>> {
        Box::pin(self.noted(self.inner.acknowledged()))
    }

    fn acknowledge(&self, cursor: Cursor) -> Boxed<'_, Result<()>> {
        Box::pin(self.noted(self.inner.acknowledge(cursor)))
    }

    fn park<'a>(&'a self, cursor: Cursor, reason: &'a Error) -> Boxed<'a, Result<()>> {
        Box::pin(self.noted(self.inner.park(cursor, reason)))
    }

    fn wait(&self, after: Cursor, at_most: Duration) -> Boxed<'_, Result<()>> {
        Box::pin(self.noted(self.inner.wait(after, at_most)))
    }
}

impl WatchedLog {
    async fn noted<T>(&self, call: Boxed<'_, Result<T>>) -> Result<T> {
        self.board.log.asks();
        let result = call.await;
        self.board.log.note(&result);
        result
    }
}

impl Log for WatchedLog {
    fn partitions<'a>(&'a self, topic: &'a Topic) -> Boxed<'a, Result<u32>> {
        Box::pin(self.noted(self.inner.partitions(topic)))
    }

    fn append<'a>(&'a self, batch: &'a [Append]) -> Boxed<'a, Result<()>> {
        Box::pin(self.noted(self.inner.append(batch)))
    }

    fn read<'a>(&'a self, from: &'a Position, limit: ReadLimit) -> Boxed<'a, Result<Read>> {
        self.inner.read(from, limit)
    }

    fn bounds<'a>(&'a self, partition: &'a Partition) -> Boxed<'a, Result<(Offset, Offset)>> {
        self.inner.bounds(partition)
    }

    fn offset_at<'a>(&'a self, partition: &'a Partition, time: Time) -> Boxed<'a, Result<Offset>> {
        self.inner.offset_at(partition, time)
    }

    fn wait<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        self.inner.wait(positions)
    }

    fn commit<'a>(&'a self, group: &'a str, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        self.inner.commit(group, positions)
    }

    fn committed<'a>(
        &'a self,
        group: &'a str,
        partition: &'a Partition,
    ) -> Boxed<'a, Result<Option<Offset>>> {
        self.inner.committed(group, partition)
    }

    fn retain(&self, retention: Retention) -> Boxed<'_, Result<u64>> {
        self.inner.retain(retention)
    }
}
