//! Everything that must hold before a change lands, in one command.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::command::{self, Workspace};
use crate::suite::{self, Tally};
use crate::{sim, smoke, tidy};

/// Runs every step, also after one has failed, and prints the tally of tests alone on the last line.
///
/// A failed step counts as one failure. No tests at all is a failure too.
pub(crate) fn run(workspace: &Workspace, embedded: bool) -> Result<ExitCode> {
    let mut tally = Tally::default();
    let mut failed_steps = Vec::new();
    let mut step = |name: &'static str, result: &mut dyn FnMut() -> Result<()>| {
        println!("==> {name}");
        let started = Instant::now();
        let outcome = result();
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("    {name}: ok, {seconds:.1} s"),
            Err(error) => {
                println!("    {name}: FAILED, {seconds:.1} s: {error:#}");
                failed_steps.push(name);
            }
        }
    };
    step("format", &mut || format(workspace, true));
    step("lint", &mut || lint(workspace));
    step("tidy", &mut || tidy::run(workspace));
    step("test", &mut || {
        tally = suite::run(workspace, embedded)?;
        tally.require("test")
    });
    step("doc links", &mut || doc_links(workspace));
    step("smoke", &mut || smoke::run(workspace));
    step("sim", &mut || sim::smoke(workspace));
    println!();
    if !failed_steps.is_empty() {
        println!("failed: {}", failed_steps.join(", "));
    }
    let total = total(tally, &failed_steps);
    println!("{total}");
    Ok(if total.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The tests, and one failure for each step that failed; the test step's own failures are counted by the tests.
fn total(tests: Tally, failed_steps: &[&str]) -> Tally {
    let other = failed_steps.iter().filter(|step| **step != "test" || tests.failed == 0).count();
    Tally { passed: tests.passed, failed: tests.failed + other as u64 }
}

/// Formats the code, or only checks that it is.
pub(crate) fn format(workspace: &Workspace, check: bool) -> Result<()> {
    let mut command = workspace.cargo(&["fmt", "--all"]);
    if check {
        command.arg("--check");
    }
    command::succeed(command)
}

/// Clippy on every target, with warnings as errors.
pub(crate) fn lint(workspace: &Workspace) -> Result<()> {
    command::succeed(workspace.cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

/// Only libraries: the toolkit and the binary are both called `tidings`, and their pages would overwrite each other.
fn doc_links(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo(&["doc", "--workspace", "--lib", "--no-deps", "--locked"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    command::succeed(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_a_failure_and_no_test_is_none_passed() {
        let tests = |passed, failed| Tally { passed, failed };
        for (tally, steps, expected) in [
            (tests(9, 0), vec![], tests(9, 0)),
            (tests(9, 0), vec!["lint", "tidy"], tests(9, 2)),
            (tests(8, 1), vec!["test"], tests(8, 1)),
            (tests(8, 1), vec!["lint", "test"], tests(8, 2)),
            (tests(0, 0), vec!["test"], tests(0, 1)),
        ] {
            assert_eq!(total(tally, &steps), expected, "{steps:?}");
        }
        assert!(!total(tests(0, 0), &[]).is_good());
    }
}
