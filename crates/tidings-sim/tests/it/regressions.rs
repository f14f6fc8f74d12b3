//! What went wrong elsewhere, played out step by step against the shipped rules: each scenario is named, and published
//! where `docs/regressions.md` says.
//!
//! Every one is played twice. With all guards in place nothing is broken, and what the guard does is seen happening.
//! Without its guard the history checker names the promise that breaks; otherwise the scenario would prove nothing.

use tidings_sim::machines::script::Script;
use tidings_sim::mutant::Mutant;
use tidings_sim::tally::Sometimes;
use tidings_testkit::Invariant;
use tidings_testkit::judge::Judge;

mod caches;
mod outbox;
mod oversized;
mod papers;
mod shared;

/// The promises that one play broke. Each scenario is a function from the guard that is left out to this; an error is a
/// mistake in the scenario.
type Broken = Result<Vec<Invariant>, String>;

/// `name: scenario, guard => promise`
macro_rules! regressions {
    ($($name:ident: $scenario:expr, $guard:ident => $invariant:ident;)*) => {$(
        #[test]
        fn $name() {
            $crate::regressions::play(stringify!($name), $scenario, Mutant::$guard, Invariant::$invariant);
        }
    )*};
}
use regressions;

/// What is published of each, and what prevents it here.
const TABLE: &str = include_str!("../../../../docs/regressions.md");

fn play(name: &str, scenario: fn(Option<Mutant>) -> Broken, guard: Mutant, promise: Invariant) {
    let row =
        |line: &str| line.contains(&format!("`{name}`")) && line.contains(&format!("`{}`", guard.name()));
    assert!(TABLE.lines().any(row), "no row of docs/regressions.md has {name} and {}", guard.name());
    assert_eq!(scenario(None), Ok(vec![]), "with every guard in place");
    let broken = scenario(Some(guard)).unwrap();
    assert!(broken.contains(&promise), "without {} it breaks {broken:?}", guard.name());
}

/// With every guard in place, this has happened by now.
fn saw(script: &Script, what: Sometimes) {
    assert!(script.happened(what) || script.without().is_some(), "{what:?} did not happen:\n{script:?}");
}

/// A script is over: everything comes to rest, and is judged.
fn ended(mut script: Script) -> Broken {
    script.comes_to_rest()?;
    let (told, broken) = (format!("{script:?}"), script.broken());
    // Shown if the test fails.
    println!("{told}{broken:?}\n");
    Ok(broken)
}

/// What the judge has found, once it is over.
fn broken(judge: &mut Judge) -> Vec<Invariant> {
    judge.finish();
    judge.found().iter().map(|found| found.invariant).collect()
}
