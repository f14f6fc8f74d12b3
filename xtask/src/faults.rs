//! `cargo xtask faults`: the whole platform as real processes under load, and everything that can go wrong with it.
//!
//! - `fault`: what can go wrong; `plan`: how often and in which order;
//! - `stage`, `proxy`, `disk`: the servers, and what stands between them and the platform;
//! - `platform`, `status`: the platform as processes, and what it says of itself; `levels`: whether what copies share answers;
//! - `owner`: nothing is touched that is not proven to be this campaign's own;
//! - `inject`: how each fault is done; `episode`: one run with its faults;
//! - `table`: what came of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::command::{self, Workspace};

mod disk;
mod episode;
mod fault;
mod inject;
mod levels;
mod owner;
mod plan;
mod platform;
mod proxy;
mod stage;
mod status;
mod stop;
mod table;

use episode::Campaign;
use stop::{Interrupted, Stop};

/// What `cargo xtask faults` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// For how long: each fault as often as there is time for, and what there is no time for is named
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// Each fault once, however long that takes
    #[arg(long, conflicts_with = "minutes")]
    once: bool,
    /// Decides the order of the faults and whom they hit
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these faults or families of them, with commas between
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Changes per second
    #[arg(long, default_value_t = 200)]
    load: u32,
    /// How many products the catalogue has
    #[arg(long, default_value_t = 2_000)]
    products: u32,
    /// Write the table to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the histories and logs of good runs, too
    #[arg(long)]
    keep: bool,
    /// This binary instead of one that is built now
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
}

/// Runs the campaign. It succeeds only if something was injected, and nothing is wrong.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let limit = (!options.once).then(|| Duration::from_secs(options.minutes.saturating_mul(60)));
    let episodes = plan::plan(limit.unwrap_or_default(), options.seed, &options.only)?;
    let program = program(workspace, options)?;
    let json = options.json.as_deref().map(std::path::absolute).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stop = Stop::listen(runtime.handle())?;
    let directory = directory()?;
    let expected = plan::expected(&episodes);
    let count: usize = episodes.iter().map(|episode| episode.faults.len()).sum();
    eprintln!(
        "{count} faults in {} runs, about {} minutes, seed {}, in {}",
        episodes.len(),
        expected.as_secs().div_ceil(60),
        options.seed,
        directory.display()
    );
    let settings = platform::Settings {
        program,
        load: options.load,
        products: options.products,
        seed: options.seed,
        at_most: expected.max(Duration::from_secs(600)).saturating_mul(2),
    };
    let mut campaign = Campaign {
        directory: directory.clone(),
        settings,
        keep: options.keep,
        draw: plan::Draw::new(options.seed),
        stop,
        runtime: runtime.handle().clone(),
        began: Instant::now(),
        expected,
        limit,
        start: plan::START,
        finish: plan::FINISH,
    };
    let mut outcomes = Vec::new();
    let mut ending = Ok(());
    for (number, episode) in episodes.iter().enumerate() {
        match campaign.run(number, episode) {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => {
                ending = Err(error);
                break;
            }
        }
    }
    drop(campaign);
    // Only if nothing was kept in it.
    let _ = std::fs::remove_dir(&directory);
    println!("{}", table::text(&outcomes));
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&table::json(&outcomes, options.seed))?;
        std::fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    match ending {
        Err(error) if error.is::<Interrupted>() => {
            println!("ended early; what is above is all that was run and judged");
            return Ok(ExitCode::FAILURE);
        }
        ending => ending?,
    }
    let is_good = table::is_good(&outcomes);
    println!("{}", table::summary(&outcomes));
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn program(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    if let Some(program) = &options.bin {
        let program = std::path::absolute(program)?;
        ensure!(program.is_file(), "there is no {}", program.display());
        return Ok(program);
    }
    command::succeed(workspace.cargo(&["build", "--release", "--locked", "-p", "tidings-server"]))?;
    Ok(workspace.target().join("release").join("tidings"))
}

/// Servers that run as another user have to find their way into it.
fn directory() -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::Builder::new().prefix("tidings-faults-").tempdir()?.keep();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}
