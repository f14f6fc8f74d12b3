//! Whether the promises were kept, judged from a [`crate::history`] alone.
//!
//! ```
//! use tidings_core::{Entity, Freshness, Path, Stamp, Version};
//! use tidings_testkit::Checker;
//! use tidings_testkit::history::{Commit, Read, Record};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let price = Entity::parse("price/1")?;
//! let stamp = |n| Version::new(n).map(Stamp::of).ok_or("too large");
//! let mut checker = Checker::new();
//! for n in 1..=2 {
//!     checker.record(Record::Commit(Commit {
//!         entity: price.clone(), stamp: stamp(n)?, began: n * 100, ended: Some(n * 100 + 10),
//!     }));
//! }
//! // At 500, long after version 2, an answer with version 1 calls itself fresh.
//! checker.record(Record::Read(Read {
//!     copy: "cache-1".into(), session: 1, view: "product".into(), key: "1".into(),
//!     deps: vec![(price, stamp(1)?)], began: 500, ended: 510,
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

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Code, Entity, Error, Freshness, Path, Result, Stamp, Version};

use crate::history::{Applied, Commit, Nanos, Read, Record};

mod account;
mod hash;
mod seen;
#[cfg(test)]
mod tests;
mod verdict;
mod versions;

use account::Subscription;
use hash::FastHash;
use seen::Seen;
pub use verdict::{Account, Counts, Invariant, Verdict, Violation};
use versions::{Known, Versions};

/// How many violations are kept as evidence; all are counted.
const KEPT: usize = 100;

/// Judges a history while it happens, or afterwards.
#[derive(Debug, Default)]
pub struct Checker {
    ids: HashMap<Entity, u32, FastHash>,
    tracks: Vec<Track>,
    copies: Vec<Arc<str>>,
    copy_ids: HashMap<Arc<str>, usize, FastHash>,
    subscriptions: Vec<Subscription>,
    /// What was pruned, per copy, in addition to what the tracks still hold.
    accounts: Vec<Account>,
    reads: Vec<Read>,
    unknown_reads: Vec<Read>,
    unknown_applied: Vec<Applied>,
    settled: Nanos,
    /// The numbers of the entities of the read being judged; kept to save an allocation per read.
    deps: Vec<u32>,
    counts: Counts,
    violations: Vec<Violation>,
    too_many_copies: bool,
}

/// What is known of one entity.
#[derive(Debug)]
struct Track {
    entity: Entity,
    versions: Versions,
    /// By copy.
    seen: Vec<Seen>,
}

/// The worst that one read's dependencies show.
struct Lag {
    lag: Duration,
    entity: u32,
    stamp: Stamp,
    successor: Stamp,
}

impl Checker {
    /// A checker that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one record. Reads are judged by the next [`Checker::settle`] that covers them.
    pub fn record(&mut self, record: Record) {
        match record {
            Record::Baseline { entity, stamp } => {
                let id = self.intern(&entity);
                if let Some(track) = self.tracks.get_mut(id as usize) {
                    track.versions.baseline(stamp);
                }
                self.counts.baselines += 1;
            }
            Record::Commit(commit) => self.commit(&commit),
            Record::Applied(applied) => {
                self.counts.applied += 1;
                self.counts.late += u64::from(applied.at < self.settled);
                self.apply(applied);
            }
            Record::Read(read) => {
                self.counts.late += u64::from(read.ended < self.settled);
                self.reads.push(read);
            }
            Record::Subscribed { copy, kind, from } => {
                let copy = self.copy(&copy);
                self.too_many_copies |= copy >= account::MOST_COPIES;
                account::subscribe(&mut self.subscriptions, Subscription { copy, kind, from });
            }
        }
    }

    /// Judges every read that ended at or before `up_to`: the caller's word that all records of what happened until
    /// then have been handed in.
    pub fn settle(&mut self, up_to: Nanos) {
        self.settled = self.settled.max(up_to);
        self.retry_unknown();
        let mut due: Vec<Read> = Vec::with_capacity(self.reads.len());
        if up_to == Nanos::MAX {
            due.append(&mut self.reads);
        } else {
            due.extend(self.reads.extract_if(.., |read| read.ended <= up_to));
        }
        // In the order in which they ended, whatever ended before a read began is known when that read is judged.
        due.sort_by_key(|read| read.ended);
        for read in due {
            self.counts.reads += 1;
            self.number_deps(&read);
            self.judge_order(&read);
            self.judge_truth(read);
        }
    }

    /// Forgets what only reads that began before `time` could show, keeping what is still needed to recognise every
    /// later wrong answer. Call it now and then with a time well before the last settled one.
    pub fn forget_before(&mut self, time: Nanos) {
        self.retry_unknown();
        let reads: Vec<_> = self.unknown_reads.extract_if(.., |read| read.ended < time).collect();
        reads.into_iter().for_each(|read| self.invented(read));
        let applied: Vec<_> = self.unknown_applied.extract_if(.., |applied| applied.at < time).collect();
        applied.into_iter().for_each(|applied| self.invented_event(applied));
        for track in &mut self.tracks {
            let expected = account::expected_of(&self.subscriptions, &track.entity);
            track.versions.forget_before(time, &expected, &mut self.accounts);
            track.seen.iter_mut().for_each(|seen| seen.forget_before(time));
        }
    }

    /// The counts so far, of what is settled; events that nobody accounts for are counted only by the verdict.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The first violations so far, of what is settled.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Settles everything and judges the whole: the history is over, and what has not arrived never will.
    ///
    /// # Errors
    /// [`Code::SETTING_INVALID`] if the history shows no read and no applied event, so that nothing was checked, or if
    /// more than 64 copies subscribe.
    pub fn verdict(&mut self) -> Result<Verdict> {
        self.settle(Nanos::MAX);
        std::mem::take(&mut self.unknown_reads).into_iter().for_each(|read| self.invented(read));
        std::mem::take(&mut self.unknown_applied).into_iter().for_each(|a| self.invented_event(a));
        if self.counts.reads == 0 && self.counts.applied == 0 {
            return Err(Error::new(
                Code::SETTING_INVALID,
                "the history has no read and no applied event: nothing was checked",
            ));
        }
        if self.too_many_copies {
            let most = account::MOST_COPIES;
            return Err(Error::new(
                Code::SETTING_INVALID,
                format!("more than {most} copies take part in the history"),
            ));
        }
        Ok(self.account())
    }

    /// The invariant I10: what became of every event at every copy.
    fn account(&self) -> Verdict {
        let mut accounts = self.accounts.clone();
        let (mut counts, mut violations) = (self.counts, self.violations.clone());
        for track in &self.tracks {
            let expected = account::expected_of(&self.subscriptions, &track.entity);
            for (copy, commit) in track.versions.account(&track.entity, &expected, &mut accounts) {
                counts.lost += 1;
                let copy = self.copies.get(copy).map_or("?", |name| name);
                if violations.len() < KEPT {
                    violations.push(Violation {
                        invariant: Invariant::I10,
                        what: format!(
                            "{copy} never applied, superseded or parked {} version {}",
                            commit.entity, commit.stamp
                        ),
                        records: vec![Record::Commit(commit)],
                    });
                }
            }
        }
        for (copy, account) in accounts.iter_mut().enumerate() {
            account.copy = self.copies.get(copy).cloned().unwrap_or_default();
        }
        accounts.retain(|account| account.expected > 0);
        Verdict { counts, accounts, violations }
    }

    fn commit(&mut self, commit: &Commit) {
        self.counts.commits += 1;
        self.counts.late += u64::from(commit.ended.is_some_and(|ended| ended < self.settled));
        let id = self.intern(&commit.entity);
        if let Some(track) = self.tracks.get_mut(id as usize) {
            track.versions.commit(commit);
        }
    }

    fn apply(&mut self, applied: Applied) {
        let copy = self.copy(&applied.copy);
        self.too_many_copies |= copy >= account::MOST_COPIES;
        let id = self.intern(&applied.entity);
        let Some(track) = self.tracks.get_mut(id as usize) else { return };
        match track.versions.applied(applied.stamp, account::bit(copy), applied.outcome) {
            Known::Never => self.unknown_applied.push(applied),
            Known::Committed { began } if began > applied.at => self.invented_event(applied),
            Known::Committed { .. } => {}
        }
    }

    /// Commits whose records came after those of the reads and copies that saw them.
    fn retry_unknown(&mut self) {
        for applied in std::mem::take(&mut self.unknown_applied) {
            self.apply(applied);
        }
        for read in std::mem::take(&mut self.unknown_reads) {
            self.number_deps(&read);
            self.judge_truth(read);
        }
    }

    /// The invariant I1: what one copy shows of an entity never goes back. What was read past the copy is no word of the
    /// copy's: a direct read, or an answer that the fence refused to keep and that claims nothing.
    fn judge_order(&mut self, read: &Read) {
        let claims = !matches!(read.freshness, Freshness::Stale(_) | Freshness::Unverified);
        if read.freshness == Freshness::Direct || (read.path == Path::SourceUnkept && !claims) {
            return;
        }
        let copy = self.copy(&read.copy);
        for ((entity, stamp), id) in read.deps.iter().zip(&self.deps) {
            let Some(track) = self.tracks.get_mut(*id as usize) else { continue };
            if track.seen.len() <= copy {
                track.seen.resize_with(copy + 1, Seen::default);
            }
            let Some(seen) = track.seen.get_mut(copy) else { continue };
            let before = seen.newest_before(read.began, *stamp).map(|earlier| Record::Read(earlier.clone()));
            seen.add(read, entity, *stamp);
            let Some(before) = before else { continue };
            self.counts.regressions += 1;
            if self.violations.len() < KEPT {
                self.violations.push(Violation {
                    invariant: Invariant::I1,
                    what: format!("{}: {entity} went back to version {stamp}", read.copy),
                    records: vec![before, Record::Read(read.clone())],
                });
            }
        }
    }

    /// The invariants I0, I4 and I5: what was returned existed, and was no staler than allowed and claimed.
    fn judge_truth(&mut self, read: Read) {
        let mut worst: Option<Lag> = None;
        for ((_, stamp), id) in read.deps.iter().zip(&self.deps) {
            let Some(track) = self.tracks.get(*id as usize) else { continue };
            match track.versions.known(*stamp) {
                Known::Never => return self.unknown_reads.push(read),
                Known::Committed { began } if began > read.ended => return self.invented(read),
                Known::Committed { .. } => {}
            }
            let Some((successor, acknowledged)) = track.versions.successor(*stamp) else { continue };
            if acknowledged < read.began {
                let lag = Duration::from_nanos(read.began - acknowledged);
                if worst.as_ref().is_none_or(|worst| worst.lag < lag) {
                    worst = Some(Lag { lag, entity: *id, stamp: *stamp, successor });
                }
            }
        }
        if let Some(worst) = worst {
            self.judge_lag(read, &worst);
        }
    }

    fn judge_lag(&mut self, read: Read, worst: &Lag) {
        let lag = worst.lag;
        self.counts.behind_reads += 1;
        self.counts.max_lag = self.counts.max_lag.max(lag);
        let labelled = matches!(read.freshness, Freshness::Stale(_) | Freshness::Unverified);
        let stale = !labelled && read.freshness != Freshness::Direct && read.bound.is_some_and(|d| lag > d);
        let false_label = match read.freshness {
            Freshness::Fresh | Freshness::Direct => true,
            Freshness::Within(age) => lag > age,
            Freshness::Stale(_) | Freshness::Unverified => false,
        };
        self.counts.stale_reads += u64::from(stale);
        self.counts.false_labels += u64::from(false_label);
        for (broken, invariant) in [(stale, Invariant::I4), (false_label, Invariant::I5)] {
            if !broken || self.violations.len() >= KEPT {
                continue;
            }
            let Some(track) = self.tracks.get(worst.entity as usize) else { continue };
            let Lag { stamp, successor, .. } = worst;
            let what = format!(
                "{} answered {} with version {stamp} of {}, labelled {}, {lag:?} after version {successor} was acknowledged",
                read.copy, read.key, track.entity, read.freshness
            );
            let committed = track.versions.commit_of(&track.entity, *successor).map(Record::Commit);
            let records = committed.into_iter().chain([Record::Read(read.clone())]).collect();
            self.violated(invariant, what, records);
        }
    }

    /// The invariant I0, broken by a read.
    fn invented(&mut self, read: Read) {
        self.counts.invented += 1;
        let unknown = read.deps.iter().find_map(|(entity, stamp)| {
            let track = self.tracks.get(*self.ids.get(entity)? as usize)?;
            match track.versions.known(*stamp) {
                Known::Committed { began } if began <= read.ended => None,
                Known::Committed { .. } => {
                    Some((entity.clone(), *stamp, track.versions.commit_of(entity, *stamp)))
                }
                Known::Never => Some((entity.clone(), *stamp, None)),
            }
        });
        let Some((entity, stamp, commit)) = unknown else { return };
        let what = format!(
            "{} answered {} with version {stamp} of {entity}, which nobody had begun to commit",
            read.copy, read.key
        );
        let records = commit.map(Record::Commit).into_iter().chain([Record::Read(read)]).collect();
        self.violated(Invariant::I0, what, records);
    }

    /// The invariant I0, broken by an event.
    fn invented_event(&mut self, applied: Applied) {
        self.counts.invented += 1;
        let Applied { copy, entity, stamp, .. } = &applied;
        let what = format!("{copy} applied version {stamp} of {entity}, which nobody had begun to commit");
        self.violated(Invariant::I0, what, vec![Record::Applied(applied)]);
    }

    fn violated(&mut self, invariant: Invariant, what: String, records: Vec<Record>) {
        if self.violations.len() < KEPT {
            self.violations.push(Violation { invariant, what, records });
        }
    }

    fn number_deps(&mut self, read: &Read) {
        let mut deps = std::mem::take(&mut self.deps);
        deps.clear();
        deps.extend(read.deps.iter().map(|(entity, _)| self.intern(entity)));
        self.deps = deps;
    }

    fn intern(&mut self, entity: &Entity) -> u32 {
        if let Some(id) = self.ids.get(entity) {
            return *id;
        }
        let id = u32::try_from(self.tracks.len()).unwrap_or(u32::MAX);
        self.ids.insert(entity.clone(), id);
        self.tracks.push(Track { entity: entity.clone(), versions: Versions::default(), seen: Vec::new() });
        id
    }

    fn copy(&mut self, name: &Arc<str>) -> usize {
        if let Some(id) = self.copy_ids.get(name) {
            return *id;
        }
        let id = self.copies.len();
        self.copy_ids.insert(name.clone(), id);
        self.copies.push(name.clone());
        id
    }
}
