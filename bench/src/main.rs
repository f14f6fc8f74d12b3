//! `cargo xtask bench [NAME] [--quick] [--json FILE]`: every part beside its bare limit, in one run.
//!
//! Machines are shared and noisy, so nothing here is an absolute promise: each row runs ours and the limit in turns,
//! several rounds, and prints the median with the smallest and the greatest. What uses no disk is measured in CPU time
//! of its own threads, which a busy neighbour hardly changes. Servers are started for it, and stopped at the end.

mod codec;
mod e2e;
mod l1;
mod l2;
mod log;
mod measure;
mod postgres;
mod relay;
mod report;
mod sim;
mod sink;
mod size;
mod sqlite;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use measure::Scale;
use report::Report;

#[derive(Parser)]
#[command(about = "Measures Tidings beside the bare limits.")]
struct Arguments {
    /// Which bench; all of them if none is named.
    name: Option<Bench>,
    /// Also writes the rows to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Small backlogs and few rounds on the servers: shows that everything runs, and roughly what it costs.
    #[arg(long)]
    quick: bool,
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
    /// From a commit to the invalidation, embedded and distributed.
    E2e,
    /// The binary's size and its memory at rest.
    Size,
    /// The simulator and the history checker.
    Sim,
    /// From PostgreSQL's outbox to the log: throughput, delay, memory.
    Relay,
    /// The log over Kafka.
    Log,
    /// The shared cache in Redis.
    L2,
}

type Run = fn(&mut Report, Scale) -> Result<()>;

const BENCHES: [(Bench, &str, Run); 9] = [
    (Bench::L1, "l1", |report, _| l1::run(report)),
    (Bench::Codec, "codec", |report, _| codec::run(report)),
    (Bench::Sqlite, "sqlite", |report, _| sqlite::run(report)),
    (Bench::E2e, "e2e", e2e::run),
    (Bench::Size, "size", |report, _| size::run(report)),
    (Bench::Sim, "sim", |report, _| sim::run(report)),
    (Bench::Relay, "relay", relay::run),
    (Bench::Log, "log", log::run),
    (Bench::L2, "l2", l2::run),
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(filled) = arguments.memory_of {
        println!("{}", l1::memory::bytes_per_entry(filled)?);
        return Ok(());
    }
    let scale = Scale::new(arguments.quick);
    let mut report = Report::new(scale.name());
    for (bench, name, run) in BENCHES {
        if arguments.name.is_none_or(|wanted| wanted == bench) {
            run(&mut report, scale).with_context(|| format!("the bench {name} could not run"))?;
        }
    }
    report.summary();
    match arguments.json {
        Some(path) => report.write(&path),
        None => Ok(()),
    }
}
