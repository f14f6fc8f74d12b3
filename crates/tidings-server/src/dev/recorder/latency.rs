//! From the acknowledgement of a commit to the effect of its event. Either may be told of first.

use std::collections::HashMap;

use hdrhistogram::Histogram;
use tidings_core::{Code, Entity, Error, Result, Stamp};
use tidings_testkit::history::{Applied, Commit, Nanos};

pub(super) struct Latency {
    committed: HashMap<(Entity, Stamp), Nanos>,
    applied: HashMap<(Entity, Stamp), Nanos>,
    micros: Histogram<u64>,
}

impl Latency {
    pub(super) fn new() -> Result<Self> {
        let micros = Histogram::new_with_bounds(1, 3_600_000_000, 3);
        let micros = micros.map_err(|e| Error::new(Code::DEFECT, "a histogram was refused").because(e))?;
        Ok(Self { committed: HashMap::new(), applied: HashMap::new(), micros })
    }

    pub(super) fn committed(&mut self, commit: &Commit) {
        let Some(ended) = commit.ended else { return };
        let event = (commit.entity.clone(), commit.stamp);
        match self.applied.remove(&event) {
            Some(at) => self.add(ended, at),
            None => drop(self.committed.insert(event, ended)),
        }
    }

    pub(super) fn applied(&mut self, applied: &Applied) {
        let event = (applied.entity.clone(), applied.stamp);
        match self.committed.remove(&event) {
            Some(ended) => self.add(ended, applied.at),
            None => drop(self.applied.insert(event, applied.at)),
        }
    }

    fn add(&mut self, committed: Nanos, applied: Nanos) {
        self.micros.saturating_record((applied.saturating_sub(committed) / 1000).max(1));
    }

    /// What has no counterpart by now was told of twice, or was committed before this run.
    pub(super) fn forget_before(&mut self, time: Nanos) {
        self.applied.retain(|_, at| *at >= time);
    }

    /// In microseconds: half of all events, and 99 in 100.
    pub(super) fn quantiles(&self) -> (u64, u64) {
        (self.micros.value_at_quantile(0.5), self.micros.value_at_quantile(0.99))
    }
}
