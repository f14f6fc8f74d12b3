//! What the lines of `cargo test` say.

use super::{Status, Tally, Test};

/// A run, read line by line.
#[derive(Debug, Default)]
pub(super) struct Run {
    program: String,
    binary: String,
    tally: Tally,
    tests: Vec<Test>,
}

impl Run {
    /// Takes in one line, and returns what to show for it: tests that pass are not news, but how many of them are.
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        if let Some((program, binary)) = program(line) {
            (self.program, self.binary) = (program, binary);
            return None;
        }
        if let Some(tally) = result(line) {
            self.tally.passed += tally.passed;
            self.tally.failed += tally.failed;
            return (tally != Tally::default()).then(|| format!("{:<40} {tally}", self.program));
        }
        if let Some((name, status)) = test(line) {
            let (krate, binary) = (self.program.clone(), self.binary.clone());
            self.tests.push(Test { krate, name: name.to_owned(), status, binary });
            return (status == Status::Failed).then(|| line.to_owned());
        }
        let noise = ["running ", "all doctests ran"].iter().any(|start| line.starts_with(start));
        (!noise && !line.trim().is_empty()).then(|| line.to_owned())
    }

    /// The counts and tests. If cargo failed although no test did, something else did (a build, a program that died).
    pub(super) fn finish(mut self, success: bool) -> (Tally, Vec<Test>) {
        if !success && self.tally.failed == 0 {
            self.tally.failed = 1;
        }
        (self.tally, self.tests)
    }
}

/// What to call the program that runs next, and its file, which doc tests have not:
/// `     Running tests/it/main.rs (target/debug/deps/it-0123abcd)`, `   Doc-tests tidings_core`.
fn program(line: &str) -> Option<(String, String)> {
    let line = line.trim_start();
    if let Some(krate) = line.strip_prefix("Doc-tests ") {
        return Some((format!("{krate} (doc)"), String::new()));
    }
    let (source, binary) = line.strip_prefix("Running ")?.split_once(" (")?;
    let binary = binary.strip_suffix(')')?;
    let file = binary.rsplit(['/', '\\']).next()?;
    let name = file.rsplit_once('-').map_or(file, |(name, _hash)| name);
    let source = source.strip_prefix("unittests ").unwrap_or(source);
    Some((format!("{name} ({source})"), file.to_owned()))
}

/// `test result: ok. 8 passed; 0 failed; 1 ignored; ...`.
fn result(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?;
    let count = |word: &str| {
        let before = counts.split(';').find_map(|part| part.trim().strip_suffix(word))?;
        before.trim().rsplit(' ').next()?.parse().ok()
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")? })
}

/// `test path::name ... ok`, `... FAILED`, `... ignored, reason`; `- should panic` belongs to the line, not the name.
fn test(line: &str) -> Option<(&str, Status)> {
    let (name, ending) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let status = match ending.trim_end() {
        "ok" => Status::Passed,
        "FAILED" => Status::Failed,
        ending if ending.starts_with("ignored") => Status::Ignored,
        _ => return None,
    };
    Some((name.strip_suffix(" - should panic").unwrap_or(name), status))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
   Compiling tidings-core v0.1.0
    Finished `test` profile [unoptimized + debuginfo] target(s) in 1.15s
     Running unittests src/lib.rs (target/debug/deps/tidings_core-bc7692752001b6e3)

running 3 tests
test fence::s51_late_fill_cannot_land ... ok
test fence::overflow - should panic ... ok
test fence::slow ... ignored, needs a server

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/it/main.rs (target/debug/deps/it-0123456789abcdef)

running 1 test
test outbox::s25_rollback_leaves_no_event ... FAILED

failures:
thread 'x' panicked at crates/x.rs:1:1:
test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

   Doc-tests tidings_core

running 1 test
test crates/tidings-core/src/lib.rs - version (line 16) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn read(output: &str) -> Run {
        let mut run = Run::default();
        for line in output.lines() {
            run.line(line);
        }
        run
    }

    #[test]
    fn counts_come_from_the_result_lines_and_names_from_the_tests() {
        let (tally, tests) = read(OUTPUT).finish(false);
        assert_eq!(tally, Tally { passed: 3, failed: 1 });
        assert_eq!(tests[3].binary, "it-0123456789abcdef");
        let seen: Vec<_> = tests.iter().map(|t| (t.krate.as_str(), t.name.as_str(), t.status)).collect();
        assert_eq!(
            seen,
            [
                ("tidings_core (src/lib.rs)", "fence::s51_late_fill_cannot_land", Status::Passed),
                ("tidings_core (src/lib.rs)", "fence::overflow", Status::Passed),
                ("tidings_core (src/lib.rs)", "fence::slow", Status::Ignored),
                ("it (tests/it/main.rs)", "outbox::s25_rollback_leaves_no_event", Status::Failed),
                ("tidings_core (doc)", "crates/tidings-core/src/lib.rs - version (line 16)", Status::Passed),
            ]
        );
    }

    #[test]
    fn failures_and_panics_are_shown_and_passes_are_not() {
        let mut run = Run::default();
        let shown: Vec<_> = OUTPUT.lines().filter_map(|line| run.line(line)).collect();
        for expected in [
            "test outbox::s25_rollback_leaves_no_event ... FAILED",
            "thread 'x' panicked at crates/x.rs:1:1:",
            "it (tests/it/main.rs)                    0 passed, 1 failed",
        ] {
            assert!(shown.iter().any(|line| line == expected), "{shown:#?}");
        }
        assert!(!shown.iter().any(|line| line.ends_with("... ok")), "{shown:#?}");
    }

    #[test]
    fn a_run_that_says_nothing_is_no_success() {
        for (output, success, expected) in [
            ("", true, Tally { passed: 0, failed: 0 }),
            ("error: could not compile `x`", false, Tally { passed: 0, failed: 1 }),
            (
                "test a ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored",
                false,
                Tally { passed: 1, failed: 1 },
            ),
        ] {
            let tally = read(output).finish(success).0;
            assert_eq!(tally, expected, "{output}");
            assert!(!tally.is_good(), "{output}");
        }
        assert!(Tally { passed: 1, failed: 0 }.is_good());
    }
}
