//! Kafka's own libraries, fetched once by Maven into the user's cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{cache, found};

/// The version that is tested against.
const VERSION: &str = "4.4.0";

/// The broker with everything that it needs, and a logger that writes to the error stream.
const POM: &str = include_str!("pom.xml");

/// Where the libraries are, after fetching them if this is the first time.
pub(super) fn directory() -> Result<PathBuf> {
    cache::directory(&format!("kafka-{VERSION}"), fetch)
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
