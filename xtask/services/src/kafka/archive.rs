//! Kafka's classes, loaded and checked beforehand by Java itself: with them a broker starts in half the time.
//!
//! It is only ever a matter of speed. Whatever goes wrong here, the broker starts without.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::{Kafka, java, libraries};

/// One at a time in this process; of two processes, the last one's stays.
static MAKING: Mutex<()> = Mutex::new(());

/// What Java is told to use the archive; nothing if there is none.
pub(super) fn option(archive: &Path) -> Option<String> {
    archive.is_file().then(|| format!("-XX:SharedArchiveFile={}", archive.display()))
}

/// The archive's place: it is good for the very Java that made it, and for no other.
pub(super) fn path() -> Result<PathBuf> {
    let version: String =
        java::version()?.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Ok(libraries::directory()?.with_file_name(format!("classes-{version}.jsa")))
}

/// Makes the archive, unless it is there: a broker that starts and stops leaves it behind.
pub(super) fn make() -> Result<()> {
    let path = path()?;
    let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if path.is_file() {
        return Ok(());
    }
    eprintln!("preparing Kafka's classes, once");
    let staging = tempfile::tempdir_in(path.parent().context("the archive has no directory")?)?;
    let unfinished = staging.path().join("classes.jsa");
    let dump = format!("-XX:ArchiveClassesAtExit={}", unfinished.display());
    Kafka::start_with(&std::env::temp_dir(), &[], &[&dump])?.stop()?;
    Ok(std::fs::rename(&unfinished, &path)?)
}
