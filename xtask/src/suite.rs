//! Runs every test and keeps what each of them said.
//!
//! The counts come from the `test result:` lines that each test program ends with. A program that dies before that
//! line, and a run in which no test ran at all, count as failures: silence is not success.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::command::{self, Workspace};
use crate::serve::Running;

mod parse;
mod skip;

/// The file, below the results directory, that holds the last run.
const FILE: &str = "tests.json";

/// The file, beside it, in which tests say that they were skipped.
const SKIPPED: &str = "skipped.txt";

/// How cargo runs every test.
const TEST: &[&str] = &["test", "--workspace", "--locked", "--no-fail-fast"];

/// One test and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Test {
    /// The crate and the test program.
    #[serde(rename = "crate")]
    pub(crate) krate: String,
    /// Its path in the program.
    pub(crate) name: String,
    /// How it ended.
    pub(crate) status: Status,
    /// The file of the test program, which no other has.
    #[serde(skip)]
    binary: String,
}

#[cfg(test)]
impl Test {
    pub(crate) fn of(krate: &str, name: &str, status: Status) -> Self {
        Self { krate: krate.to_owned(), name: name.to_owned(), status, binary: String::new() }
    }
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It was not run.
    Ignored,
}

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Something ran, and nothing failed.
    pub(crate) fn is_good(self) -> bool {
        self.passed > 0 && self.failed == 0
    }

    /// An error unless [`Tally::is_good`].
    pub(crate) fn require(self, what: &str) -> Result<()> {
        if self.passed + self.failed == 0 {
            bail!("{what}: no test ran");
        }
        if !self.is_good() {
            bail!("{what}: {self}");
        }
        println!("{self}");
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs the workspace's tests, on real servers unless `embedded`, and records them for [`last`].
pub(crate) fn run(workspace: &Workspace, embedded: bool) -> Result<Tally> {
    let directory = workspace.results();
    std::fs::create_dir_all(&directory)?;
    let (results, skipped) = (directory.join(FILE), directory.join(SKIPPED));
    // Neither may be left from an earlier run, should this one not come to its end.
    for path in [&results, &skipped] {
        if path.exists() {
            std::fs::remove_file(path)?;
        }
    }
    let mut command = workspace.cargo(TEST);
    let servers = if embedded {
        command.env(services::EMBEDDED, "1").env(services::SKIPPED, &skipped);
        None
    } else {
        Some(servers_while_building(workspace)?)
    };
    command.envs(servers.iter().flat_map(Running::variables));
    let (tally, tests) = skip::mark(run_tests(command)?, &skip::read(&skipped)?);
    drop(servers);
    std::fs::write(results, serde_json::to_string_pretty(&tests)?)?;
    Ok(tally)
}

/// The tests are built while the servers start: one waits for the compiler, the other for itself.
fn servers_while_building(workspace: &Workspace) -> Result<Running> {
    std::thread::scope(|scope| {
        let start = scope.spawn(|| {
            let started = Instant::now();
            let running = Running::start(workspace, &[])
                .context("the tests need servers; `--embedded` runs them without, and says what it skips")?;
            println!("services: ready after {:.1} s", started.elapsed().as_secs_f64());
            Ok(running)
        });
        let started = Instant::now();
        let mut build = workspace.cargo(TEST);
        build.arg("--no-run").arg("--quiet");
        let built = command::succeed(build);
        println!("build: {:.1} s", started.elapsed().as_secs_f64());
        let running = start.join().unwrap_or_else(|_| bail!("the start of the servers panicked"));
        built.context("the tests do not build")?;
        running
    })
}

/// Runs one test command without recording it.
pub(crate) fn run_command(command: Command) -> Result<Tally> {
    Ok(run_tests(command)?.0)
}

/// The tests of the last [`run`].
pub(crate) fn last(workspace: &Workspace) -> Result<Vec<Test>> {
    let path = workspace.results().join(FILE);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}; run `cargo xtask test` first", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged; run `cargo xtask test`", path.display()))
}

/// Cargo names the programs on its error stream and the programs speak on their output; both go through one pipe, so
/// that each line is read in the context of its program.
fn run_tests(mut command: Command) -> Result<(Tally, Vec<Test>)> {
    let (reader, writer) = std::io::pipe()?;
    command.env("CARGO_TERM_COLOR", "never").stdin(Stdio::null());
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cannot start cargo")?;
    // The command holds our copies of the pipe's end; while they live, the reading below never ends.
    drop(command);
    let mut run = parse::Run::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        if let Some(shown) = run.line(&String::from_utf8_lossy(&line)) {
            println!("{shown}");
        }
    }
    let success = child.wait()?.success();
    Ok(run.finish(success))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_are_read_in_the_order_they_were_written() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo '     Running unittests src/lib.rs (target/debug/deps/a-01)' >&2; echo 'test x ... ok'
             echo 'test result: ok. 1 passed; 0 failed; 0 ignored'
             echo '     Running tests/it/main.rs (target/debug/deps/it-02)' >&2; echo 'test y ... FAILED'
             echo 'test result: FAILED. 0 passed; 1 failed; 0 ignored'; exit 101",
        ]);
        let (tally, tests) = run_tests(command).unwrap();
        assert_eq!(tally, Tally { passed: 1, failed: 1 });
        let seen: Vec<_> = tests.iter().map(|test| (test.krate.as_str(), test.name.as_str())).collect();
        assert_eq!(seen, [("a (src/lib.rs)", "x"), ("it (tests/it/main.rs)", "y")]);
    }
}
