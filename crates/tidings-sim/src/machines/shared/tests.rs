use super::*;

/// Runs so many histories from this seed on; those that broke a promise, and what happened in all.
fn run(mutant: Option<Mutant>, first: u64, seeds: u64) -> (Vec<(u64, Broken)>, Tally) {
    let (mut world, mut choices) = (Shared::new(), Choices::seeded(0));
    let (mut trace, mut tally, mut found) = (Trace::hashed(), Tally::default(), Vec::new());
    for seed in first..first + seeds {
        choices.reseed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        trace.clear();
        if let Some(broken) = world.run(&mut choices, mutant, &mut trace, &mut tally) {
            found.push((seed, broken));
        }
    }
    (found, tally)
}

#[test]
fn nothing_that_was_heard_is_undone_whatever_the_store_loses() {
    let (found, tally) = run(None, 0, 3_000);
    assert_eq!(found.first(), None);
    let world = Shared::new();
    let (faults, sometimes) = world.can();
    for fault in faults {
        assert!(tally.faults(*fault) > 0, "{} never struck", fault.name());
    }
    for what in sometimes {
        assert!(tally.sometimes(*what) > 0, "{} never happened", what.name());
    }
}

#[test]
fn the_same_choices_give_the_same_history() {
    let (mut one, mut other) = (Shared::new(), Shared::new());
    let mut tally = Tally::default();
    for seed in 0..200 {
        let (mut first, mut again) = (Trace::told(), Trace::told());
        let mut choices = Choices::seeded(seed);
        one.run(&mut choices, None, &mut first, &mut tally);
        // In a world that has run other histories before, or fewer.
        other.run(&mut Choices::seeded(seed + 1), None, &mut Trace::hashed(), &mut tally);
        other.run(&mut Choices::scripted(choices.made().to_vec()), None, &mut again, &mut tally);
        assert_eq!((first.hash(), first.timeline()), (again.hash(), again.timeline()), "seed {seed}");
    }
}

#[test]
fn an_empty_script_is_an_empty_history() {
    let (mut trace, mut tally) = (Trace::told(), Tally::default());
    let broken = Shared::new().run(&mut Choices::scripted(Vec::new()), None, &mut trace, &mut tally);
    assert_eq!((broken, tally.operations, trace.timeline().len()), (None, 0, 0));
}

#[test]
fn guards_that_are_left_out_are_missed_soon() {
    // The rarer ones need more seeds than a test has time for: `cargo xtask sim mutants` looks for all of them.
    for mutant in [
        Mutant::SharedLease,
        Mutant::SharedFloor,
        Mutant::SharedMinimum,
        Mutant::SharedHeard,
        Mutant::SharedDrop,
        Mutant::SharedPlaceholder,
        Mutant::SharedUpdate,
        Mutant::SharedTimeline,
        Mutant::PromotionTicket,
        Mutant::PromotionFill,
        Mutant::AsOfSnapshot,
    ] {
        let found = (0..10).any(|chunk| !run(Some(mutant), chunk * 300, 300).0.is_empty());
        assert!(found, "{} is not found", mutant.name());
    }
}
