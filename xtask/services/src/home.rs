//! One server's place: its directory, its process while it has one, and a guard that outlives neither.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::{self, Process};

/// Reads which process runs here, a line whenever that changes, until the end of its input: that is the end of the program
/// on the other side of the pipe, however it ended. Then it ends the server and removes its files.
const GUARD: &str = r#"
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
    # What is paused could not hear.
    kill -CONT "$pid" $(cat "/proc/$pid/task/$pid/children")
    kill -"$2" "$pid"
    tries=0
    while kill -0 "$pid" && [ "$tries" -lt 20 ]; do sleep 0.1; tries=$((tries + 1)); done
    kill -KILL "$pid"
fi
rm -rf -- "$1""#;

/// A server's place. Dropping it kills the server and removes its files.
#[derive(Debug)]
pub(crate) struct Home {
    name: &'static str,
    process: Option<Process>,
    guard: Child,
    directory: TempDir,
}

impl Home {
    /// An empty one inside this directory, for the server of this name. `signal` is what makes it end with its children, should
    /// the guard have to.
    pub(crate) fn inside(parent: &Path, name: &'static str, signal: &str) -> Result<Self> {
        let prefix = format!("tidings-{}-", name.to_lowercase());
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent);
        let directory = directory.context("cannot make a temporary directory")?;
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(directory.path()).arg(signal);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        process::own_group(&mut guard);
        let guard = guard.spawn().context("cannot start sh")?;
        Ok(Self { name, process: None, guard, directory })
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Starts the server, which writes into this directory alone, and waits until `is_ready` says so.
    pub(crate) fn start(
        &mut self,
        command: Command,
        timeout: Duration,
        is_ready: impl FnMut(&Process) -> bool,
    ) -> Result<()> {
        ensure!(self.process.is_none(), "{} runs already", self.name);
        let process = self.process.insert(Process::spawn(self.name, command, self.log_path())?);
        let pid = process.pid();
        tell(&mut self.guard, Some(pid))?;
        let outcome = process.wait_until(timeout, is_ready);
        if outcome.is_err() {
            self.kill()?;
        }
        outcome
    }

    /// The process that runs here.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Whether the server runs: it may have ended by itself.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::runs)
    }

    /// What the server has said since it was last started.
    pub(crate) fn log(&self) -> String {
        process::read_log(&self.log_path())
    }

    /// Asks the server to end with a signal, and waits until it has; nothing if it does not run.
    pub(crate) fn stop(&mut self, signal: &str) -> Result<()> {
        self.end(|process| process.stop(signal))
    }

    /// Kills the server and its children; nothing if it does not run.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.end(Process::kill)
    }

    /// Stops the server and its children where they are.
    pub(crate) fn pause(&self) -> Result<()> {
        self.running()?.pause()
    }

    /// Lets them go on.
    pub(crate) fn resume(&self) -> Result<()> {
        self.running()?.resume()
    }

    fn end(&mut self, end: impl FnOnce(&mut Process) -> Result<()>) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let outcome = end(&mut process);
        // Dropped before the guard is told: it is gone then, whatever the outcome.
        drop(process);
        tell(&mut self.guard, None)?;
        outcome
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().with_context(|| format!("this {} is stopped", self.name))
    }

    fn log_path(&self) -> PathBuf {
        self.path().join("server.log")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.kill();
        // Killed before it is waited for: waiting closes its input, which is its sign to act.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

fn tell(guard: &mut Child, pid: Option<u32>) -> Result<()> {
    let line = pid.map(|pid| pid.to_string()).unwrap_or_default() + "\n";
    let pipe = guard.stdin.as_mut().context("the guard has no input")?;
    pipe.write_all(line.as_bytes()).context("the guard of a server is gone")
}
