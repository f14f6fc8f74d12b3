//! `cargo xtask`: every check and measurement of this repository behind one name.
//!
//! [`ci`] is the one entry point; it runs the others in order. Each of them also runs alone.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod checklist;
mod ci;
mod command;
mod faults;
mod serve;
mod sim;
mod smoke;
mod suite;
mod tidy;

use command::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks, tests and measures this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check: format, lints, tidy, tests, doc links, short runs of `tidings dev` and of the simulator
    Ci {
        /// Without the tests that need a server
        #[arg(long)]
        embedded: bool,
    },
    /// Run every test of the workspace, doc tests too, on real servers, and record the results for `checklist`
    Test {
        /// Start no server, and say which tests were skipped for it
        #[arg(long)]
        embedded: bool,
    },
    /// Start PostgreSQL, Kafka and Redis on free ports, print their addresses, and stop them on Ctrl-C
    Services(serve::Options),
    /// Check what no compiler checks: dependency edges, licences, paths in documents, error pages, file lengths
    Tidy,
    /// Format the code, or only say what is not formatted
    Fmt {
        /// Change nothing
        #[arg(long)]
        check: bool,
    },
    /// Run clippy on everything, with warnings as errors
    Lint,
    /// Measure against the bare limits, side by side
    Bench {
        /// Only this one
        name: Option<String>,
        /// Write the rows to this file as well
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Small backlogs and few rounds on the servers
        #[arg(long)]
        quick: bool,
    },
    /// Run simulated deployments by seed, hunt mutants, replay a history; `sim --help` says how
    #[command(disable_help_flag = true)]
    Sim {
        /// What the simulator is asked for
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run the retail platform on real servers, as many processes, and let everything go wrong that can
    Faults(faults::Options),
    /// Say which rows of the specification have a passing check in the last test run
    Checklist {
        /// As a JSON list of {row, checks, status}
        #[arg(long)]
        json: bool,
    },
    /// Feed the decoders random and damaged input
    Fuzz {
        /// For how long, each
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Ci { embedded } => return ci::run(&workspace, embedded),
        Task::Test { embedded } => return test(&workspace, embedded),
        Task::Services(options) => return serve::run(&workspace, options),
        Task::Tidy => tidy::run(&workspace)?,
        Task::Fmt { check } => ci::format(&workspace, check)?,
        Task::Lint => ci::lint(&workspace)?,
        Task::Bench { name, json, quick } => bench(&workspace, name, json, quick)?,
        Task::Sim { arguments } => return sim::run(&workspace, &arguments),
        Task::Faults(options) => return faults::run(&workspace, &options),
        Task::Checklist { json } => checklist::run(&workspace, json)?,
        Task::Fuzz { seconds } => fuzz(&workspace, seconds)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn test(workspace: &Workspace, embedded: bool) -> Result<ExitCode> {
    let tally = suite::run(workspace, embedded)?;
    println!("{tally}");
    Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bench(workspace: &Workspace, name: Option<String>, json: Option<PathBuf>, quick: bool) -> Result<()> {
    // Some look at the program itself, which lies beside the bench. Always both: alone, either would be built with fewer
    // features, and everything again.
    let build = ["build", "--release", "--locked", "-p", "tidings-bench", "-p", "tidings-server"];
    command::succeed(workspace.cargo(&build))?;
    let mut bench = std::process::Command::new(workspace.target().join("release").join("tidings-bench"));
    bench.args(name).args(quick.then_some("--quick"));
    if let Some(json) = json {
        bench.arg("--json").arg(std::path::absolute(json)?);
    }
    command::succeed(bench)
}

/// The envelope's tests against damaged input go on for as long as this variable says; without it they are short.
fn fuzz(workspace: &Workspace, seconds: u64) -> Result<()> {
    let mut command =
        workspace.cargo(&["test", "--release", "--locked", "-p", "tidings-core", "--test", "it", "--"]);
    command.args(["envelope::", "--nocapture"]).env("TIDINGS_FUZZ_SECONDS", seconds.to_string());
    suite::run_command(command)?.require("fuzz")
}
