//! What waits until its time is settled. Everything is judged in the order of its time, whatever order it came in.

use tidings_core::Stamp;

use super::{Applied, Read, Shown};
use crate::history::Nanos;

/// A read, or the part of it that one shard judges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) read: Read,
    pub(crate) session: u64,
    /// What the caller calls its view and key.
    pub(crate) note: u32,
    /// Whether this part is counted as the read.
    pub(crate) counts: bool,
}

/// What a copy said it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) copy: u32,
    pub(crate) shown: Shown,
    pub(crate) upto: Nanos,
    pub(crate) at: Nanos,
}

/// What a copy said of a kind of entity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word {
    pub(crate) copy: u32,
    pub(crate) kind: Option<u16>,
    /// The mark's, or the lease's end.
    pub(crate) time: Nanos,
    pub(crate) at: Nanos,
}

/// What is judged at one moment. Of those at the same moment, in this order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    Epoch {
        copy: u32,
        at: Nanos,
    },
    Applied(Applied),
    Lease(Word),
    Marked(Word),
    Held(Held),
    /// The time by which no copy may answer from before this revocation.
    Deadline {
        entity: u32,
        stamp: Stamp,
        at: Nanos,
    },
    Read(Part),
}

impl Due {
    const fn rank(&self) -> u8 {
        match self {
            Self::Epoch { .. } => 0,
            Self::Applied(_) => 1,
            Self::Lease(_) => 2,
            Self::Marked(_) => 3,
            Self::Held(_) => 4,
            Self::Deadline { .. } => 5,
            Self::Read(_) => 6,
        }
    }

    const fn time(&self) -> Nanos {
        match self {
            Self::Epoch { at, .. } | Self::Deadline { at, .. } => *at,
            Self::Applied(applied) => applied.at,
            Self::Lease(word) => word.at,
            // A claim about what is still to come is judged when it has.
            Self::Marked(Word { time, at, .. }) | Self::Held(Held { upto: time, at, .. }) => {
                if *time > *at {
                    *time
                } else {
                    *at
                }
            }
            Self::Read(part) => part.read.ended,
        }
    }
}

#[derive(Debug)]
struct Slot {
    due: Due,
    shows: Vec<Shown>,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Time, rank and slot, from the highest bits: one comparison orders them.
    keys: Vec<u128>,
    is_unsorted: bool,
    slots: Vec<Slot>,
    used: usize,
    free: Vec<u32>,
    /// So many of the keys are done with.
    over: usize,
}

impl Pending {
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.free.clear();
        (self.is_unsorted, self.used, self.over) = (false, 0, 0);
    }

    pub(super) fn push(&mut self, due: Due, shows: &[Shown]) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.used += 1;
                (self.used - 1) as u32
            }
        };
        match self.slots.get_mut(slot as usize) {
            Some(used) => {
                used.due = due;
                used.shows.clear();
                used.shows.extend_from_slice(shows);
            }
            None => self.slots.push(Slot { due, shows: shows.to_vec() }),
        }
        let key = u128::from(due.time()) << 64 | u128::from(due.rank()) << 32 | u128::from(slot);
        self.is_unsorted |= self.keys.last().is_some_and(|last| *last > key);
        self.keys.push(key);
    }

    /// Those whose time is not after `up_to`, in the order of their times, with what they show.
    pub(super) fn until(&mut self, up_to: Nanos) -> impl Iterator<Item = (&Due, &[Shown])> {
        if self.is_unsorted {
            self.keys.sort();
            self.is_unsorted = false;
        }
        let end = match self.keys.last() {
            Some(last) if (*last >> 64) as u64 <= up_to => self.keys.len(),
            _ => self.keys.partition_point(|key| (*key >> 64) as u64 <= up_to),
        };
        self.over = end;
        let slots = &self.slots;
        let due = self.keys.iter().take(end).filter_map(|key| slots.get(*key as u32 as usize));
        due.map(|slot| (&slot.due, slot.shows.as_slice()))
    }

    /// Removes those that [`Pending::until`] gave.
    pub(super) fn remove(&mut self) {
        if self.over == self.keys.len() {
            return self.clear();
        }
        self.free.extend(self.keys.drain(..self.over).map(|key| key as u32));
        self.over = 0;
    }
}
