//! The log in memory.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::ready;
use std::num::NonZeroU32;
use std::sync::Arc;

use parking_lot::Mutex;
use tidings_core::port::{Append, Boxed, Log, Parked, Parking, Read, ReadLimit, Record, Retention, Stored};
use tidings_core::{Code, Error, Event, Offset, Partition, Position, Result, Time, Topic};
use tokio::sync::Notify;

use super::{WallClock, system_clock};

/// A [`Log`] that lives as long as its process.
pub struct MemoryLog {
    partitions: NonZeroU32,
    clock: WallClock,
    state: Mutex<State>,
    /// Told of every append; a wait registers before it looks, so it cannot miss one. Those who wait are woken in the order
    /// they came.
    grown: Notify,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<Topic, Vec<Part>>,
    groups: BTreeMap<(Box<str>, Partition), Offset>,
    parked: BTreeMap<Box<str>, BTreeMap<Position, Parked>>,
    /// The latest append; a clock that steps back must not put a record before its predecessor.
    latest: Time,
}

#[derive(Clone, Default)]
struct Part {
    earliest: u64,
    kept: VecDeque<Kept>,
}

struct Kept {
    record: Record,
    appended: Time,
    bytes: u64,
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self { record: self.record.clone(), appended: self.appended, bytes: self.bytes }
    }
}

impl Part {
    fn head(&self) -> u64 {
        self.earliest + self.kept.len() as u64
    }

    fn remove_oldest(&mut self) -> Option<Kept> {
        let removed = self.kept.pop_front()?;
        self.earliest += 1;
        Some(removed)
    }
}

impl MemoryLog {
    /// An empty log with so many partitions in each topic, dated by the system's clock.
    #[must_use]
    pub fn new(partitions: NonZeroU32) -> Arc<Self> {
        Self::with_boxed_clock(partitions, system_clock())
    }

    /// An empty log dated by this clock.
    #[must_use]
    pub fn with_clock(partitions: NonZeroU32, clock: impl Fn() -> Time + Send + Sync + 'static) -> Arc<Self> {
        Self::with_boxed_clock(partitions, Box::new(clock))
    }

    fn with_boxed_clock(partitions: NonZeroU32, clock: WallClock) -> Arc<Self> {
        Arc::new(Self { partitions, clock, state: Mutex::default(), grown: Notify::new() })
    }

    /// Makes the record there unreadable, as damage to a disk would; false if there is none. For tests.
    #[must_use]
    pub fn damage(&self, at: &Position) -> bool {
        let mut state = self.state.lock();
        let Ok(part) = self.part(&mut state, &at.partition) else { return false };
        let index = at.offset.0.checked_sub(part.earliest).and_then(|index| usize::try_from(index).ok());
        let Some(kept) = index.and_then(|index| part.kept.get_mut(index)) else { return false };
        let error = Error::new(Code::RECORD_UNREADABLE, format!("the record at {at} was damaged by a test"));
        kept.record = Record::Unreadable(Arc::new(error));
        true
    }

    fn part<'s>(&self, state: &'s mut State, partition: &Partition) -> Result<&'s mut Part> {
        let count = self.partitions.get() as usize;
        if !state.topics.contains_key(&partition.topic) {
            state.topics.insert(partition.topic.clone(), vec![Part::default(); count]);
        }
        let parts = state.topics.get_mut(&partition.topic);
        parts.and_then(|parts| parts.get_mut(partition.index as usize)).ok_or_else(|| {
            Error::new(
                Code::SETTING_INVALID,
                format!("the partition {partition} does not exist; the topic has {count}"),
            )
        })
    }

    fn append_now(&self, batch: &[Append]) -> Result<()> {
        let mut state = self.state.lock();
        for append in batch {
            self.part(&mut state, &append.partition)?;
            if let Record::Unreadable(error) = &append.record {
                return Err(Error::new(Code::DEFECT, "an unreadable record cannot be appended")
                    .because(error.to_string()));
            }
        }
        let appended = (self.clock)().max(state.latest);
        state.latest = appended;
        for append in batch {
            let kept = Kept { record: append.record.clone(), appended, bytes: size(&append.record) };
            self.part(&mut state, &append.partition)?.kept.push_back(kept);
        }
        Ok(())
    }

    fn read_now(&self, from: &Position, limit: ReadLimit) -> Result<Read> {
        let mut state = self.state.lock();
        let part = self.part(&mut state, &from.partition)?;
        if from.offset.0 < part.earliest || from.offset.0 > part.head() {
            return Ok(Read::Gap { resume: Offset(part.earliest) });
        }
        let skipped = usize::try_from(from.offset.0 - part.earliest).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut records = Vec::new();
        for (offset, kept) in (from.offset.0..).zip(part.kept.iter().skip(skipped)) {
            if records.len() >= limit.records || (bytes >= limit.bytes as u64 && !records.is_empty()) {
                break;
            }
            bytes += kept.bytes;
            records.push(Stored { offset: Offset(offset), record: kept.record.clone() });
        }
        Ok(Read::Records(records))
    }

    fn any_ready(&self, positions: &[Position]) -> Result<bool> {
        let mut state = self.state.lock();
        for position in positions {
            // Anywhere but at the head there is an answer already: records, or a gap.
            if self.part(&mut state, &position.partition)?.head() != position.offset.0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl State {
    fn remove_older_than(&mut self, limit: Time) -> u64 {
        let mut removed = 0;
        for part in self.topics.values_mut().flatten() {
            while part.kept.front().is_some_and(|oldest| oldest.appended < limit) {
                part.remove_oldest();
                removed += 1;
            }
        }
        removed
    }

    fn remove_beyond(&mut self, limit: u64) -> u64 {
        let kept = self.topics.values().flatten().flat_map(|part| &part.kept);
        let mut bytes: u64 = kept.map(|kept| kept.bytes).sum();
        let mut removed = 0;
        while bytes > limit {
            let parts = self.topics.values_mut().flatten();
            let oldest = parts
                .filter(|part| !part.kept.is_empty())
                .min_by_key(|part| part.kept.front().map(|oldest| oldest.appended));
            let Some(gone) = oldest.and_then(Part::remove_oldest) else { break };
            bytes -= gone.bytes;
            removed += 1;
        }
        removed
    }
}

/// What a record holds in memory, roughly: its texts and a fixed part.
fn size(record: &Record) -> u64 {
    const FIXED: usize = 256;
    let texts = |event: &Event| {
        let extensions: usize = event.extensions.iter().map(|(name, value)| name.len() + value.len()).sum();
        event.id.len() + event.kind.len() + event.entity.as_str().len() + event.data.len() + extensions
    };
    let texts = match record {
        Record::Event(event) => texts(event),
        Record::Mark(_) | Record::Gap(_) | Record::Unreadable(_) => 0,
    };
    (FIXED + texts) as u64
}

impl Log for MemoryLog {
    fn partitions<'a>(&'a self, topic: &'a Topic) -> Boxed<'a, Result<u32>> {
        Box::pin(async move {
            self.part(&mut self.state.lock(), &Partition { topic: topic.clone(), index: 0 })?;
            Ok(self.partitions.get())
        })
    }

    fn append<'a>(&'a self, batch: &'a [Append]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.append_now(batch)?;
            self.grown.notify_waiters();
            Ok(())
        })
    }

    fn read<'a>(&'a self, from: &'a Position, limit: ReadLimit) -> Boxed<'a, Result<Read>> {
        Box::pin(async move { self.read_now(from, limit) })
    }

    fn bounds<'a>(&'a self, partition: &'a Partition) -> Boxed<'a, Result<(Offset, Offset)>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            let part = self.part(&mut state, partition)?;
            Ok((Offset(part.earliest), Offset(part.head())))
        })
    }

    fn offset_at<'a>(&'a self, partition: &'a Partition, time: Time) -> Boxed<'a, Result<Offset>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            let part = self.part(&mut state, partition)?;
            let before = part.kept.partition_point(|kept| kept.appended < time);
            Ok(Offset(part.earliest + before as u64))
        })
    }

    fn wait<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            loop {
                let grown = self.grown.notified();
                if self.any_ready(positions)? {
                    return Ok(());
                }
                grown.await;
            }
        })
    }

    fn commit<'a>(&'a self, group: &'a str, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            for position in positions {
                state.groups.insert((group.into(), position.partition.clone()), position.offset);
            }
            Ok(())
        })
    }

    fn committed<'a>(
        &'a self,
        group: &'a str,
        partition: &'a Partition,
    ) -> Boxed<'a, Result<Option<Offset>>> {
        Box::pin(async move { Ok(self.state.lock().groups.get(&(group.into(), partition.clone())).copied()) })
    }

    fn retain(&self, retention: Retention) -> Boxed<'_, Result<u64>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            let by_age = retention.age.map_or(0, |age| state.remove_older_than((self.clock)().minus(age)));
            let by_size = retention.bytes.map_or(0, |bytes| state.remove_beyond(bytes));
            Ok(by_age + by_size)
        })
    }
}

impl Parking for MemoryLog {
    fn park<'a>(&'a self, group: &'a str, parked: &'a [Parked]) -> Boxed<'a, Result<()>> {
        let mut state = self.state.lock();
        let held = state.parked.entry(group.into()).or_default();
        for event in parked {
            held.entry(event.position.clone()).or_insert_with(|| event.clone());
        }
        Box::pin(ready(Ok(())))
    }

    fn parked<'a>(&'a self, group: &'a str, limit: usize) -> Boxed<'a, Result<(Vec<Parked>, u64)>> {
        let state = self.state.lock();
        let held = state.parked.get(group);
        let listed = held.map(|held| held.values().take(limit).cloned().collect()).unwrap_or_default();
        Box::pin(ready(Ok((listed, held.map_or(0, |held| held.len() as u64)))))
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}
