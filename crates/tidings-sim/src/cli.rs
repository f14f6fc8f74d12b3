//! The command line: `cargo xtask sim [mutants | replay]`.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use crate::campaign::{self, News, Plan};
use crate::hunt;
use crate::mutant::Mutant;
use crate::progress::Progress;
use crate::report;
use crate::runner::replay;
use crate::shrink::Effort;
use crate::token::{Start, Token, named};
use crate::world::Depth;
use crate::worlds::Worlds;

/// What can be asked for.
#[derive(Debug, Parser)]
#[command(
    name = "sim",
    bin_name = "cargo xtask sim",
    about = "Runs whole simulated deployments, one per seed, and judges each of them",
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    campaign: Campaign,
}

impl Arguments {
    /// Whether one history is to be told with everything that its code prints.
    #[must_use]
    pub const fn tells(&self) -> bool {
        matches!(self.task, Some(Task::Replay { .. }))
    }
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Leaves out one guard after the other, and says how many seeds it took to notice
    Mutants {
        /// Only at this depth
        #[arg(long)]
        depth: Option<Depth>,
        /// Only this one
        #[arg(long, value_parser = named)]
        mutant: Option<Mutant>,
        /// How many seeds a batch may take before the mutant has survived it [default: 2000000]
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: Option<u64>,
        /// How many batches of seeds, each from another start
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        batches: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Runs one history again, and tells what happens in it
    Replay {
        /// What a violation was printed with; or a seed
        token: String,
        /// The depth of the seed
        #[arg(long)]
        depth: Option<Depth>,
        /// The guard that is left out for the seed
        #[arg(long, value_parser = named)]
        mutant: Option<Mutant>,
    },
}

#[derive(Debug, Args)]
struct Campaign {
    /// How many seeds [default: 200000 at core depth, 5000 at drivers depth; with --minutes as many as there is time for]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// For how long, at most
    #[arg(long, value_parser = minutes)]
    minutes: Option<Duration>,
    /// How much of the shipped code: core (the pure rules and machines) or drivers (all of it)
    #[arg(long, default_value = "core")]
    depth: Depth,
    /// The first seed, or `random`
    #[arg(long, default_value = "0", value_parser = first_seed)]
    from: u64,
    /// Leave out this guard
    #[arg(long, value_parser = named)]
    mutant: Option<Mutant>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// On how many threads [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Write everything that is printed to this file as well, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Common {
    fn threads(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }

    /// Made before anything is run, so that a long campaign does not end in an error.
    fn json(&self) -> Result<Option<(File, &Path)>> {
        let Some(path) = &self.json else { return Ok(None) };
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Some((file, path)))
    }
}

/// Does what is asked for; whether all is well. Everything but progress is written to `out`; `stop` ends it early.
///
/// # Errors
/// If it cannot be done as asked.
pub fn run(arguments: Arguments, worlds: Worlds<'_>, stop: &AtomicBool, out: &mut dyn Write) -> Result<bool> {
    match arguments.task {
        None => run_campaign(arguments.campaign, worlds, stop, out),
        Some(Task::Mutants { depth, mutant, seeds, batches, common }) => {
            let plan = hunt::Plan { depth, mutant, batches, seeds, threads: common.threads() };
            run_hunt(&plan, &common, worlds, stop, out)
        }
        Some(Task::Replay { token, depth, mutant }) => run_replay(&token, depth, mutant, worlds, out),
    }
}

fn run_campaign(asked: Campaign, worlds: Worlds<'_>, stop: &AtomicBool, out: &mut dyn Write) -> Result<bool> {
    let Campaign { depth, mutant, from, .. } = asked;
    exists(mutant, depth)?;
    let usual = match depth {
        Depth::Core => 200_000,
        Depth::Drivers => 5_000,
    };
    let seeds = asked.seeds.or_else(|| asked.minutes.is_none().then_some(usual));
    let (time, threads, effort) = (asked.minutes, asked.common.threads(), Effort::default());
    let plan = Plan { depth, mutant, from, seeds, time, threads, effort };
    let json = asked.common.json()?;
    writeln!(out, "depth {depth}, from seed {from}, on {threads} threads")?;
    let mut progress = Progress::new();
    let mut unwritten = None;
    let totals = campaign::run(&plan, worlds, stop, &mut |news| match news {
        News::Progress { done, violations, .. } => progress.campaign(done, violations, (seeds, time)),
        News::Found(finding) => {
            progress.clear();
            let written = writeln!(out, "{}", report::finding(finding)).and_then(|()| out.flush());
            unwritten = unwritten.take().or(written.err());
        }
        News::Stuck(seed) => {
            progress.clear();
            end_stuck(depth, mutant, seed)
        }
    });
    drop(progress);
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    write!(out, "{}", report::totals(&plan, &totals))?;
    write_json(json, &report::totals_json(&plan, &totals))?;
    Ok(totals.problems().is_empty())
}

/// A thread cannot be stopped, and everybody would wait for it.
fn end_stuck(depth: Depth, mutant: Option<Mutant>, seed: u64) -> ! {
    let token = Token { depth, mutant, start: Start::Seed(seed) };
    eprintln!("error: a history does not come to its end: {}", report::command(&token));
    std::process::exit(1)
}

fn run_hunt(
    plan: &hunt::Plan,
    common: &Common,
    worlds: Worlds<'_>,
    stop: &AtomicBool,
    out: &mut dyn Write,
) -> Result<bool> {
    if let (Some(mutant), Some(depth)) = (plan.mutant, plan.depth) {
        exists(Some(mutant), depth)?;
    }
    let json = common.json()?;
    let mut progress = Progress::new();
    let (mut unwritten, mut headed) = (None, false);
    let hunted = hunt::run(plan, worlds, stop, &mut |news| match news {
        hunt::News::Progress { done, all } => progress.hunt(done, all),
        hunt::News::Hunted(hunted) => {
            progress.clear();
            let head =
                if std::mem::replace(&mut headed, true) { String::new() } else { report::hunt_head() + "\n" };
            let written = writeln!(out, "{head}{}", report::hunted(hunted)).and_then(|()| out.flush());
            unwritten = unwritten.take().or(written.err());
        }
        hunt::News::Stuck { mutant, depth, seed } => {
            progress.clear();
            end_stuck(depth, Some(mutant), seed)
        }
    });
    drop(progress);
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    if hunted.is_empty() {
        bail!("no mutant was hunted, and so nothing is shown");
    }
    writeln!(out, "{}", report::hunt_end(&hunted))?;
    if stop.load(Ordering::Relaxed) {
        writeln!(out, "interrupted by hand; mutants that were not hunted to the end are not shown")?;
    }
    write_json(json, &report::hunted_json(&hunted))?;
    Ok(!hunted.iter().any(hunt::Hunted::survived))
}

fn run_replay(
    text: &str,
    depth: Option<Depth>,
    mutant: Option<Mutant>,
    worlds: Worlds<'_>,
    out: &mut dyn Write,
) -> Result<bool> {
    let token = match text.parse() {
        Ok(seed) => Token { depth: depth.unwrap_or(Depth::Core), mutant, start: Start::Seed(seed) },
        Err(_) if depth.is_some() || mutant.is_some() => {
            bail!("a token says its depth and its mutant itself; --depth and --mutant go with a seed")
        }
        Err(_) => text.parse::<Token>().map_err(anyhow::Error::msg)?,
    };
    exists(token.mutant, token.depth)?;
    let told = replay(worlds, &token);
    write!(out, "{}", report::told(&token, &told))?;
    Ok(told.broken.is_none())
}

fn exists(mutant: Option<Mutant>, depth: Depth) -> Result<()> {
    match mutant {
        Some(mutant) if !mutant.depths().contains(&depth) => {
            bail!("the mutant {} does not exist at depth {depth}", mutant.name())
        }
        _ => Ok(()),
    }
}

fn write_json(json: Option<(File, &Path)>, value: &Value) -> Result<()> {
    let Some((mut file, path)) = json else { return Ok(()) };
    writeln!(file, "{value:#}").with_context(|| format!("cannot write {}", path.display()))
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "minutes are a number".to_owned())?;
    let time = Duration::try_from_secs_f64(minutes * 60.0).ok().filter(|time| !time.is_zero());
    // Longer ones would run over the end of the clock.
    time.filter(|time| *time < Duration::from_secs(366 * 86_400))
        .ok_or_else(|| "minutes are more than 0, and less than a year".to_owned())
}

fn first_seed(text: &str) -> Result<u64, String> {
    match text {
        // The standard library's hasher is the one source of chance that every platform has. Short enough to be copied.
        "random" => Ok(RandomState::new().build_hasher().finish() >> 24),
        seed => seed.parse().map_err(|_| "a seed is a whole number, or `random`".to_owned()),
    }
}
