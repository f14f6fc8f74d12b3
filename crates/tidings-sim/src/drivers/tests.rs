use super::*;

/// One history: its verdict, its trace and the choices it made.
fn play(
    world: &mut Drivers,
    mut choices: Choices,
    mutant: Option<Mutant>,
    tally: &mut Tally,
) -> (Option<Broken>, u64, Vec<u32>) {
    let mut trace = Trace::hashed();
    let broken = world.run(&mut choices, mutant, &mut trace, tally);
    (broken, trace.hash(), choices.made().to_vec())
}

#[test]
fn the_same_seed_gives_the_same_history_whatever_came_before() {
    let (mut first, mut second) = (Drivers::new().unwrap(), Drivers::new().unwrap());
    let mut tally = Tally::default();
    let seeds = 0_u32..60;
    let forward: Vec<_> =
        seeds.clone().map(|seed| play(&mut first, Choices::seeded(seed.into()), None, &mut tally)).collect();
    for (seed, history) in seeds.zip(&forward).rev() {
        let again = play(&mut second, Choices::seeded(seed.into()), None, &mut tally);
        assert_eq!(again, *history, "seed {seed}");
        let script = Choices::scripted(history.2.clone());
        assert_eq!(play(&mut second, script, None, &mut tally), *history, "the script of seed {seed}");
    }
    let hashes: std::collections::BTreeSet<_> = forward.iter().map(|(_, hash, _)| hash).collect();
    assert_eq!(hashes.len(), forward.len(), "different seeds, different histories");
}

#[test]
fn choices_that_end_early_make_a_quiet_history() {
    let mut tally = Tally::default();
    let mut world = Drivers::new().unwrap();
    let (broken, _, _) = play(&mut world, Choices::scripted(Vec::new()), None, &mut tally);
    assert_eq!(broken, None);
    assert_eq!((tally.commits, tally.reads), (1, 1), "the least that can happen");
    assert!(Fault::ALL.iter().all(|fault| tally.faults(*fault) == 0), "and nothing goes wrong");
}

#[test]
fn whole_drivers_keep_every_promise_under_every_fault() {
    let mut tally = Tally::default();
    let mut world = Drivers::new().unwrap();
    for seed in 0..500 {
        let (broken, _, _) = play(&mut world, Choices::seeded(seed), None, &mut tally);
        assert_eq!(broken, None, "seed {seed}");
    }
    assert!(tally.reads > 500 && tally.commits > 500);
    let struck = draw::FAULTS.iter().filter(|fault| tally.faults(**fault) > 0).count();
    assert!(struck + 2 >= draw::FAULTS.len(), "only {struck} kinds of faults struck");
}

#[test]
fn a_guard_that_is_left_out_is_missed() {
    let mut world = Drivers::new().unwrap();
    let guards = [
        Mutant::AcceptRule,
        Mutant::TicketBeforeRead,
        Mutant::DriverToken,
        Mutant::DriverDependency,
        Mutant::DriverAckAfterAppend,
        Mutant::DriverCompleteScan,
    ];
    for guard in guards {
        let found = (0..2_000).find(|seed| {
            play(&mut world, Choices::seeded(*seed), Some(guard), &mut Tally::default()).0.is_some()
        });
        assert!(found.is_some(), "{} was not found", guard.name());
    }
}

#[test]
fn a_driver_that_gives_up_is_not_taken_for_success() {
    let stage = {
        let (names, mut choices) = (Names::new().unwrap(), Choices::scripted(Vec::new()));
        let draw = Draw::new(&mut choices);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let book = Book::new(choices, Trace::hashed(), Judge::default(), Truth::default());
        runtime.block_on(async {
            let stage = Stage::new(draw, names, None, Instant::now(), book);
            let panicking = tokio::spawn(async { panic!("on purpose") });
            let error = ended(panicking).await.unwrap_err();
            assert!(error.what().contains("on purpose"), "{error}");
            stage.defect(error.to_string());
            stage
        })
    };
    assert_eq!(stage.with(|book| book.defects.len()), 1);
}
