//! The command line, with the toy behind it.

use std::sync::atomic::AtomicBool;

use clap::Parser;
use serde_json::Value;
use tidings_sim::cli::{Arguments, run};

use crate::toy::{Defect, toys};

/// Whether all was well, and what was printed; or the error.
fn sim(defect: Defect, line: &str) -> Result<(bool, String), String> {
    sim_until(defect, line, &AtomicBool::new(false))
}

fn sim_until(defect: Defect, line: &str, stop: &AtomicBool) -> Result<(bool, String), String> {
    let words = std::iter::once("sim").chain(line.split_whitespace());
    let arguments = Arguments::try_parse_from(words).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    let good = run(arguments, &toys(defect), stop, &mut out).map_err(|error| format!("{error:#}"))?;
    Ok((good, String::from_utf8(out).unwrap()))
}

fn row<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find(|line| line.split_whitespace().next() == Some(name));
    found.unwrap_or_else(|| panic!("no row {name} in\n{text}"))
}

#[test]
fn a_good_campaign_says_how_much_it_ran_and_what_that_means() {
    let (good, text) = sim(Defect::None, "--seeds 2000 --threads 2 --from 10").unwrap();
    assert!(good, "{text}");
    for (name, says) in [
        ("seeds", "2,000 (10 to 2009), depth core"),
        ("histories", "2,000, "),
        ("faults", "reorder "),
        ("sometimes", "hit "),
        ("repeated", "2 seeds run twice, 2 with the same trace"),
        ("violations", "0 in 2,000 seeds"),
        ("bound", "less than 1.5e-3 break a promise (3/N, 95 % confidence);"),
    ] {
        assert!(row(&text, name).contains(says), "{name}: {text}");
    }
    assert!(!text.contains("FAILED") && !text.contains("interrupted"), "{text}");
}

#[test]
fn a_violation_is_made_small_and_its_token_replays_it() {
    let (good, text) = sim(Defect::None, "--seeds 500 --mutant floor-max --threads 2").unwrap();
    assert!(!good);
    assert!(text.contains("violation: I1: a read shows 1 after 2"), "{text}");
    // The shortest history of this kind has six steps: two commits, two messages, two reads.
    assert!(row(&text, "seed").ends_with("6 operations"), "{text}");
    let token = row(&text, "replay:").rsplit(' ').next().unwrap();
    let (good, replayed) = sim(Defect::None, &format!("replay {token}")).unwrap();
    assert!(!good);
    assert_eq!(replayed.lines().filter(|line| line.contains("commit")).count(), 2, "{replayed}");
    assert!(
        replayed.contains("without floor-max: ")
            && replayed.contains("violation: I1: a read shows 1 after 2")
    );
    assert!(row(&text, "violations").contains("in 500 seeds"), "{text}");
    assert!(row(&text, "FAILED").contains("broke a promise"), "{text}");
}

#[test]
fn a_seed_can_be_replayed_too() {
    let (good, text) = sim(Defect::None, "replay 3 --depth drivers").unwrap();
    assert!(good && text.contains("depth drivers: ") && text.contains("every promise was kept"), "{text}");
    assert_eq!(sim(Defect::None, "replay 3 --depth drivers").unwrap().1, text);
}

#[test]
fn what_never_happened_is_listed_and_fails_a_long_campaign() {
    let (good, text) = sim(Defect::Boasts, "--seeds 1000").unwrap();
    assert!(good && row(&text, "never").contains("kill, gap"), "{text}");
    let (good, text) = sim(Defect::Boasts, "--seeds 5000 --depth drivers").unwrap();
    assert!(!good && row(&text, "FAILED").contains("never happened"), "{text}");
    assert!(sim(Defect::None, "--seeds 5000 --depth drivers").unwrap().0);
}

#[test]
fn a_world_in_which_nothing_happens_fails() {
    let (good, text) = sim(Defect::Idles, "--seeds 1000").unwrap();
    assert!(!good && row(&text, "FAILED").contains("nobody read anything"), "{text}");
}

#[test]
fn a_world_that_is_not_deterministic_fails() {
    let (good, text) = sim(Defect::Leaks, "--seeds 3000 --threads 1").unwrap();
    assert!(!good && row(&text, "FAILED").contains("had another history the second time"), "{text}");
}

#[test]
fn a_panic_is_a_violation() {
    let (good, text) = sim(Defect::Panics, "--seeds 500").unwrap();
    assert!(!good && text.contains("violation: no end: panicked: three was delivered"), "{text}");
    assert!(row(&text, "seeds").contains("500 (0 to 499)"), "it goes on after it: {text}");
}

#[test]
fn what_is_made_smaller_goes_on_to_fail_in_the_same_way() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sim.json");
    sim(Defect::FailsAndPanics, &format!("--seeds 2000 --json {}", file.display())).unwrap();
    let json: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let mut findings: Vec<_> = json["findings"].as_array().unwrap().iter().collect();
    findings.sort_by_key(|finding| finding["invariant"].is_null());
    let [fails, panics] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!((&fails["invariant"], &fails["after"]["operations"]), (&"I1".into(), &6.into()));
    assert_eq!((&panics["invariant"], &panics["after"]["operations"]), (&Value::Null, &4.into()));
}

#[test]
fn five_kinds_of_violations_are_shown_and_all_are_counted() {
    let (good, text) = sim(Defect::FailsInManyWays, "--seeds 2000 --threads 2").unwrap();
    assert!(!good);
    assert_eq!(text.lines().filter(|line| line.starts_with("violation: ")).count(), 5, "{text}");
    assert!(row(&text, "violations").contains("2,000 in 2,000 seeds"), "{text}");
}

#[test]
fn the_fingerprint_is_that_of_the_seeds_whoever_ran_them() {
    let fingerprint = |line: &str| {
        let (_, text) = sim(Defect::None, line).unwrap();
        row(&text, "fingerprint").to_owned()
    };
    let one = fingerprint("--seeds 20000 --threads 1");
    assert_eq!(fingerprint("--seeds 20000 --threads 4"), one);
    assert_ne!(fingerprint("--seeds 20000 --from 1"), one);
    assert_ne!(fingerprint("--seeds 20000 --mutant floor-max"), one);
}

#[test]
fn the_json_holds_what_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sim.json");
    let line = format!("--seeds 300 --mutant floor-max --json {}", file.display());
    let (good, text) = sim(Defect::None, &line).unwrap();
    assert!(!good);
    let json: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(
        (&json["seeds"], &json["depth"], &json["mutant"]),
        (&300.into(), &"core".into(), &"floor-max".into())
    );
    let finding = &json["findings"][0];
    assert!(text.contains(finding["token"].as_str().unwrap()), "{text}");
    assert!(text.contains(json["fingerprint"].as_str().unwrap()), "{text}");
    assert_eq!(finding["invariant"], "I1");
    assert!(json["bound"].is_null() && json["faults"]["reorder"].as_u64().unwrap() > 0, "{json}");
    let missing = directory.path().join("no/such.json");
    let error = sim(Defect::None, &format!("--json {}", missing.display())).unwrap_err();
    assert!(error.contains("cannot write"), "{error}");
}

#[test]
fn it_can_be_ended_early_with_what_there_is() {
    let (good, text) = sim_until(Defect::None, "--minutes 0.02", &AtomicBool::new(true)).unwrap();
    assert!(!good && text.contains("interrupted"), "{text}");
    assert!(row(&text, "FAILED").contains("no history was run"), "{text}");
    let error = sim_until(Defect::None, "mutants", &AtomicBool::new(true)).unwrap_err();
    assert!(error.contains("no mutant was hunted"), "{error}");
}

#[test]
fn time_ends_it_where_no_number_of_seeds_is_given() {
    let (good, text) = sim(Defect::None, "--minutes 0.001 --from random").unwrap();
    assert!(good, "{text}");
}

#[test]
fn mutants_are_found_with_their_median_and_one_that_survives_fails() {
    let (good, text) = sim(Defect::None, "mutants --depth core --mutant floor-max --batches 7").unwrap();
    assert!(good, "{text}");
    let line = row(&text, "floor-max");
    assert!(line.contains("7/7") && line.ends_with("I1") && line.contains(" .. "), "{line}");
    let (good, text) = sim(Defect::None, "mutants --mutant ticket-before-read --seeds 300").unwrap();
    assert!(!good && row(&text, "ticket-before-read").contains("SURVIVED 300 seeds"), "{text}");
}

#[test]
fn a_seed_that_fails_anyway_says_nothing_of_a_mutant() {
    let (good, text) = sim(Defect::Fails, "mutants --mutant floor-max --depth core --seeds 300").unwrap();
    assert!(!good && row(&text, "floor-max").contains("seeds fail without it too"), "{text}");
}

#[test]
fn what_cannot_be_meant_is_refused_in_a_sentence() {
    for (line, says) in [
        ("--seeds 0", "0 is not in 1.."),
        ("--minutes 0", "minutes are more than 0"),
        ("--minutes -1", "unexpected argument"),
        ("--minutes inf", "minutes are more than 0"),
        ("--threads 0", "0 is not in 1..=1024"),
        ("--depth deep", "\"deep\" is no depth; core and drivers are"),
        ("--from x", "a seed is a whole number, or `random`"),
        ("--mutant none-such", "\"none-such\" is no mutant; there are "),
        ("--mutant floor-max --depth drivers", "floor-max does not exist at depth drivers"),
        ("mutants --mutant floor-max --depth drivers", "floor-max does not exist at depth drivers"),
        ("--seeds 3 mutants", "cannot be used with"),
        ("replay 1.core.none.s12.xxxx", "is no token of a history, or is damaged; copy all of it"),
        ("replay 1.core.none.s12.xxxx --depth core", "--depth and --mutant go with a seed"),
        ("replay", "required"),
    ] {
        let error = sim(Defect::None, line).unwrap_err();
        assert!(error.contains(says), "{line}: {error}");
    }
}
