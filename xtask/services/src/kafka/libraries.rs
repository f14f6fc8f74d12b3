//! Kafka's own libraries, fetched once by Maven into the user's cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::found;

/// The version that is tested against.
const VERSION: &str = "4.4.0";

/// The broker with everything that it needs, and a logger that writes to the error stream.
const POM: &str = include_str!("pom.xml");

/// Where the libraries are, after fetching them if this is the first time.
pub(super) fn directory() -> Result<PathBuf> {
    let cache = cache()?;
    let directory = cache.join(format!("kafka-{VERSION}"));
    let libraries = directory.join("libs");
    if libraries.is_dir() {
        return Ok(libraries);
    }
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    // Beside its place first, and moved there whole: a half-fetched directory is never used.
    let staging = tempfile::Builder::new().prefix("kafka-").tempdir_in(&cache)?;
    fetch(staging.path())?;
    match std::fs::rename(staging.path(), &directory) {
        Ok(()) => drop(staging.keep()),
        // Somebody else was faster, and theirs is as good.
        Err(_) if libraries.is_dir() => {}
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", directory.display())),
    }
    Ok(libraries)
}

fn fetch(directory: &Path) -> Result<()> {
    let maven = found::or_install("Maven", "maven", || found::on_path("mvn"))?;
    eprintln!("fetching Apache Kafka {VERSION} by Maven, once");
    std::fs::write(directory.join("pom.xml"), POM.replace("{version}", VERSION))?;
    let mut command = Command::new(maven);
    command.args(["-B", "-ntp", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
    command.arg("-DoutputDirectory=libs").current_dir(directory).stdin(Stdio::null());
    let output = command.output().context("cannot start mvn")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        let errors: Vec<_> = said.lines().filter(|line| line.starts_with("[ERROR]")).take(5).collect();
        bail!("Maven cannot fetch Apache Kafka {VERSION}:\n    {}", errors.join("\n    "));
    }
    Ok(())
}

fn cache() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("tidings"))
}
