//! Programs that the tasks start, always in the workspace's root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Where everything is.
pub(crate) struct Workspace {
    root: PathBuf,
    cargo: String,
}

impl Workspace {
    /// The workspace that cargo runs this program in; else the one that it was built in.
    pub(crate) fn find() -> Result<Self> {
        let built_in = env!("CARGO_MANIFEST_DIR");
        let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| built_in.into());
        let root = Path::new(&here).parent().context("xtask is not inside a workspace")?.to_owned();
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        Ok(Self { root, cargo })
    }

    /// Its root directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where results of tasks are kept between runs.
    pub(crate) fn results(&self) -> PathBuf {
        self.target().join("tidings")
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(path) => self.root.join(path),
            None => self.root.join("target"),
        }
    }

    /// A cargo command in the root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(&self.root).args(arguments);
        command
    }

    /// What cargo knows of this workspace and its dependencies on this platform.
    pub(crate) fn metadata(&self) -> Result<Value> {
        let rustc = output(Command::new("rustc").arg("-vV"))?;
        let host =
            rustc.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
        let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", host];
        serde_json::from_str(&output(&mut self.cargo(&arguments))?).context("cargo metadata is not JSON")
    }
}

/// Runs a command with its output on the terminal; an error if it fails.
pub(crate) fn succeed(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(&command));
    }
    Ok(())
}

/// Runs a command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{} failed: {}", shown(command), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} printed no text", shown(command)))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words
        .map(|word| {
            Path::new(word).file_name().map_or_else(|| word.to_string_lossy(), |f| f.to_string_lossy())
        })
        .collect();
    words.join(" ")
}
