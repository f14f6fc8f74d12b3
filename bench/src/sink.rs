//! Logs for measuring: one that keeps nothing, and one that says what another was given.

use std::sync::Arc;

use tidings_core::port::{Append, Boxed, Log, Read, ReadLimit, Record, Retention};
use tidings_core::{Offset, Partition, Position, Result, Time, Topic};

/// How many of these are events.
pub(crate) fn events(batch: &[Append]) -> usize {
    batch.iter().filter(|append| matches!(append.record, Record::Event(_))).count()
}

/// Whether a mark is among these: everything that was committed before had been read.
pub(crate) fn has_mark(batch: &[Append]) -> bool {
    batch.iter().any(|append| matches!(append.record, Record::Mark(_)))
}

/// Says what was appended, once it was.
pub(crate) struct Noting<F> {
    pub(crate) inner: Arc<dyn Log>,
    pub(crate) note: F,
}

impl<F: Fn(&[Append]) + Send + Sync> Log for Noting<F> {
    fn partitions<'a>(&'a self, topic: &'a Topic) -> Boxed<'a, Result<u32>> {
        self.inner.partitions(topic)
    }

    fn append<'a>(&'a self, batch: &'a [Append]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.inner.append(batch).await?;
            (self.note)(batch);
            Ok(())
        })
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

/// Keeps nothing.
pub(crate) struct Nowhere;

impl Log for Nowhere {
    fn partitions<'a>(&'a self, _: &'a Topic) -> Boxed<'a, Result<u32>> {
        Box::pin(async { Ok(12) })
    }

    fn append<'a>(&'a self, _: &'a [Append]) -> Boxed<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn read<'a>(&'a self, _: &'a Position, _: ReadLimit) -> Boxed<'a, Result<Read>> {
        Box::pin(async { Ok(Read::Records(Vec::new())) })
    }

    fn bounds<'a>(&'a self, _: &'a Partition) -> Boxed<'a, Result<(Offset, Offset)>> {
        Box::pin(async { Ok((Offset(0), Offset(0))) })
    }

    fn offset_at<'a>(&'a self, _: &'a Partition, _: Time) -> Boxed<'a, Result<Offset>> {
        Box::pin(async { Ok(Offset(0)) })
    }

    fn wait<'a>(&'a self, _: &'a [Position]) -> Boxed<'a, Result<()>> {
        Box::pin(std::future::pending())
    }

    fn commit<'a>(&'a self, _: &'a str, _: &'a [Position]) -> Boxed<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn committed<'a>(&'a self, _: &'a str, _: &'a Partition) -> Boxed<'a, Result<Option<Offset>>> {
        Box::pin(async { Ok(None) })
    }

    fn retain(&self, _: Retention) -> Boxed<'_, Result<u64>> {
        Box::pin(async { Ok(0) })
    }
}
