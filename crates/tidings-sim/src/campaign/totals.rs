//! What came of a campaign, and whether it may be called good.

use std::time::Duration;

use super::Plan;
use crate::fault::Fault;
use crate::finding::Finding;
use crate::tally::{Sometimes, Tally};
use crate::world::{Depth, World};

/// The hashes of so many traces are kept, to count how many differ.
pub const MOST_TRACES: usize = 1_000_000;

/// What came of a campaign.
#[derive(Debug)]
pub struct Totals {
    /// The depth.
    pub depth: Depth,
    /// Seeds run.
    pub seeds: u64,
    /// What happened in their histories.
    pub tally: Tally,
    /// Seeds whose history broke a promise.
    pub violations: u64,
    /// One of each kind of violation.
    pub findings: Vec<Finding>,
    /// Seeds that were run a second time.
    pub repeated: u64,
    /// Those of them whose second history was another one.
    pub differed: Vec<u64>,
    /// How many of the first traces were compared, and how many of them were different.
    pub traces: (usize, usize),
    /// A hash of all histories, whatever thread ran them.
    pub fingerprint: u64,
    /// CPU time that the histories took.
    pub cpu: Duration,
    /// How long the threads ran, together.
    pub busy: Duration,
    /// How long the campaign took.
    pub elapsed: Duration,
    /// It was ended before its time.
    pub interrupted: bool,
    /// Faults that this depth is able to inject.
    pub faults: Vec<Fault>,
    /// What can happen at this depth.
    pub sometimes: Vec<Sometimes>,
    /// The plan left out a guard.
    mutated: bool,
    hashes: Vec<u64>,
}

impl Totals {
    pub(super) fn new(depth: Depth) -> Self {
        Self {
            depth,
            seeds: 0,
            tally: Tally::default(),
            violations: 0,
            findings: Vec::new(),
            repeated: 0,
            differed: Vec::new(),
            traces: (0, 0),
            fingerprint: 0,
            cpu: Duration::ZERO,
            busy: Duration::ZERO,
            elapsed: Duration::ZERO,
            interrupted: false,
            faults: Vec::new(),
            sometimes: Vec::new(),
            mutated: false,
            hashes: Vec::new(),
        }
    }

    /// The history of a seed has come to its end.
    pub(super) fn saw(&mut self, seed: u64, hash: u64) {
        self.seeds += 1;
        // A sum does not care in which order the threads came to their seeds.
        self.fingerprint = self.fingerprint.wrapping_add(mixed(hash ^ mixed(seed)));
        if self.hashes.len() < MOST_TRACES {
            self.hashes.push(hash);
        }
    }

    /// What this world is able to do.
    pub(super) fn can(&mut self, world: &dyn World) {
        let (faults, sometimes) = world.can();
        self.faults = faults.to_vec();
        self.sometimes = sometimes.to_vec();
    }

    pub(super) fn add(&mut self, part: Self) {
        self.seeds += part.seeds;
        self.tally.add(&part.tally);
        self.violations += part.violations;
        self.repeated += part.repeated;
        self.differed.extend(part.differed);
        self.fingerprint = self.fingerprint.wrapping_add(part.fingerprint);
        self.cpu += part.cpu;
        self.busy += part.busy;
        (self.faults, self.sometimes) = (part.faults, part.sometimes);
        let room = MOST_TRACES - self.hashes.len();
        self.hashes.extend(part.hashes.into_iter().take(room));
    }

    pub(super) fn finish(&mut self, plan: &Plan, elapsed: Duration, stopped: bool) {
        self.tally.histories = self.seeds;
        self.elapsed = elapsed;
        self.interrupted = stopped;
        self.mutated = plan.mutant.is_some();
        self.differed.sort_unstable();
        let compared = self.hashes.len();
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.traces = (compared, self.hashes.len());
        self.hashes = Vec::new();
    }

    /// Histories per second on one core, in CPU time.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let seconds = self.cpu.as_secs_f64();
        if seconds > 0.0 { self.seeds as f64 / seconds } else { 0.0 }
    }

    /// Faults and other things that this depth is able to bring about, and that never came.
    #[must_use]
    pub fn never(&self) -> Vec<&'static str> {
        let faults = self.faults.iter().filter(|fault| self.tally.faults(**fault) == 0);
        let sometimes = self.sometimes.iter().filter(|what| self.tally.sometimes(**what) == 0);
        faults.map(|fault| fault.name()).chain(sometimes.map(|what| what.name())).collect()
    }

    /// Whether so many seeds must have shown everything that this depth is able to bring about.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        self.seeds
            >= match self.depth {
                Depth::Core => 100_000,
                Depth::Drivers => 5_000,
            }
    }

    /// Why this campaign is no good, if it is not: a sentence each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.seeds == 0 {
            problems.push("no history was run, and so nothing is shown".to_owned());
        }
        if self.seeds >= 1_000 && self.tally.reads == 0 {
            problems.push("nobody read anything, and so nothing was judged".to_owned());
        }
        if self.violations > 0 {
            problems.push(format!("{} of {} seeds broke a promise", self.violations, self.seeds));
        }
        if !self.differed.is_empty() {
            let seeds: Vec<_> = self.differed.iter().take(5).map(u64::to_string).collect();
            problems.push(format!(
                "{} of {} repeated seeds had another history the second time, so seeds mean nothing; first {}",
                self.differed.len(),
                self.repeated,
                seeds.join(", ")
            ));
        }
        // Without one of its guards a world may well fail before it comes to everything.
        let never = self.never();
        if self.is_long() && !self.mutated && !never.is_empty() {
            problems.push(format!("never happened, so nothing is shown of it: {}", never.join(", ")));
        }
        problems
    }
}

/// The finaliser of `SplitMix64`.
const fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
