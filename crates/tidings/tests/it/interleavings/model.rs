//! One copy: the shipped board, with a source beside it and one place in a cache above it.
//!
//! The cache, its epoch and its marks are the view's in the toolkit, which is generic and asynchronous. Here is the same
//! order of reads and writes: [`Copy::look`] is `view/look.rs`, [`Copy::land`] is `view/load.rs`, and what the consumer
//! does is `view/background.rs`. Each has a wrong order beside the right one, which must be found out.

use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicU32, AtomicU64 as Number, Ordering};
use tidings_core::fence::{Fingerprint, Held, Limits, Refusal, Tick, Ticket, landing};
use tidings_core::{Stamp, Version};

use super::board::Board;
use super::hold::Hold;
use super::sync::{AtomicU64, Mutex};

/// An order that somebody might take for harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    /// A read looks at the floors before it looks how far they reach.
    FloorsBeforeMarks,
    /// A read looks at the epoch before it looks how far marks reach.
    EpochBeforeMarks,
    /// A load takes its ticket after it has read.
    TicketAfterRead,
    /// An entry is of the epoch in which it landed.
    EpochOfLanding,
    /// A read does not ask the floors: what was checked when it landed is good.
    CheckedOnce,
    /// What lands is not checked: every read will.
    CheckedByReads,
    /// The mark is published before the news that came before it.
    MarkBeforeNews,
    /// What a load saw is not held against what others hold.
    TeachesNothing,
    /// Whoever comes joins the load that is in the air, though it be outrun.
    JoinsAny,
    /// Whoever waited is content with what landed.
    ContentWithAny,
}

/// When the second version is committed, and two later marks; the first was committed long before.
pub(super) const COMMITTED: u32 = 10;
pub(super) const MARKED: u32 = 20;

/// The entity that everything is about. The other shares its stripe, but not its lock.
pub(super) const PRICE: Fingerprint = Fingerprint(0);
pub(super) const OTHER: Fingerprint = Fingerprint(1 << 32);

pub(super) const NOW: Duration = Duration::from_secs(1);

pub(super) struct Copy {
    wrong: Wrong,
    pub(super) board: Board,
    /// The version in force. Relaxed: what a read of it must see, it has to know from the board.
    source: Number,
    slot: Mutex<Option<Arc<Entry>>>,
    epoch: AtomicU32,
    known: AtomicU32,
}

pub(super) struct Entry {
    good_at: AtomicU64,
    holds: Vec<Hold>,
    epoch: u32,
    shows: u64,
}

/// What a read got from the cache as good: this version, with everything committed before `known`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) shows: u64,
    pub(super) known: u32,
}

/// What a load landed with.
pub(super) struct Landed {
    pub(super) shows: u64,
    pub(super) ticket: Ticket,
    pub(super) refusal: Option<Refusal>,
}

impl Copy {
    pub(super) fn new(wrong: Wrong) -> Arc<Self> {
        let limits = Limits { raised: 8, learned: 8, keep: Duration::from_secs(90) };
        Arc::new(Self {
            wrong,
            board: Board::new(2, 1, limits),
            source: Number::new(1),
            slot: Mutex::new(None),
            epoch: AtomicU32::new(0),
            known: AtomicU32::new(0),
        })
    }

    /// A copy that holds the first version.
    pub(super) fn holding(wrong: Wrong, held: fn(u64) -> Held) -> Arc<Self> {
        let copy = Self::new(wrong);
        copy.keep(copy.entry(&[Hold::new(PRICE, held(1))], 0, 0, 1));
        copy
    }

    pub(super) fn commit(&self) {
        self.source.store(2, Ordering::Relaxed);
    }

    pub(super) fn read_source(&self) -> u64 {
        self.source.load(Ordering::Relaxed)
    }

    /// The consumer applies a batch that ends with a mark.
    pub(super) fn apply(&self, news: impl FnOnce(&Board)) {
        if self.wrong == Wrong::MarkBeforeNews {
            self.mark();
            news(&self.board);
        } else {
            news(&self.board);
            self.mark();
        }
    }

    pub(super) fn mark(&self) {
        self.known.store(MARKED, Ordering::Release);
    }

    pub(super) fn open_epoch(&self) {
        self.known.store(0, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn ticket(&self) -> Ticket {
        Ticket { epoch: self.epoch.load(Ordering::Acquire), tick: self.board.tick(), started: NOW }
    }

    /// Loads from the source and lands.
    pub(super) fn fill(&self, held: fn(u64) -> Held) -> Landed {
        let (ticket, seen) = match self.wrong {
            Wrong::TicketAfterRead => {
                let seen = self.read_source();
                (self.ticket(), seen)
            }
            _ => (self.ticket(), self.read_source()),
        };
        self.land(&[Hold::new(PRICE, held(seen))], ticket, seen)
    }

    /// The accept rule, as far as the board goes.
    pub(super) fn admit(&self, holds: &[Hold], ticket: Tick) -> Result<Tick, Refusal> {
        self.board.admit(holds, ticket, self.wrong != Wrong::TeachesNothing, NOW)
    }

    pub(super) fn land(&self, holds: &[Hold], ticket: Ticket, shows: u64) -> Landed {
        let admitted = match self.wrong {
            Wrong::CheckedByReads => Ok(self.board.tick()),
            _ => self.admit(holds, ticket.tick),
        };
        let epoch = self.epoch.load(Ordering::Acquire);
        let verdict = match self.wrong {
            Wrong::EpochOfLanding => admitted,
            _ => landing::verdict(admitted, &ticket, epoch, NOW, Duration::from_secs(90)),
        };
        let of = if self.wrong == Wrong::EpochOfLanding { epoch } else { ticket.epoch };
        if let Ok(good_at) = verdict {
            self.keep(self.entry(holds, good_at.0, of, shows));
        }
        Landed { shows, ticket, refusal: verdict.err() }
    }

    fn entry(&self, holds: &[Hold], good_at: u64, epoch: u32, shows: u64) -> Entry {
        Entry { good_at: AtomicU64::new(good_at), holds: holds.to_vec(), epoch, shows }
    }

    pub(super) fn keep(&self, entry: Entry) {
        *self.slot.lock() = Some(Arc::new(entry));
    }

    /// A read that finds something in the cache which it may serve as good.
    pub(super) fn look(&self) -> Option<Hit> {
        let entry = self.slot.lock().clone()?;
        let same_epoch = || entry.epoch == self.epoch.load(Ordering::Acquire);
        let known = || self.known.load(Ordering::Acquire);
        let stands = || self.board.stands(&entry.holds, &entry.good_at);
        let (stands, same_epoch, known) = match self.wrong {
            Wrong::FloorsBeforeMarks => (stands(), same_epoch(), known()),
            Wrong::EpochBeforeMarks => {
                let same_epoch = same_epoch();
                let known = known();
                (stands(), same_epoch, known)
            }
            Wrong::CheckedOnce => {
                let known = known();
                (true, same_epoch(), known)
            }
            _ => {
                let known = known();
                (stands(), same_epoch(), known)
            }
        };
        (stands && landing::doubt(false, same_epoch, false).is_none())
            .then_some(Hit { shows: entry.shows, known })
    }

    /// Whether somebody who comes now waits for the load in the air, which has told `holds` so far.
    pub(super) fn joins(&self, ticket: &Ticket, holds: &[Hold]) -> bool {
        let outrun = ticket.epoch != self.epoch.load(Ordering::Acquire)
            || self.board.is_outrun(holds, ticket.tick, NOW);
        self.wrong == Wrong::JoinsAny || !outrun
    }

    /// Whether somebody who waited, and came at `arrived` in the order of the board, takes this as an answer that is as
    /// new as its read.
    pub(super) fn takes(&self, landed: &Landed, arrived: Tick) -> bool {
        let refused = landed.refusal.is_some();
        let no_use = landing::is_no_use(refused, &landed.ticket, arrived, NOW, NOW);
        (self.wrong == Wrong::ContentWithAny || !no_use)
            && !matches!(landed.refusal, Some(Refusal::BelowFloor(_)))
    }
}

/// How a load holds what it read: at its version, or without one.
pub(super) fn versioned(version: u64) -> Held {
    Held::At(stamp(version))
}

pub(super) fn unversioned(_: u64) -> Held {
    Held::Unmoved
}

pub(super) fn stamp(version: u64) -> Stamp {
    Stamp::of(Version::new(version).unwrap())
}
