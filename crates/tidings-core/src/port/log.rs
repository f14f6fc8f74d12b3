//! The durable, replayable log.

use std::sync::Arc;
use std::time::Duration;

use super::Boxed;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::position::{Mark, Offset, Partition, Position, Topic};
use crate::time::Time;

/// One thing in the log.
#[derive(Debug, Clone)]
pub enum Record {
    /// A domain event.
    Event(Arc<Event>),
    /// A source's heartbeat.
    Mark(Mark),
    /// The source knows that something is missing here, and why: a row that it could not publish.
    Gap(Arc<str>),
    /// Bytes that are not a readable record: a gap, to be treated as one.
    Unreadable(Arc<Error>),
}

/// A record to be written, and where.
#[derive(Debug, Clone)]
pub struct Append {
    /// The part of the log.
    pub partition: Partition,
    /// An event or a mark; [`Record::Unreadable`] cannot be appended.
    pub record: Record,
}

/// A record as read back.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its place.
    pub offset: Offset,
    /// What it is.
    pub record: Record,
}

/// How much one read may return.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    /// At most so many records.
    pub records: usize,
    /// Stop once so many bytes were read (at least one record is returned).
    pub bytes: usize,
}

impl Default for ReadLimit {
    fn default() -> Self {
        Self { records: 1024, bytes: 4 << 20 }
    }
}

/// The answer to a read.
#[derive(Debug, Clone)]
pub enum Read {
    /// Records in order, from the position asked for; empty at the head.
    Records(Vec<Stored>),
    /// What was asked for is no longer there (or never was): reading can go on at `resume`. Never skipped silently.
    Gap {
        /// The earliest position that can be read.
        resume: Offset,
    },
}

/// How long records are kept. A limit of `None` does not remove anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention {
    /// Remove records appended longer ago than this.
    pub age: Option<Duration>,
    /// Remove the oldest records beyond so many bytes of records.
    pub bytes: Option<u64>,
}

/// The log: partitioned, appended in batches, read from any position or time; positions are kept per group.
///
/// Offsets in a partition start at 0 and have no holes. Appends of one call become visible together, in the order
/// given, and are durable when the call returns.
///
/// A log of several servers may fall short of this in two ways, and nothing may rely on more: a batch may become visible
/// part by part, but in each partition always as a prefix of it; and there may be offsets without a record, which a read
/// passes over. No record ever stands behind one of its batch that is missing, because a mark would vouch for it.
pub trait Log: Send + Sync {
    /// How many partitions a topic has. Creates the topic if it is new; the number never changes afterwards.
    fn partitions<'a>(&'a self, topic: &'a Topic) -> Boxed<'a, Result<u32>>;

    /// Appends all or nothing, or in each partition a prefix. An error may mean that it was done but the answer was lost.
    fn append<'a>(&'a self, batch: &'a [Append]) -> Boxed<'a, Result<()>>;

    /// Reads forward from `from`.
    fn read<'a>(&'a self, from: &'a Position, limit: ReadLimit) -> Boxed<'a, Result<Read>>;

    /// The offsets of the earliest record kept and of the next one to be written.
    fn bounds<'a>(&'a self, partition: &'a Partition) -> Boxed<'a, Result<(Offset, Offset)>>;

    /// The first offset whose record was appended at or after `time`; the head if there is none.
    fn offset_at<'a>(&'a self, partition: &'a Partition, time: Time) -> Boxed<'a, Result<Offset>>;

    /// Resolves once any of these positions may have a record; may resolve early, never misses one. Dropping is safe.
    fn wait<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>>;

    /// Records a group's positions, all or nothing, durably.
    fn commit<'a>(&'a self, group: &'a str, positions: &'a [Position]) -> Boxed<'a, Result<()>>;

    /// A group's committed position in this partition, if it ever committed one.
    fn committed<'a>(&'a self, group: &'a str, partition: &'a Partition)
    -> Boxed<'a, Result<Option<Offset>>>;

    /// Applies a retention and returns how many records were removed.
    fn retain(&self, retention: Retention) -> Boxed<'_, Result<u64>>;
}
