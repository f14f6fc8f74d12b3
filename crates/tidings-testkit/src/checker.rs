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

use tidings_core::{Code, Entity, Error, Result};

use crate::history::{Applied, Commit, Nanos, Read, Record, Shown};
use crate::judge::{self, Held, Judge, KEPT, MOST_COPIES, Part};

pub(crate) mod hash;
mod names;
#[cfg(test)]
mod tests;
mod verdict;

use names::Book;
pub use verdict::{Account, Counts, Invariant, Verdict, Violation};

/// What is older than this is forgotten by [`Checker::advance`].
pub const HORIZON: Duration = Duration::from_secs(30);

/// So much of the history's time passes from one forgetting to the next.
const FORGET_EVERY: Nanos = 5_000_000_000;

/// Judges a history while it happens, or afterwards.
#[derive(Debug)]
pub struct Checker {
    judge: Judge,
    book: Book,
    shard: u32,
    shards: u32,
    /// The entities of the read that is being handed in; kept to save an allocation per read.
    shows: Vec<judge::Shown>,
    violations: Vec<Violation>,
    /// How many the judge had found when these were told.
    told: u64,
    forgot: Nanos,
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
        let judge = Judge::default().of_shard(number == 0);
        let (book, shows, violations) = (Book::default(), Vec::new(), Vec::new());
        Self { judge, book, shard: number, shards: shards.max(1), shows, violations, told: 0, forgot: 0 }
    }

    /// Adds one record. It is judged by the next [`Checker::settle`] that covers it.
    pub fn record(&mut self, record: Record) {
        self.add(&record);
    }

    /// Adds one record, without taking it.
    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Baseline { entity, stamp } => {
                if let Some(entity) = self.mine(entity) {
                    self.judge.baseline(entity, *stamp);
                }
            }
            Record::Commit(commit) => self.commit(commit),
            Record::Applied(applied) => self.applied(applied),
            Record::Read(read) => self.read(read),
            Record::Subscribed { copy, kind, from } => {
                let (copy, kind) = (self.book.copy(copy), self.kind(kind.as_ref()));
                self.judge.subscribed(copy, kind, *from);
            }
            Record::Marked { copy, kind, upto, at } => {
                let (copy, kind) = (self.book.copy(copy), self.kind(kind.as_ref()));
                self.judge.marked(copy, kind, *upto, *at);
            }
            Record::Epoch { copy, at } => {
                let copy = self.book.copy(copy);
                self.judge.epoch(copy, *at);
            }
            Record::Held { copy, shown: Shown { entity, state }, upto, at } => {
                let (copy, state) = (self.book.copy(copy), *state);
                self.judge.pass(*at);
                if let Some(entity) = self.mine(entity) {
                    let shown = judge::Shown { entity, state };
                    self.judge.hold(Held { copy, shown, upto: *upto, at: *at });
                }
            }
            Record::Lease { copy, kind, until, at } => {
                let (copy, kind) = (self.book.copy(copy), self.kind(kind.as_ref()));
                self.judge.lease(copy, kind, *until, *at);
            }
        }
    }

    /// Judges everything that happened at or before `up_to`: the caller's word that all records of it have been handed
    /// in.
    pub fn settle(&mut self, up_to: Nanos) {
        self.judge.settle(up_to);
        self.tell();
    }

    /// Forgets what only reads that began before `time` could show, keeping what is still needed to recognise every
    /// later wrong answer: of content, of what is in force, and of held states as of a time before it, only what is still
    /// remembered can be judged. Call it now and then with a time well before the last settled one.
    pub fn forget_before(&mut self, time: Nanos) {
        self.judge.forget_before(time);
        self.tell();
    }

    /// Settles, and now and then forgets what is more than [`HORIZON`] older: what a checker beside a running deployment
    /// needs, and what [`crate::history::check`] does at every settled line, so that both come to the same verdict.
    pub fn advance(&mut self, up_to: Nanos) {
        self.settle(up_to);
        let horizon = up_to.saturating_sub(HORIZON.as_nanos() as Nanos);
        if horizon >= self.forgot + FORGET_EVERY {
            self.forgot = horizon;
            self.forget_before(horizon);
        }
    }

    /// The counts so far, of what is settled; events that nobody accounts for are counted only by the verdict.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        self.judge.counts()
    }

    /// The earliest violations so far, of what is settled.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Settles everything and judges the whole: the history is over, and what has not arrived never will.
    ///
    /// # Errors
    /// [`Code::HISTORY_INCOMPLETE`] if there was nothing to judge (a shard may have nothing);
    /// [`Code::SETTING_INVALID`] if more than 64 copies take part.
    pub fn verdict(&mut self) -> Result<Verdict> {
        self.judge.finish();
        self.tell();
        if self.judge.has_too_many_copies() {
            return Err(Error::new(
                Code::SETTING_INVALID,
                format!("more than {MOST_COPIES} copies take part in the history"),
            ));
        }
        let mut accounts: Vec<_> = self
            .judge
            .accounts()
            .map(|(copy, account)| Account { copy: self.book.copy_name(copy), ..account })
            .collect();
        accounts.sort_unstable_by(|one, other| one.copy.cmp(&other.copy));
        let verdict = Verdict { counts: *self.counts(), accounts, violations: self.violations.clone() };
        if self.shards == 1 { verdict.of_something() } else { Ok(verdict) }
    }

    fn commit(&mut self, commit: &Commit) {
        self.judge.pass(commit.ended.unwrap_or(commit.began));
        let Some(entity) = self.mine(&commit.entity) else { return };
        let Commit { stamp, began, ended, deleted, digest, window, revokes, .. } = *commit;
        let (ended, digest) = (ended.unwrap_or(Nanos::MAX), digest.unwrap_or(0));
        self.judge.commit(&judge::Commit { entity, stamp, began, ended, deleted, digest, window, revokes });
    }

    fn applied(&mut self, applied: &Applied) {
        let Applied { stamp, outcome, at, .. } = *applied;
        let copy = self.book.copy(&applied.copy);
        self.judge.pass(at);
        let Some(entity) = self.mine(&applied.entity) else { return };
        self.judge.applied(&judge::Applied { copy, entity, stamp, outcome, at });
    }

    fn read(&mut self, read: &Read) {
        let copy = self.book.copy(&read.copy);
        self.judge.pass(read.ended);
        let mut shows = std::mem::take(&mut self.shows);
        shows.clear();
        for shown in &read.shows {
            if let Some(entity) = self.mine(&shown.entity) {
                shows.push(judge::Shown { entity, state: shown.state });
            }
        }
        let counts = read.shows.first().map_or(self.shard == 0, |first| self.is_mine(&first.entity));
        if counts || !shows.is_empty() {
            let is_shown = |entity: &Entity| read.shows.iter().any(|shown| shown.entity == *entity);
            let token = read.token.as_ref().filter(|(entity, _)| is_shown(entity));
            let token = token.and_then(|(entity, stamp)| Some((self.mine(entity)?, *stamp)));
            let note = self.book.note(&read.view, &read.key);
            let Read { session, began, ended, freshness, path, bound, .. } = *read;
            let read = judge::Read { copy, session: 0, token, began, ended, freshness, path, bound };
            self.judge.part(Part { read, session, note, counts }, &shows);
        }
        self.shows = shows;
    }

    fn is_mine(&self, entity: &Entity) -> bool {
        self.shards == 1 || names::shard_of(entity, self.shards) == self.shard
    }

    /// The number of an entity that is judged here.
    fn mine(&mut self, entity: &Entity) -> Option<u32> {
        self.is_mine(entity).then(|| self.book.entity(entity, &mut self.judge))
    }

    fn kind(&mut self, kind: Option<&Arc<str>>) -> Option<u16> {
        kind.map(|kind| self.book.kind(kind))
    }

    /// Puts what the judge has found since the last time into words.
    fn tell(&mut self) {
        let found_ever = self.judge.found_ever();
        if found_ever == self.told {
            return;
        }
        self.told = found_ever;
        let tell = |found: &judge::Found| Violation {
            invariant: found.invariant,
            what: found.fact.tell(&self.book),
            at: found.at,
            records: found.proof.iter().filter_map(|proof| self.book.record(proof)).collect(),
        };
        self.violations = self.judge.found().iter().map(tell).collect();
        verdict::sort(&mut self.violations);
    }
}
