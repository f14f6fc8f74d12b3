//! The log at the other end of a link.

use std::borrow::Cow;
use std::sync::Arc;

use tidings::memory::MemoryLog;
use tidings::{Entity, Offset, Partition, Position, Result, Time, Topic};
use tidings_core::port::{Append, Boxed, Log, Parked, Parking, Read, ReadLimit, Record, Retention, Stored};

use super::super::link::{Call, Link};
use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::tally::Sometimes;

/// The log as one process reaches it.
pub(in super::super) struct LogWire {
    log: Arc<MemoryLog>,
    link: Arc<Link>,
    /// Whose positions are kept here, if anybody's.
    group: Option<&'static str>,
}

impl LogWire {
    pub(in super::super) fn new(log: &Arc<MemoryLog>, link: &Arc<Link>) -> Arc<Self> {
        Arc::new(Self { log: log.clone(), link: link.clone(), group: None })
    }

    pub(in super::super) fn of_group(
        log: &Arc<MemoryLog>,
        link: &Arc<Link>,
        group: &'static str,
    ) -> Arc<Self> {
        Arc::new(Self { log: log.clone(), link: link.clone(), group: Some(group) })
    }

    async fn read_on(&self, from: &Position, limit: ReadLimit) -> Result<Read> {
        let read = self.log.read(from, limit).await?;
        match read {
            Read::Gap { resume } => {
                self.link.stage.happened(Sometimes::Gap);
                let on = Position { partition: from.partition.clone(), offset: resume };
                match self.link.stage.lacks(Mutant::DriverLogGap) {
                    true => self.log.read(&on, limit).await,
                    false => Ok(read),
                }
            }
            Read::Records(mut records) => {
                if self.link.stage.lacks(Mutant::DriverLogGap) {
                    let sound = |stored: &Stored| matches!(stored.record, Record::Event(_) | Record::Mark(_));
                    records.retain(sound);
                }
                Ok(Read::Records(records))
            }
        }
    }

    /// Commits what was only read.
    async fn commit_early(&self, partition: &Partition, read: &Read) -> Result<()> {
        let (Some(group), Read::Records(records)) = (self.group, read) else { return Ok(()) };
        let Some(last) = records.last() else { return Ok(()) };
        let offset = last.offset.next();
        self.log.commit(group, &[Position { partition: partition.clone(), offset }]).await
    }

    /// The batch as it arrives: entities may overtake each other, but not themselves, and no mark.
    fn disturbed<'a>(&self, batch: &'a [Append]) -> Cow<'a, [Append]> {
        if batch.len() < 2 || !self.link.stage.draw.has(Fault::Reorder) {
            return batch.into();
        }
        let mut batch = batch.to_vec();
        for at in 1..batch.len() {
            if let [.., before, this] = &batch[..=at]
                && let (Some(first), Some(second)) = (entity(before), entity(this))
                && first != second
                && self.link.stage.strikes_often(Fault::Reorder)
            {
                batch.swap(at - 1, at);
            }
        }
        batch.into()
    }
}

fn entity(append: &Append) -> Option<&Entity> {
    match &append.record {
        Record::Event(event) => Some(&event.entity),
        Record::Mark(_) | Record::Gap(_) | Record::Unreadable(_) => None,
    }
}

impl Log for LogWire {
    fn partitions<'a>(&'a self, topic: &'a Topic) -> Boxed<'a, Result<u32>> {
        Box::pin(async move {
            self.link.enter(Call::Partitions).await?;
            self.link.leave(Call::Partitions, self.log.partitions(topic).await).await
        })
    }

    fn append<'a>(&'a self, batch: &'a [Append]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.link.enter(Call::Append).await?;
            let batch = self.disturbed(batch);
            let mut done = self.log.append(&batch).await;
            if self.link.stage.strikes(Fault::Double) {
                self.link.stage.nap().await;
                done = done.and(self.log.append(&batch).await);
            }
            self.link.leave(Call::Append, done).await
        })
    }

    fn read<'a>(&'a self, from: &'a Position, limit: ReadLimit) -> Boxed<'a, Result<Read>> {
        Box::pin(async move {
            self.link.enter(Call::Read).await?;
            let read = self.read_on(from, limit).await?;
            if self.link.stage.lacks(Mutant::DriverCommitAfterApply) {
                self.commit_early(&from.partition, &read).await?;
            }
            self.link.leave(Call::Read, Ok(read)).await
        })
    }

    fn bounds<'a>(&'a self, partition: &'a Partition) -> Boxed<'a, Result<(Offset, Offset)>> {
        Box::pin(async move {
            self.link.enter(Call::Bounds).await?;
            self.link.leave(Call::Bounds, self.log.bounds(partition).await).await
        })
    }

    fn offset_at<'a>(&'a self, partition: &'a Partition, time: Time) -> Boxed<'a, Result<Offset>> {
        self.log.offset_at(partition, time)
    }

    fn wait<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        self.log.wait(positions)
    }

    fn commit<'a>(&'a self, group: &'a str, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.link.enter(Call::Commit).await?;
            self.link.leave(Call::Commit, self.log.commit(group, positions).await).await
        })
    }

    fn committed<'a>(
        &'a self,
        group: &'a str,
        partition: &'a Partition,
    ) -> Boxed<'a, Result<Option<Offset>>> {
        Box::pin(async move {
            self.link.enter(Call::Committed).await?;
            self.link.leave(Call::Committed, self.log.committed(group, partition).await).await
        })
    }

    fn retain(&self, retention: Retention) -> Boxed<'_, Result<u64>> {
        self.log.retain(retention)
    }
}

impl Parking for LogWire {
    fn park<'a>(&'a self, group: &'a str, parked: &'a [Parked]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.link.enter(Call::Park).await?;
            self.link.stage.happened(Sometimes::Parked);
            self.link.leave(Call::Park, self.log.park(group, parked).await).await
        })
    }

    fn parked<'a>(&'a self, group: &'a str, limit: usize) -> Boxed<'a, Result<(Vec<Parked>, u64)>> {
        self.log.parked(group, limit)
    }
}
