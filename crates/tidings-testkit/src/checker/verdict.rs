//! What the checker found.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::history::Record;

/// A promise that can be broken (DESIGN section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// No invention: every version returned or applied was committed, or in flight.
    I0,
    /// Fence: per copy and entity, within one timeline, the visible version never goes back.
    I1,
    /// Bounded staleness: no successor was acknowledged longer ago than the bound.
    I4,
    /// Truthful label: no certificate claims more freshness than was true.
    I5,
    /// Nothing lost: every committed event is applied, superseded by a newer one that was applied, or parked.
    I10,
}

/// One broken promise with what proves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// Which promise.
    pub invariant: Invariant,
    /// What happened, in a sentence.
    pub what: String,
    /// The few records that prove it, in order.
    pub records: Vec<Record>,
}

/// How much was judged and what was found. Reads are counted once, however many of their dependencies are wrong.
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
    /// Reads that began after a successor of what they returned was acknowledged: honest lag, no violation by itself.
    pub behind_reads: u64,
    /// The longest such lag.
    pub max_lag: Duration,
    /// I0: reads and applied events of versions that nobody committed.
    pub invented: u64,
    /// I1: dependencies of reads that went back to an older version.
    pub regressions: u64,
    /// I4: reads beyond their bound without a label that says so.
    pub stale_reads: u64,
    /// I5: reads whose label claims too much.
    pub false_labels: u64,
    /// I10: events that a copy never accounted for.
    pub lost: u64,
    /// Records that came after the time they belong to was settled; if there are any, settle later.
    pub late: u64,
}

impl Counts {
    /// All violations.
    #[must_use]
    pub const fn violations(&self) -> u64 {
        self.invented + self.regressions + self.stale_reads + self.false_labels + self.lost
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

/// The judgement of a whole history.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How much was judged, and how many violations were found.
    pub counts: Counts,
    /// Event by event, per copy that subscribed.
    pub accounts: Vec<Account>,
    /// The first hundred violations.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// Whether every promise was kept.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.counts.violations() == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { commits, reads, behind_reads, max_lag, late, .. } = self.counts;
        writeln!(f, "{reads} reads and {commits} commits judged: {} violations", self.counts.violations())?;
        writeln!(f, "  {behind_reads} reads lagged, at most {max_lag:?}; {late} records came late")?;
        for Account { copy, expected, applied, superseded, parked, lost } in &self.accounts {
            writeln!(
                f,
                "  {copy}: {expected} events = {applied} applied + {superseded} superseded + {parked} parked + {lost} lost"
            )?;
        }
        for Violation { invariant, what, records } in &self.violations {
            writeln!(f, "{invariant:?} {what}")?;
            records.iter().try_for_each(|record| writeln!(f, "    {record:?}"))?;
        }
        Ok(())
    }
}
