//! The simulator and the history checker: histories and records per second of CPU time on one core.

mod judging;

use anyhow::Result;
use tidings_sim::choices::Choices;
use tidings_sim::runner::Runner;
use tidings_sim::tally::Tally;
use tidings_sim::trace::Trace;
use tidings_sim::world::Depth;
use tidings_sim::worlds::world;

use crate::measure::thread_cpu;
use crate::report::{Report, Target};

const ROUNDS: u64 = 7;

pub(crate) fn run(report: &mut Report) -> Result<()> {
    report.section("The simulator, histories of fixed seeds with their verdicts, CPU time of one core");
    for (name, depth, seeds, target) in
        [("sim/core", Depth::Core, 200_000, 500_000.0), ("sim/drivers", Depth::Drivers, 10_000, 30_000.0)]
    {
        let unit = "histories/s";
        let (samples, broken) = histories(depth, seeds);
        report.alone(name, unit, &samples, Some(Target::AtLeast(target, unit)));
        if let Some(seed) = broken {
            report
                .note(format!("seed {seed} broke a promise: cargo xtask sim --depth {depth} --from {seed}"));
        }
    }
    judging::run(report)
}

/// A sample a round, and the last seed that broke a promise. Each round has seeds of its own; the one before the first
/// warms up.
fn histories(depth: Depth, seeds: u64) -> (Vec<f64>, Option<u64>) {
    let mut runner = Runner::new(&world, depth, None);
    let (mut choices, mut trace, mut tally) = (Choices::seeded(0), Trace::hashed(), Tally::default());
    let (mut samples, mut broken) = (Vec::new(), None);
    for round in 0..=ROUNDS {
        let before = thread_cpu();
        for seed in round * seeds..(round + 1) * seeds {
            choices.reseed(seed);
            trace.clear();
            if runner.run(&mut choices, &mut trace, &mut tally).is_some() {
                broken = Some(seed);
            }
        }
        if round > 0 {
            samples.push(seeds as f64 / (thread_cpu() - before).as_secs_f64());
        }
    }
    (samples, broken)
}
