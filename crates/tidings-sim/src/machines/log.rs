//! The log: partitions, truncation, positions of the group.

use std::sync::Arc;

use tidings_core::Offset;
use tidings_core::port::{Append, Read, Record, Stored};

use super::draw::PARTITIONS;
use super::pool::{Health, health_of};
use super::stage::Stage;

#[derive(Debug, Default)]
struct Part {
    /// By offset; those before `earliest` are gone.
    records: Vec<Record>,
    earliest: usize,
    committed: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    parts: [Part; PARTITIONS],
}

impl Log {
    pub(super) fn reset(&mut self) {
        for part in &mut self.parts {
            part.records.clear();
            (part.earliest, part.committed) = (0, None);
        }
    }

    pub(super) fn append(&mut self, stage: &Stage<'_>, batch: &[Append]) {
        for append in batch {
            let record = match &append.record {
                Record::Event(event) if health_of(event) == Health::Damaged => {
                    Record::Unreadable(Arc::clone(&stage.pool.unreadable))
                }
                record => record.clone(),
            };
            self.parts[append.partition.index as usize % PARTITIONS].records.push(record);
        }
    }

    pub(super) fn read(&self, partition: usize, from: Offset, limit: usize) -> Read {
        let part = &self.parts[partition];
        let from = usize::try_from(from.0).unwrap_or(usize::MAX);
        if from < part.earliest || from > part.records.len() {
            return Read::Gap { resume: Offset(part.earliest as u64) };
        }
        let records = part.records[from..].iter().zip(from as u64..).take(limit);
        Read::Records(
            records.map(|(record, at)| Stored { offset: Offset(at), record: record.clone() }).collect(),
        )
    }

    pub(super) fn head(&self, partition: usize) -> Offset {
        Offset(self.parts[partition].records.len() as u64)
    }

    /// Whether a read from here has an answer: records, or a gap.
    pub(super) fn has_news(&self, partition: usize, at: Offset) -> bool {
        self.head(partition) != at || at.0 < self.parts[partition].earliest as u64
    }

    /// Removes the oldest records of a partition.
    pub(super) fn truncate(&mut self, partition: usize, keep: usize) {
        let part = &mut self.parts[partition];
        part.earliest = part.earliest.max(part.records.len().saturating_sub(keep));
    }

    pub(super) fn commit(&mut self, partition: usize, at: Offset) {
        self.parts[partition].committed = Some(at.0);
    }

    pub(super) fn committed(&self, partition: usize) -> Offset {
        Offset(self.parts[partition].committed.unwrap_or(0))
    }
}
