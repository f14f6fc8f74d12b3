//! Memory per entry: what a fresh process grows by.

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::live::{Depends, Live};
use super::{ENTRIES, ROOM, Raw, key, value};
use crate::measure::{contender, take_turns};
use crate::report::{Report, Target};

/// What the fresh process fills.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Filled {
    /// The bare engine.
    Raw,
    /// A view whose entries depend on one entity.
    One,
    /// A view whose entries depend on four.
    Four,
}

/// 20 of the key, 100 of the value.
const PAYLOAD: f64 = 120.0;
/// Filled in parts, so that the keys, which the cache clones, do not all exist twice.
const PART: usize = 10_000;

pub(super) fn run(report: &mut Report) -> Result<()> {
    report.section("L1 memory per entry, growth of a fresh process, 1,000,000 entries");
    let figures = take_turns(
        3,
        &mut [
            contender(|| in_fresh_process(Filled::Raw)),
            contender(|| in_fresh_process(Filled::One)),
            contender(|| in_fresh_process(Filled::Four)),
        ],
    )?;
    let [raw, one, four] = figures.as_slice() else { bail!("a contender is missing") };
    let engine = ("quick_cache", raw.as_slice());
    report.versus("l1/memory/1-dependency", "bytes", one, engine, Some(Target::RatioAtMost(1.2)));
    report.versus("l1/memory/4-dependencies", "bytes", four, engine, None);
    let beyond = |bytes: &[f64]| bytes.iter().map(|bytes| bytes - PAYLOAD).collect::<Vec<_>>();
    let (one, raw) = (beyond(one), beyond(raw));
    report.versus("l1/memory/1-dependency/beyond-payload", "bytes", &one, ("quick_cache", &raw), None);
    Ok(())
}

fn in_fresh_process(filled: Filled) -> Result<f64> {
    let name = filled.to_possible_value().context("every kind has a name")?;
    let output = Command::new(std::env::current_exe()?).arg("--memory-of").arg(name.get_name()).output()?;
    if !output.status.success() {
        bail!("the process that fills a cache failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// Fills a cache here and returns by how many bytes per entry this process has grown.
pub(crate) fn bytes_per_entry(filled: Filled) -> Result<f64> {
    let before = resident("self")?;
    let parts = (0..ENTRIES).step_by(PART).map(|first| (first..first + PART).map(key).collect::<Vec<_>>());
    let (entries, after) = match filled {
        Filled::Raw => {
            let raw = Raw::new(ROOM);
            let all = parts.flatten().enumerate();
            all.for_each(|(number, key)| raw.insert(key, Arc::new(value(number))));
            (raw.len(), resident("self")?)
        }
        Filled::One | Filled::Four => {
            let dependencies = if matches!(filled, Filled::One) { 1 } else { 4 };
            let copy = Live::new(ROOM)?;
            for keys in parts {
                copy.fill(&keys, Depends::Own(dependencies))?;
                copy.mark()?;
            }
            (copy.view.entries(), resident("self")?)
        }
    };
    if entries < ENTRIES / 1000 * 999 {
        bail!("only {entries} entries were kept");
    }
    Ok((after - before) / entries as f64)
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(process: &str) -> Result<f64> {
    status(process, "VmRSS:")
}

/// The most of it that there ever was, in bytes.
pub(crate) fn peak(process: &str) -> Result<f64> {
    status(process, "VmHWM:")
}

fn status(process: &str, key: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).context("no such figure")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0)
}
