//! What the checker found.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Code, Error, Result, Stamp};

use super::{KEPT, MOST_COPIES};
use crate::history::{Nanos, Record};

/// A promise that can be broken (DESIGN section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// No invention: every version returned or applied was committed, or in flight.
    I0,
    /// Fence: per copy and entity, within one timeline, the visible version never goes back.
    I1,
    /// Monotonic reads: within a session, later reads of an entity never show an older version.
    I2,
    /// Read your writes: a read with a token shows at least that version, or went direct.
    I3,
    /// Bounded staleness: no successor was acknowledged longer ago than the bound.
    I4,
    /// Truthful label: no certificate claims more freshness than was true.
    I5,
    /// Known gaps: what a mark covers was applied, superseded, parked or declared unknown.
    I6,
    /// Effective time: an answer is what is in force, never early, and late by no more than its bound.
    I7,
    /// Revocation: some time after it no copy answers from before it, or may.
    I8,
    /// Convergence: what is held once everything was taken in is what was committed.
    I9,
    /// Nothing lost: every committed event is applied, superseded by a newer one that was applied, or parked.
    I10,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::I0,
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::I10,
    ];
}

/// One broken promise with what proves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// Which promise.
    pub invariant: Invariant,
    /// What happened, in a sentence.
    pub what: String,
    /// The time of the record that broke it.
    pub at: Nanos,
    /// The few records that prove it, in order.
    pub records: Vec<Record>,
}

/// How much was judged and what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Commits recorded.
    pub commits: u64,
    /// Baselines recorded.
    pub baselines: u64,
    /// Applied records, repetitions included.
    pub applied: u64,
    /// Reads judged.
    pub reads: u64,
    /// Answers judged: one per read and entity that it shows. What follows counts these, not reads.
    pub answers: u64,
    /// Marks judged.
    pub marks: u64,
    /// Held states judged.
    pub held: u64,
    /// Answers that began after a successor of what they show was acknowledged: honest lag, no violation by itself.
    pub behind_reads: u64,
    /// The longest such lag.
    pub max_lag: Duration,
    /// I0: answers, held states and applied events of versions or contents that nobody committed.
    pub invented: u64,
    /// I1: answers that went back to an older version, and new timelines without an epoch.
    pub regressions: u64,
    /// I2: answers older than what their session had seen.
    pub session_regressions: u64,
    /// I3: answers older than the token they were asked with.
    pub tokens_ignored: u64,
    /// I4: answers beyond their bound without a label that says so.
    pub stale_reads: u64,
    /// I5: answers whose label claims too much.
    pub false_labels: u64,
    /// I6: events that a mark covers and the copy had not, per copy.
    pub unmet_marks: u64,
    /// I7: answers as of something else than what was in force.
    pub wrong_in_force: u64,
    /// I8: answers from before a revocation after its time, and copies that might still have given some.
    pub unrevoked: u64,
    /// I9: held states that are not what was committed.
    pub diverged: u64,
    /// I10: events that a copy never accounted for.
    pub lost: u64,
    /// Records that came after the time they belong to was settled; if there are any, settle later.
    pub late: u64,
}

impl Counts {
    /// All violations.
    #[must_use]
    pub const fn violations(&self) -> u64 {
        let mut all = 0;
        let mut at = 0;
        while at < Invariant::ALL.len() {
            all += self.of(Invariant::ALL[at]);
            at += 1;
        }
        all
    }

    /// The violations of one promise.
    #[must_use]
    pub const fn of(&self, invariant: Invariant) -> u64 {
        match invariant {
            Invariant::I0 => self.invented,
            Invariant::I1 => self.regressions,
            Invariant::I2 => self.session_regressions,
            Invariant::I3 => self.tokens_ignored,
            Invariant::I4 => self.stale_reads,
            Invariant::I5 => self.false_labels,
            Invariant::I6 => self.unmet_marks,
            Invariant::I7 => self.wrong_in_force,
            Invariant::I8 => self.unrevoked,
            Invariant::I9 => self.diverged,
            Invariant::I10 => self.lost,
        }
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        let longest = self.max_lag.max(other.max_lag);
        let pairs = [
            (&mut self.commits, other.commits),
            (&mut self.baselines, other.baselines),
            (&mut self.applied, other.applied),
            (&mut self.reads, other.reads),
            (&mut self.answers, other.answers),
            (&mut self.marks, other.marks),
            (&mut self.held, other.held),
            (&mut self.behind_reads, other.behind_reads),
            (&mut self.invented, other.invented),
            (&mut self.regressions, other.regressions),
            (&mut self.session_regressions, other.session_regressions),
            (&mut self.tokens_ignored, other.tokens_ignored),
            (&mut self.stale_reads, other.stale_reads),
            (&mut self.false_labels, other.false_labels),
            (&mut self.unmet_marks, other.unmet_marks),
            (&mut self.wrong_in_force, other.wrong_in_force),
            (&mut self.unrevoked, other.unrevoked),
            (&mut self.diverged, other.diverged),
            (&mut self.lost, other.lost),
            (&mut self.late, other.late),
        ];
        pairs.into_iter().for_each(|(mine, theirs)| *mine += theirs);
        self.max_lag = longest;
    }
}

/// What became of the events that one copy had to account for: `expected` is the sum of the other four.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// The copy.
    pub copy: Arc<str>,
    /// Events committed and acknowledged while it was subscribed.
    pub expected: u64,
    /// Of these, applied themselves.
    pub applied: u64,
    /// Not applied, but a newer version of the entity was.
    pub superseded: u64,
    /// Set aside.
    pub parked: u64,
    /// None of these.
    pub lost: u64,
}

impl Account {
    fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.applied += other.applied;
        self.superseded += other.superseded;
        self.parked += other.parked;
        self.lost += other.lost;
    }
}

pub(super) fn too_many_copies() -> Error {
    let what = format!("more than {MOST_COPIES} copies take part in the history");
    Error::new(Code::SETTING_INVALID, what)
}

pub(super) fn contradiction(entity: &str, stamp: Stamp) -> Error {
    let what = format!("version {stamp} of {entity} is recorded with two contents, and only one can be true");
    Error::new(Code::HISTORY_UNREADABLE, what)
}

/// The judgement of a whole history.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How much was judged, and how many violations were found.
    pub counts: Counts,
    /// Event by event, per copy that subscribed.
    pub accounts: Vec<Account>,
    /// The earliest hundred violations.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// Whether every promise was kept.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.counts.violations() == 0
    }

    /// The verdict of the whole, of the verdicts of all of its shards.
    #[must_use]
    pub fn merge(shards: Vec<Self>) -> Self {
        let mut whole = Self { counts: Counts::default(), accounts: Vec::new(), violations: Vec::new() };
        for shard in shards {
            whole.counts.add(&shard.counts);
            for account in shard.accounts {
                match whole.accounts.iter_mut().find(|known| known.copy == account.copy) {
                    Some(known) => known.add(&account),
                    None => whole.accounts.push(account),
                }
            }
            whole.violations.extend(shard.violations);
        }
        whole.accounts.sort_unstable_by(|one, other| one.copy.cmp(&other.copy));
        sort(&mut whole.violations);
        whole.violations.truncate(KEPT);
        whole
    }

    /// This verdict, if anything was judged.
    ///
    /// # Errors
    /// [`Code::HISTORY_INCOMPLETE`] if nothing was.
    pub fn of_something(self) -> Result<Self> {
        let Counts { answers, applied, held, marks, .. } = self.counts;
        if answers + applied + held + marks > 0 {
            return Ok(self);
        }
        let what =
            "the history has no answer, no applied event, no mark and no held state: nothing was checked";
        Err(Error::new(Code::HISTORY_INCOMPLETE, what))
    }
}

/// By time; for the same time in an order that does not depend on who found what first.
pub(super) fn sort(violations: &mut [Violation]) {
    violations.sort_by(|one, other| {
        (one.at, one.invariant, &one.what).cmp(&(other.at, other.invariant, &other.what))
    });
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { commits, reads, behind_reads, max_lag, late, .. } = self.counts;
        writeln!(f, "{reads} reads and {commits} commits judged: {} violations", self.counts.violations())?;
        for invariant in Invariant::ALL.into_iter().filter(|invariant| self.counts.of(*invariant) > 0) {
            writeln!(f, "  {invariant:?}: {}", self.counts.of(invariant))?;
        }
        writeln!(f, "  {behind_reads} answers lagged, at most {max_lag:?}; {late} records came late")?;
        for Account { copy, expected, applied, superseded, parked, lost } in &self.accounts {
            writeln!(
                f,
                "  {copy}: {expected} events = {applied} applied + {superseded} superseded + {parked} parked + {lost} lost"
            )?;
        }
        for Violation { invariant, what, records, .. } in &self.violations {
            writeln!(f, "{invariant:?} {what}")?;
            records.iter().try_for_each(|record| writeln!(f, "    {record:?}"))?;
        }
        Ok(())
    }
}
