//! The last minute in samples, and what follows from them.

use std::collections::VecDeque;
use std::time::Duration;

use retail::platform::Stats;
use retail::{Platform, Witness};
use tidings::ViewCounts;
use tokio::time::Instant;

use crate::dev::recorder::{Judged, Recorder};

const KEPT: usize = 121;
/// Rates are taken over so many samples.
const WINDOW: usize = 10;

/// All totals at one moment.
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) elapsed: Duration,
    pub(crate) stats: Stats,
    pub(crate) judged: Judged,
}

/// The samples, oldest first.
#[derive(Default)]
pub(crate) struct Series(VecDeque<Sample>);

impl Sample {
    pub(crate) fn take(platform: &Platform, recorder: &Recorder) -> Self {
        Self {
            at: Instant::now(),
            elapsed: Duration::from_nanos(recorder.now_ns()),
            stats: platform.stats(),
            judged: recorder.judged(),
        }
    }

    pub(crate) fn commits(&self) -> u64 {
        self.stats.contexts.iter().map(|context| context.commits).sum()
    }

    pub(crate) fn published(&self) -> u64 {
        self.stats.contexts.iter().map(|context| context.published).sum()
    }

    pub(crate) fn reads(&self) -> u64 {
        self.stats.views.iter().map(|view| view.counts.hits + view.counts.misses).sum()
    }

    /// Answers that were wrong by the checker's judgement.
    pub(crate) fn wrong(&self) -> u64 {
        self.judged.counts.violations()
    }

    /// What one view counted.
    pub(crate) fn view(&self, index: usize) -> ViewCounts {
        self.stats.views.get(index).map(|view| view.counts).unwrap_or_default()
    }
}

impl Series {
    pub(crate) fn push(&mut self, sample: Sample) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    pub(crate) fn last(&self) -> Option<&Sample> {
        self.0.back()
    }

    /// By how much a total has grown in the newest few seconds.
    pub(crate) fn recent(&self, total: impl Fn(&Sample) -> u64) -> u64 {
        match (self.0.back(), self.0.iter().rev().nth(WINDOW).or_else(|| self.0.front())) {
            (Some(now), Some(then)) => total(now).saturating_sub(total(then)),
            _ => 0,
        }
    }

    /// How fast a total grows now, per second.
    pub(crate) fn rate(&self, total: impl Fn(&Sample) -> u64) -> f64 {
        match (self.0.back(), self.0.iter().rev().nth(WINDOW).or_else(|| self.0.front())) {
            (Some(now), Some(then)) => per_second(then, now, &total),
            _ => 0.0,
        }
    }

    /// How fast a total grew, over the whole series.
    pub(crate) fn rates(&self, total: impl Fn(&Sample) -> u64) -> Vec<f64> {
        let smooth = 4;
        self.0
            .iter()
            .zip(self.0.iter().skip(smooth))
            .map(|(then, now)| per_second(then, now, &total))
            .collect()
    }

    /// A value over the whole series.
    pub(crate) fn values(&self, value: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.0.iter().map(value).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to look at")]
fn per_second(then: &Sample, now: &Sample, total: &impl Fn(&Sample) -> u64) -> f64 {
    let seconds = now.at.duration_since(then.at).as_secs_f64();
    if seconds <= 0.0 { 0.0 } else { total(now).saturating_sub(total(then)) as f64 / seconds }
}
