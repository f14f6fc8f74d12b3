//! Whether the promises were kept, judged from a [`crate::history`] alone.
//!
//! ```
//! use tidings_core::{Entity, Freshness, Path, Stamp, Version};
//! use tidings_testkit::Checker;
//! use tidings_testkit::history::{Commit, Read, Record, Shown};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let price = Entity::parse("price/1")?;
//! let stamp = |n| Version::new(n).map(Stamp::of).ok_or("too large");
//! let mut checker = Checker::new();
//! for n in 1..=2 {
//!     checker.record(Record::Commit(Commit::of(price.clone(), stamp(n)?, n * 100, Some(n * 100 + 10))));
//! }
//! // At 500, long after version 2, an answer with version 1 calls itself fresh.
//! checker.record(Record::Read(Read {
//!     copy: "cache-1".into(), session: 1, view: "product".into(), key: "1".into(),
//!     shows: vec![Shown::at(price, stamp(1)?)], token: None, began: 500, ended: 510,
//!     freshness: Freshness::Fresh, path: Path::L1, bound: None,
//! }));
//! let verdict = checker.verdict()?;
//! assert_eq!(verdict.counts.false_labels, 1);
//! println!("{verdict}");
//! # Ok(())
//! # }
//! ```
//!
//! Records may come late by as much as the caller lags [`Checker::settle`] behind the present; a commit's record may
//! come after the record of the read that saw it. Time is O(H log H) in the length of the history, memory is bounded by
//! [`Checker::forget_before`], so a checker can run beside a deployment for days.
//!
//! Versions are compared per copy as a whole: two views of one copy that show the same entity must agree on its order.
//!
//! Every promise is about one entity, so a history can be judged in parts: [`Checker::shard`] judges its own entities'
//! part of every record, and [`Verdict::merge`] of all parts is the verdict of the whole.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Entity, Result};

use crate::history::{Heard, Name, Nanos, Raw, Record, State};
use crate::judge::{KEPT, MOST_COPIES};

pub(crate) mod hash;
mod names;
mod seat;
mod table;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use names::Book;
pub(crate) use seat::{Batch, Numbered, Seat};
pub use verdict::{Account, Counts, Invariant, Verdict, Violation};

/// What is older than this is forgotten by [`Checker::advance`].
pub const HORIZON: Duration = Duration::from_secs(30);

/// So much of the history's time passes from one forgetting to the next.
const FORGET_EVERY: Nanos = 5_000_000_000;

/// Judges a history while it happens, or afterwards.
#[derive(Debug)]
pub struct Checker {
    book: Book,
    seat: Seat,
    /// The record that is being handed in.
    batch: Batch,
    violations: Vec<Violation>,
    /// How many the judge had found when these were told.
    told: u64,
}

impl Default for Checker {
    fn default() -> Self {
        Self::shard(0, 1)
    }
}

impl Checker {
    /// A checker that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One of so many checkers that share the work: each is handed every record, and judges its own entities' part.
    #[must_use]
    pub fn shard(number: u32, shards: u32) -> Self {
        let (book, seat, batch) = (Book::default(), Seat::new(number, shards), Batch::default());
        Self { book, seat, batch, violations: Vec::new(), told: 0 }
    }

    /// Adds one record. It is judged by the next [`Checker::settle`] that covers it.
    pub fn record(&mut self, record: Record) {
        self.add(&record);
    }

    /// Adds one record, without taking it.
    pub fn add(&mut self, record: &Record) {
        let (raw, shows) = record.raw();
        let taken = self.take(raw, shows.iter().map(|shown| (&shown.entity, shown.state)));
        debug_assert!(taken.is_ok(), "the names of a record are names");
    }

    /// Adds what a file says.
    ///
    /// # Errors
    /// If an entity's name is none.
    pub(crate) fn hear(&mut self, heard: Heard<'_>) -> Result<()> {
        match heard {
            Heard::Raw(raw, shows) => return self.take(raw, shows.iter()),
            Heard::Record(record) => self.add(&record),
            Heard::Settled(time) => self.advance(time),
        }
        Ok(())
    }

    fn take<E: Name<Entity>, W: Name<Arc<str>>>(
        &mut self,
        raw: Raw<E, W>,
        shows: impl Iterator<Item = (E, State)>,
    ) -> Result<()> {
        self.batch.clear();
        self.book.number(raw, shows, &mut self.batch)?;
        self.seat.hear(&self.batch);
        Ok(())
    }

    /// Judges everything that happened at or before `up_to`: the caller's word that all records of it have been handed
    /// in.
    pub fn settle(&mut self, up_to: Nanos) {
        self.seat.judge.settle(up_to);
        self.tell();
    }

    /// Forgets what only reads that began before `time` could show, keeping what is still needed to recognise every
    /// later wrong answer: of content, of what is in force, and of held states as of a time before it, only what is still
    /// remembered can be judged. Call it now and then with a time well before the last settled one.
    pub fn forget_before(&mut self, time: Nanos) {
        self.seat.judge.forget_before(time);
        self.tell();
    }

    /// Settles, and now and then forgets what is more than [`HORIZON`] older: what a checker beside a running deployment
    /// needs, and what [`crate::history::check`] does at every settled line, so that both come to the same verdict.
    pub fn advance(&mut self, up_to: Nanos) {
        self.seat.advance(up_to);
        self.tell();
    }

    /// The counts so far, of what is settled; events that nobody accounts for are counted only by the verdict.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        self.seat.judge.counts()
    }

    /// The earliest violations so far, of what is settled.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Settles everything and judges the whole: the history is over, and what has not arrived never will.
    ///
    /// # Errors
    /// [`HISTORY_INCOMPLETE`](tidings_core::Code::HISTORY_INCOMPLETE) if there was nothing to judge (a shard may have nothing);
    /// [`SETTING_INVALID`](tidings_core::Code::SETTING_INVALID) if more than 64 copies take part.
    pub fn verdict(&mut self) -> Result<Verdict> {
        let verdict = self.book.verdict(std::slice::from_mut(&mut self.seat))?;
        self.tell();
        if self.seat.is_alone() { verdict.of_something() } else { Ok(verdict) }
    }

    /// Puts what the judge has found since the last time into words.
    fn tell(&mut self) {
        let found_ever = self.seat.judge.found_ever();
        if found_ever != self.told {
            self.told = found_ever;
            self.violations = self.book.violations(std::slice::from_ref(&self.seat));
        }
    }
}
