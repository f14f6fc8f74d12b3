//! What every actor needs at each step: chance, time, and somebody who takes notes.

use std::time::Duration;

use tidings_core::Time;
use tidings_testkit::history::Nanos;
use tidings_testkit::judge::Judge;

use super::draw::Setup;
use super::pool::Pool;
use crate::choices::Choices;
use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::tally::{Sometimes, Tally};
use crate::trace::Trace;

/// When every history begins, so that what is older than its beginning has a time too.
pub(super) const START: u64 = 1_000;

/// Borrowed for one step.
pub(super) struct Stage<'a> {
    pub(super) choices: &'a mut Choices,
    pub(super) trace: &'a mut Trace,
    pub(super) tally: &'a mut Tally,
    pub(super) judge: &'a mut Judge,
    pub(super) pool: &'a mut Pool,
    pub(super) setup: &'a Setup,
    pub(super) mutant: Option<Mutant>,
    /// Microseconds; every step takes one at least.
    pub(super) now: u64,
    /// No fault strikes any more.
    pub(super) healing: bool,
}

impl Stage<'_> {
    /// Now, as the judge wants it.
    pub(super) const fn nanos(&self) -> Nanos {
        self.now * 1000
    }

    /// Now, by the monotonic clock of every process.
    pub(super) const fn elapsed(&self) -> Duration {
        Duration::from_micros(self.now)
    }

    /// Now, by the source's clock.
    pub(super) fn source_time(&self) -> Time {
        Time::from_micros(self.now.cast_signed() + self.setup.skew)
    }

    /// Now, by the wall clock of a copy's process.
    pub(super) fn wall(&self) -> Time {
        Time::from_micros(self.now.cast_signed())
    }

    /// How far the two may differ.
    pub(super) fn clock_error(&self) -> Duration {
        Duration::from_micros(self.setup.clock_error)
    }

    /// The present as a time of the source's is, on a copy's monotonic clock: never later than it was.
    pub(super) fn since(&self, time: Time) -> Duration {
        let age = self.wall().since(time).saturating_add(self.clock_error());
        self.elapsed().saturating_sub(age)
    }

    /// Whether the fault strikes here and now.
    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        let rate = self.setup.rate(fault);
        let struck = rate > 0 && !self.healing && self.choices.chance(rate);
        if struck {
            self.tally.struck(fault);
        }
        struck
    }

    /// What spreads a retry; drawn only if there is one.
    pub(super) fn random_if(&mut self, failed: bool) -> u64 {
        if failed && !self.healing { u64::from(self.choices.below(4)) } else { 0 }
    }

    /// The most records of one read.
    pub(super) const fn batch(&self) -> usize {
        if self.healing { 64 } else { self.setup.batch }
    }

    /// Whether this guard is left out.
    pub(super) fn lacks(&self, guard: Mutant) -> bool {
        self.mutant == Some(guard)
    }

    /// It has happened.
    pub(super) fn happened(&mut self, what: Sometimes) {
        self.tally.happened(what);
    }

    /// A line of the timeline.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now - START;
        self.trace.tell(|| format!("{now:5} us  {}", line()));
    }
}
