//! The Java that runs Kafka.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::libraries;
use crate::found;

/// The oldest that Kafka 4 runs on.
const OLDEST: u32 = 17;

/// One of Kafka's programs, with its class path; arguments can be added.
pub(super) fn command(class: &str, options: &[String]) -> Result<Command> {
    let java = program()?;
    let number = number(&version()?);
    ensure!(
        number.is_some_and(|number| number >= OLDEST),
        "Kafka needs Java {OLDEST} or newer, and {} is another; install a newer one and set JAVA_HOME",
        java.display()
    );
    let mut libraries = libraries::directory()?.into_os_string();
    libraries.push("/*");
    let mut command = Command::new(java);
    command.args(options).args([
        "-XX:+UseSerialGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    ]);
    command.arg("-cp").arg(libraries).arg(class);
    Ok(command)
}

/// What Java calls its version.
pub(super) fn version() -> Result<String> {
    let output = Command::new(program()?).arg("-version").output().context("cannot start java")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    quoted(&said).with_context(|| format!("`java -version` says {said:?}"))
}

fn program() -> Result<PathBuf> {
    found::or_install("Java", "default-jre-headless", || {
        let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
        home.filter(|path| path.is_file()).or_else(|| found::on_path("java"))
    })
}

fn quoted(said: &str) -> Option<String> {
    said.split('"').nth(1).map(str::to_owned)
}

/// The number before the first dot; before 9 that was always 1.
fn number(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (said, expected) in [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime", Some(17)),
            ("openjdk version \"25\" 2025-09-16", Some(25)),
            ("openjdk version \"26-ea\" 2026-03-17", Some(26)),
            ("java version \"1.8.0_402\"", Some(1)),
            ("command not found", None),
        ] {
            assert_eq!(quoted(said).and_then(|version| number(&version)), expected, "{said}");
        }
    }
}
