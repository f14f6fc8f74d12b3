//! Outbox and log on SQLite, and the way from one through the other into a cache.

pub(crate) mod pricing;

mod commit;
mod drain;
mod log;

use std::path::PathBuf;

use anyhow::{Context, Result};
use tempfile::TempDir;

pub(crate) use log::preallocated;

use crate::report::Report;

pub(crate) fn run(report: &mut Report) -> Result<()> {
    commit::run(report)?;
    log::run(report)?;
    drain::run(report)
}

/// A directory beside this program: on a disk, which a temporary one may not be.
pub(crate) fn directory() -> Result<TempDir> {
    let program = std::env::current_exe()?;
    let beside: PathBuf = program.parent().context("this program is nowhere")?.to_owned();
    tempfile::Builder::new().prefix("bench-").tempdir_in(&beside).context("no directory for data")
}
