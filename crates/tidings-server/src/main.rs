//! The binary `tidings`: the whole flow in one process (`dev`), and the operator's commands.
//!
//! - `cli`: one module per command; each returns one [`tidings_core::Error`] or an exit code;
//! - `data_dir`: what a data directory is, who holds it, and why it may be refused;
//! - `published`: the outbox of events that were handed in with `tidings publish`;
//! - `survey`: the state of a data directory, as `status` and the console show it;
//! - `verdict`: what a checker found, in words;
//! - `relay`: the relay as a service of its own;
//! - `dev`: the running platform, its HTTP API and console, and the checker that judges the run.

use std::process::ExitCode;

mod cli;
mod data_dir;
mod dev;
mod out;
mod pages;
mod published;
mod relay;
mod survey;
mod units;
mod verdict;

fn main() -> ExitCode {
    cli::run()
}
