//! One thread of a campaign: its own worlds, its own totals.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::{Shared, Totals};
use crate::choices::Choices;
use crate::finding::{Finding, Search};
use crate::pulse::Pulse;
use crate::runner::Runner;
use crate::tally::Tally;
use crate::trace::Trace;
use crate::world::{Broken, Depth};

/// What a thread has to say.
pub(super) enum Word {
    /// A violation of a new kind.
    Found(Box<Finding>),
    /// It is through.
    Done(Box<Totals>),
}

struct Worker<'a> {
    shared: &'a Shared<'a>,
    pulse: &'a Pulse,
    runner: Runner<'a>,
    /// Where histories are repeated: what is left over from earlier ones differs from the first.
    other: Runner<'a>,
    totals: Totals,
    /// CPU time that was not spent on the seeds.
    aside: Duration,
}

/// Runs seeds until there are no more.
pub(super) fn work(shared: &Shared<'_>, pulse: &Pulse, send: &Sender<Word>) -> Totals {
    let plan = shared.plan;
    let runner = || Runner::new(shared.worlds, plan.depth, plan.mutant);
    let totals = Totals::new(plan.depth);
    let mut worker =
        Worker { shared, pulse, runner: runner(), other: runner(), totals, aside: Duration::ZERO };
    let (cpu, wall) = (cpu_time(), Instant::now());
    worker.run(send);
    worker.totals.cpu = (cpu_time() - cpu).saturating_sub(worker.aside);
    worker.totals.busy = wall.elapsed();
    worker.totals.can(worker.runner.world());
    pulse.rest();
    worker.totals
}

impl Worker<'_> {
    fn run(&mut self, send: &Sender<Word>) {
        let (mut choices, mut trace) = (Choices::seeded(0), Trace::hashed());
        let repeated = every(self.shared.plan.depth);
        while let Some(block) = self.shared.block() {
            let seeds = block.end - block.start;
            for index in block {
                let seed = self.shared.plan.from.wrapping_add(index);
                self.pulse.at(0, seed);
                choices.reseed(seed);
                trace.clear();
                let broken = self.runner.run(&mut choices, &mut trace, &mut self.totals.tally);
                self.totals.saw(seed, trace.hash());
                if index % repeated == 0 {
                    self.repeat(seed, trace.hash());
                }
                if let Some(broken) = broken {
                    self.violation(seed, &broken, choices.made(), send);
                }
            }
            self.shared.done.fetch_add(seeds, Ordering::Relaxed);
        }
    }

    fn repeat(&mut self, seed: u64, hash: u64) {
        let before = cpu_time();
        let mut trace = Trace::hashed();
        self.other.run(&mut Choices::seeded(seed), &mut trace, &mut Tally::default());
        self.totals.repeated += 1;
        if trace.hash() != hash {
            self.totals.differed.push(seed);
        }
        self.aside += cpu_time() - before;
    }

    fn violation(&mut self, seed: u64, broken: &Broken, made: &[u32], send: &Sender<Word>) {
        self.totals.violations += 1;
        if !self.shared.is_news(broken) {
            return;
        }
        let before = cpu_time();
        let plan = self.shared.plan;
        let mut search = Search::new(self.shared.worlds, plan.depth, plan.mutant);
        let finding = search.shrunk(seed, broken, made, plan.effort, &|| self.pulse.beat());
        // Nobody listens any more if the campaign was given up.
        let _ = send.send(Word::Found(Box::new(finding)));
        self.aside += cpu_time() - before;
    }
}

/// Every how many seeds one is run twice.
const fn every(depth: Depth) -> u64 {
    match depth {
        Depth::Core => 1000,
        Depth::Drivers => 100,
    }
}

/// CPU time of this thread: a busy neighbour hardly changes it.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
