//! Where partitions end, as far as this process knows, so that waiting at a head asks no database.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidings_core::{Partition, Position};

/// The ends of partitions. What is known here was true, and is corrected before anybody is woken.
#[derive(Debug, Default)]
pub(super) struct Heads(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    heads: HashMap<Partition, u64>,
    /// How often everything was forgotten.
    generation: u64,
}

impl Heads {
    /// This process has appended.
    pub(super) fn advance(&self, partition: &Partition, head: u64) {
        self.lock().heads.insert(partition.clone(), head);
    }

    /// Another process has changed something.
    pub(super) fn forget(&self) {
        let mut known = self.lock();
        known.heads.clear();
        known.generation += 1;
    }

    /// Whether any position is not at its head; `Err` with the generation if that is not known.
    pub(super) fn any_to_read(&self, positions: &[Position]) -> Result<bool, u64> {
        let known = self.lock();
        for Position { partition, offset } in positions {
            match known.heads.get(partition) {
                None => return Err(known.generation),
                Some(head) if *head != offset.0 => return Ok(true),
                Some(_) => {}
            }
        }
        Ok(false)
    }

    /// The database says that these positions were the heads, when everything had been forgotten so often.
    pub(super) fn learn(&self, positions: &[Position], generation: u64) {
        let mut known = self.lock();
        if known.generation == generation {
            for Position { partition, offset } in positions {
                known.heads.entry(partition.clone()).or_insert(offset.0);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
