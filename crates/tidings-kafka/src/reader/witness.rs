//! Whether a position still means the same record as before.
//!
//! An offset says nothing of what stood before it. A topic that was deleted and made again under its name, or whose end
//! was lost, may have grown past a position since, and reading on there would leave out whatever came anew before it. So
//! the record before a position is remembered by when the broker took it and by its size: with each committed position,
//! and while this process runs. Who begins at such a position reads that record first.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::topic_partition_list::TopicPartitionListElem;
use tidings_core::{Offset, Partition, Position};

/// The record before a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witness {
    /// When the broker took it, in milliseconds since 1970.
    pub(crate) millis: i64,
    pub(crate) bytes: usize,
}

impl Witness {
    const FORMAT: &str = "tidings-1";

    /// As it stands with a committed position.
    pub(crate) fn text(self) -> String {
        format!("{} {} {}", Self::FORMAT, self.millis, self.bytes)
    }

    /// What was committed with a position; others may have written anything there.
    pub(crate) fn of(element: &TopicPartitionListElem<'_>) -> Option<Self> {
        // The client's library panics on what is not UTF-8.
        let text = catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).ok()?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (format, millis, bytes) = (parts.next()?, parts.next()?, parts.next()?);
        let is_ours = format == Self::FORMAT && parts.next().is_none();
        is_ours.then_some(Self { millis: millis.parse().ok()?, bytes: bytes.parse().ok()? })
    }
}

/// The records before the positions that were last read to, or found committed.
#[derive(Debug, Default)]
pub(crate) struct Witnesses(Mutex<BTreeMap<Partition, VecDeque<(Offset, Witness)>>>);

impl Witnesses {
    /// So many places of a partition are remembered: more than it has readers.
    const MOST: usize = 64;

    pub(crate) fn learn(&self, partition: &Partition, next: Offset, witness: Witness) {
        let mut all = self.lock();
        if !all.contains_key(partition) {
            all.insert(partition.clone(), VecDeque::new());
        }
        let Some(places) = all.get_mut(partition) else { return };
        places.retain(|(offset, _)| *offset != next);
        if places.len() >= Self::MOST {
            places.pop_front();
        }
        places.push_back((next, witness));
    }

    pub(crate) fn before(&self, at: &Position) -> Option<Witness> {
        let all = self.lock();
        let places = all.get(&at.partition)?;
        places.iter().find(|(offset, _)| *offset == at.offset).map(|(_, witness)| *witness)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Partition, VecDeque<(Offset, Witness)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::Topic;

    use super::*;

    #[test]
    fn it_comes_back_from_its_text_and_nothing_else_does() {
        let witness = Witness { millis: 1_700_000_000_123, bytes: 456 };
        assert_eq!(Witness::parse(&witness.text()), Some(witness));
        for text in
            ["", "tidings-1", "tidings-1 1", "tidings-1 1 2 3", "tidings-2 1 2", "other 1 2", "tidings-1 a b"]
        {
            assert_eq!(Witness::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_latest_places_are_remembered() {
        let (witnesses, partition) =
            (Witnesses::default(), Partition { topic: Topic::new("pricing").unwrap(), index: 0 });
        let at = |offset| Position { partition: partition.clone(), offset: Offset(offset) };
        for offset in 1..=100 {
            witnesses.learn(&partition, Offset(offset), Witness { millis: 1, bytes: 1 });
        }
        let newer = Witness { millis: 2, bytes: 1 };
        witnesses.learn(&partition, Offset(90), newer);
        assert_eq!((witnesses.before(&at(1)), witnesses.before(&at(90))), (None, Some(newer)));
    }
}
