//! Tests that returned at once because there was no server: to the test runner they have passed, and to nobody else.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Status, Tally, Test};

/// A test program's file, and a test in it.
pub(super) type Skipped = BTreeSet<(String, String)>;

/// What tests wrote: a line for each, with a tab between its program and its name.
pub(super) fn read(path: &Path) -> Result<Skipped> {
    if !path.exists() {
        return Ok(Skipped::new());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    Ok(pairs.map(|(program, name)| (program.to_owned(), name.to_owned())).collect())
}

/// Counts skipped tests as not run, and says which they are.
pub(super) fn mark((mut tally, mut tests): (Tally, Vec<Test>), skipped: &Skipped) -> (Tally, Vec<Test>) {
    if skipped.is_empty() {
        return (tally, tests);
    }
    println!("skipped, because they need a server:");
    for test in &mut tests {
        let is_skipped = skipped.contains(&(test.binary.clone(), test.name.clone()));
        if is_skipped && test.status == Status::Passed {
            test.status = Status::Ignored;
            tally.passed = tally.passed.saturating_sub(1);
            println!("    {}: {}", test.krate, test.name);
        }
    }
    (tally, tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_has_not_passed() {
        let test = |binary: &str, name: &str, status| Test {
            krate: "it".to_owned(),
            name: name.to_owned(),
            status,
            binary: binary.to_owned(),
        };
        let tests = vec![
            test("it-01", "a::one", Status::Passed),
            test("it-01", "a::two", Status::Passed),
            test("it-02", "a::one", Status::Passed),
            test("it-01", "a::three", Status::Failed),
        ];
        let names = [("it-01", "a::one"), ("it-01", "a::three"), ("it-03", "a::two")];
        let skipped = names.map(|(binary, name)| (binary.to_owned(), name.to_owned())).into();
        let (tally, tests) = mark((Tally { passed: 3, failed: 1 }, tests), &skipped);
        assert_eq!(tally, Tally { passed: 2, failed: 1 });
        let seen: Vec<_> = tests.iter().map(|test| test.status).collect();
        assert_eq!(seen, [Status::Ignored, Status::Passed, Status::Passed, Status::Failed]);
    }
}
