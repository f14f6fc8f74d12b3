//! What every [`Log`] must do.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::port::{Append, Boxed, Log, Read, ReadLimit, Record, Stored};
use tidings_core::{Event, Mark, Offset, Partition, Position, Result, Time, Topic};

use super::{must, sample, system_now};

mod basics;
mod groups;
mod retention;
mod waiting;

pub use basics::*;
pub use groups::*;
pub use retention::*;
pub use waiting::*;

/// The log under test, and what a test does around it.
pub trait LogHome: Send + Sync {
    /// Opens the log: empty the first time, later with all that was written before, as after a restart.
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Log>>>;

    /// Damages the stored record there so that it can no longer be read; false if this log cannot be damaged by a test.
    fn damage<'a>(&'a self, _at: &'a Position) -> Boxed<'a, Result<bool>> {
        Box::pin(async { Ok(false) })
    }

    /// Whether all of a batch becomes visible at once. A log of several servers may show it part by part: in each
    /// partition in order and without holes, and all of it once the append has returned.
    fn is_atomic(&self) -> bool {
        true
    }

    /// The clock by which the log dates what is appended.
    fn now(&self) -> Time {
        system_now()
    }

    /// Lets that clock advance by at least this much.
    fn pass(&self, span: Duration) -> Boxed<'_, ()> {
        let until = self.now().plus(span);
        Box::pin(async move {
            while self.now() < until {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }
}

/// Runs every behaviour below.
///
/// # Panics
/// At the first that does not hold.
pub async fn run_all(home: &dyn LogHome) {
    offsets_start_at_zero_and_have_no_holes(open(home).await).await;
    records_come_back_as_they_were_written(open(home).await).await;
    if home.is_atomic() {
        a_batch_becomes_visible_together(open(home).await).await;
    }
    a_batch_becomes_visible_in_order(open(home).await).await;
    a_refused_batch_leaves_nothing(open(home).await).await;
    concurrent_appends_leave_no_hole(open(home).await).await;
    reads_keep_their_limits(open(home).await).await;
    the_head_is_empty_and_beyond_it_is_a_gap(open(home).await).await;
    partitions_are_fixed(home).await;
    appends_survive_a_restart(home).await;
    a_time_leads_to_its_offset(home).await;
    an_unreadable_record_is_an_answer(home).await;
    a_wait_begun_before_the_append_ends(open(home).await).await;
    a_wait_begun_after_the_append_ends(open(home).await).await;
    a_dropped_wait_harms_nobody(open(home).await).await;
    following_never_misses_an_append(open(home).await).await;
    groups_keep_their_own_positions(open(home).await).await;
    committed_positions_survive_a_restart(home).await;
    retention_without_limits_removes_nothing(open(home).await).await;
    retention_by_size_removes_the_oldest(open(home).await).await;
    retention_by_age_removes_the_oldest(home).await;
    offsets_continue_after_everything_was_removed(home).await;
}

async fn open(home: &dyn LogHome) -> Arc<dyn Log> {
    must("open the log", home.open().await)
}

/// One topic of the log under test, and short words for what the tests do with it.
struct Desk {
    log: Arc<dyn Log>,
    topic: Topic,
    partitions: u32,
}

impl Desk {
    async fn new(log: Arc<dyn Log>, topic: &str) -> Self {
        let topic = must("name a topic", Topic::new(topic));
        let partitions = must("count the partitions", log.partitions(&topic).await);
        assert!(partitions > 0, "a topic has at least one partition");
        Self { log, topic, partitions }
    }

    fn partition(&self, index: u32) -> Partition {
        Partition { topic: self.topic.clone(), index }
    }

    /// A position in partition 0.
    fn at(&self, offset: u64) -> Position {
        Position { partition: self.partition(0), offset: Offset(offset) }
    }

    /// An append to partition 0.
    fn write(&self, record: Record) -> Append {
        Append { partition: self.partition(0), record }
    }

    /// Appends events with these versions to partition 0, in one batch.
    async fn append(&self, versions: impl IntoIterator<Item = u64>) {
        let batch: Vec<_> = versions.into_iter().map(|v| self.write(numbered(v))).collect();
        must("append", self.log.append(&batch).await);
    }

    async fn bounds(&self) -> (u64, u64) {
        let (earliest, head) = must("bounds", self.log.bounds(&self.partition(0)).await);
        (earliest.0, head.0)
    }

    async fn answer(&self, from: u64, limit: ReadLimit) -> Read {
        must("read", self.log.read(&self.at(from), limit).await)
    }

    #[track_caller]
    fn records(&self, read: Read) -> Vec<Stored> {
        match read {
            Read::Records(records) => records,
            Read::Gap { resume } => panic!("an unexpected gap in {}, resume at {resume}", self.topic),
        }
    }

    /// Everything in a partition from its earliest record, read in many small steps.
    async fn everything(&self, index: u32) -> Vec<Stored> {
        let partition = self.partition(index);
        let (earliest, head) = must("bounds", self.log.bounds(&partition).await);
        let mut position = Position { partition, offset: earliest };
        let mut all = Vec::new();
        while position.offset < head {
            let limit = ReadLimit { records: 7, bytes: 4 << 20 };
            let read = self.records(must("read", self.log.read(&position, limit).await));
            let last = read.last().map(|stored| stored.offset);
            position.offset = match last {
                Some(last) => last.next(),
                None => panic!("nothing at {position} although the head is {head}"),
            };
            all.extend(read);
        }
        all
    }
}

/// An event whose version is this.
fn numbered(version: u64) -> Record {
    Record::Event(Arc::new(sample::event("price/1", version)))
}

fn mark(micros: i64) -> Record {
    Record::Mark(Mark { time: Time::from_micros(micros), head: micros.unsigned_abs() })
}

/// The versions of the events among these records.
fn versions(records: &[Stored]) -> Vec<u64> {
    records.iter().filter_map(|stored| event_of(stored).map(|event| event.stamp.version.number())).collect()
}

fn event_of(stored: &Stored) -> Option<&Event> {
    match &stored.record {
        Record::Event(event) => Some(event),
        Record::Mark(_) | Record::Gap(_) | Record::Unreadable(_) => None,
    }
}

fn offsets(records: &[Stored]) -> Vec<u64> {
    records.iter().map(|stored| stored.offset.0).collect()
}
