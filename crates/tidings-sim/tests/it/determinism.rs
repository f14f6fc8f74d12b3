//! The same seed gives the same history, to the last step: in another world, in another process, on other threads.

use std::collections::BTreeSet;
use std::process::Command;

use tidings_sim::choices::Choices;
use tidings_sim::runner::Runner;
use tidings_sim::tally::Tally;
use tidings_sim::trace::Trace;
use tidings_sim::world::Depth;
use tidings_sim::worlds::world;

use crate::toy::{Defect, toys};

#[test]
fn the_same_seed_twice_gives_the_same_trace() {
    for &depth in Depth::ALL {
        let (mut one, mut other) = (Runner::new(&world, depth, None), Runner::new(&world, depth, None));
        let mut different = BTreeSet::new();
        for seed in 0..200 {
            let (first, second) = (trace(&mut one, seed), trace(&mut other, seed));
            assert_eq!(first, second, "depth {depth}, seed {seed}");
            different.insert(first);
        }
        assert!(different.len() > 180, "depth {depth}: only {} different traces", different.len());
        // The other way round: what earlier histories leave behind must not matter.
        for seed in (0..200).rev().step_by(7) {
            assert_eq!(trace(&mut one, seed), trace(&mut other, seed), "depth {depth}, seed {seed}");
            assert_eq!(trace(&mut Runner::new(&world, depth, None), seed), trace(&mut one, seed));
        }
    }
}

fn trace(runner: &mut Runner<'_>, seed: u64) -> u64 {
    let mut trace = Trace::hashed();
    runner.run(&mut Choices::seeded(seed), &mut trace, &mut Tally::default());
    trace.hash()
}

#[test]
fn what_was_chosen_gives_the_same_trace_as_the_seed() {
    for &depth in Depth::ALL {
        let mut runner = Runner::new(&world, depth, None);
        for seed in 0..100 {
            let told = runner.tell(Choices::seeded(seed));
            let again = runner.tell(Choices::scripted(told.made.clone()));
            assert_eq!(told.hash, again.hash, "depth {depth}, seed {seed}");
            assert_eq!(told.timeline, again.timeline, "depth {depth}, seed {seed}");
        }
    }
}

#[test]
fn a_panic_leaves_nothing_to_the_next_history() {
    let worlds = toys(Defect::Panics);
    let mut used = Runner::new(&worlds, Depth::Core, None);
    let hashes: Vec<_> = (0..50).map(|seed| trace(&mut used, seed)).collect();
    for (seed, hash) in (0..).zip(hashes) {
        assert_eq!(trace(&mut Runner::new(&worlds, Depth::Core, None), seed), hash, "seed {seed}");
    }
}

#[test]
fn two_processes_with_different_numbers_of_threads_see_the_same_histories() {
    for depth in ["core", "drivers"] {
        assert_eq!(fingerprint(depth, "1"), fingerprint(depth, "3"), "depth {depth}");
    }
}

/// What a campaign of the program prints as the hash of all its histories.
fn fingerprint(depth: &str, threads: &str) -> String {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_tidings-sim"));
    let output = sim.args(["--seeds", "300", "--depth", depth, "--threads", threads]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| line.starts_with("fingerprint"));
    line.unwrap_or_else(|| panic!("no fingerprint in {text}")).to_owned()
}

#[test]
fn the_program_ends_as_its_campaign_did() {
    let code = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tidings-sim")).args(arguments).output().unwrap();
        output.status.code()
    };
    assert_eq!(code(&["--seeds", "10"]), Some(0));
    assert_eq!(code(&["replay", "0"]), Some(0));
    assert_eq!(code(&["replay", "0x"]), Some(2));
    assert_eq!(code(&["--seeds", "none"]), Some(2));
}
