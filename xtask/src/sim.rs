//! The simulator, built for speed.

use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::command::{self, Workspace};

/// What CI runs, in this order: seeds that never change, and seeds that nobody has seen before. Less than two minutes in
/// all, on two cores that nobody else uses.
const SMOKE: &[&[&str]] = &[
    &["--depth", "core", "--seeds", "200000"],
    &["--depth", "drivers", "--seeds", "5000"],
    &["--depth", "core", "--from", "random", "--minutes", "0.2"],
    &["--depth", "drivers", "--from", "random", "--minutes", "0.1"],
];

/// Hands the arguments on to the simulator, in the directory that this was started in.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<ExitCode> {
    let manifest = workspace.root().join("Cargo.toml");
    let mut command =
        workspace.cargo(&["run", "--release", "--locked", "-p", "tidings-sim", "--manifest-path"]);
    command.arg(manifest).arg("--").args(arguments).current_dir(std::env::current_dir()?);
    become_it(command)
}

/// Ctrl-C is for the simulator, which then prints its totals; a parent that waits would end before it.
#[cfg(unix)]
fn become_it(mut command: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Builds it, and runs what CI runs.
pub(crate) fn smoke(workspace: &Workspace) -> Result<()> {
    command::succeed(workspace.cargo(&["build", "--release", "--locked", "-p", "tidings-sim"]))?;
    let program = workspace.target().join("release").join("tidings-sim");
    for arguments in SMOKE {
        println!("    sim {}", arguments.join(" "));
        let mut sim = Command::new(&program);
        sim.current_dir(workspace.root()).args(arguments.iter().map(OsStr::new));
        command::succeed(sim)?;
    }
    Ok(())
}
