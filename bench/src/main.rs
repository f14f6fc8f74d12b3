//! `cargo xtask bench [NAME] [--json FILE]`: every part beside its bare limit, in one run.
//!
//! Machines are shared and noisy, so nothing here is an absolute promise: each row runs ours and the limit in turns,
//! several rounds, and prints the median with the smallest and the greatest. What uses no disk is measured in CPU time
//! of its own threads, which a busy neighbour hardly changes.

mod codec;
mod e2e;
mod l1;
mod measure;
mod report;
mod sim;
mod size;
mod sqlite;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use report::Report;

#[derive(Parser)]
#[command(about = "Measures Tidings beside the bare limits.")]
struct Arguments {
    /// Which bench; all of them if none is named.
    name: Option<Bench>,
    /// Also writes the rows to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Fills a cache and prints how much memory one entry takes; the memory bench runs this in a fresh process.
    #[arg(long, hide = true)]
    memory_of: Option<l1::memory::Filled>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// The cache in process: hit, insert, invalidate, memory.
    L1,
    /// Events to bytes and back.
    Codec,
    /// Outbox, log and the way from one through the other.
    Sqlite,
    /// From a commit to the invalidation, embedded.
    E2e,
    /// The binary's size and its memory at rest.
    Size,
    /// The simulator and the history checker.
    Sim,
}

type Run = fn(&mut Report) -> Result<()>;

const BENCHES: [(Bench, &str, Run); 6] = [
    (Bench::L1, "l1", l1::run),
    (Bench::Codec, "codec", codec::run),
    (Bench::Sqlite, "sqlite", sqlite::run),
    (Bench::E2e, "e2e", e2e::run),
    (Bench::Size, "size", size::run),
    (Bench::Sim, "sim", sim::run),
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(filled) = arguments.memory_of {
        println!("{}", l1::memory::bytes_per_entry(filled)?);
        return Ok(());
    }
    let mut report = Report::new();
    for (bench, name, run) in BENCHES {
        if arguments.name.is_none_or(|wanted| wanted == bench) {
            run(&mut report).with_context(|| format!("the bench {name} could not run"))?;
        }
    }
    report.summary();
    match arguments.json {
        Some(path) => report.write(&path),
        None => Ok(()),
    }
}
