//! One server process: where it logs, and how it is signalled.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a condition is looked at while something waits for it.
const POLL: Duration = Duration::from_millis(25);

/// How much of a log an error shows.
const TAIL_LINES: usize = 20;

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in a new log.
    ///
    /// It gets a process group of its own, so that a Ctrl-C on the terminal reaches the program that owns it alone.
    pub(crate) fn spawn(name: &'static str, mut command: Command, log: PathBuf) -> Result<Self> {
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        own_group(&mut command);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended by itself.
    pub(crate) fn runs(&mut self) -> bool {
        self.has_ended().is_ok_and(|ended| !ended)
    }

    /// Stops the server and its children where they are.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal("STOP")?;
        self.wait_for_stop();
        self.signal_children(&self.children(), "STOP");
        Ok(())
    }

    /// Lets them go on.
    pub(crate) fn resume(&self) -> Result<()> {
        self.signal_children(&self.children(), "CONT");
        self.signal("CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        send(signal, &[self.pid()])
    }

    /// Some may have ended by themselves; that is no error.
    fn signal_children(&self, children: &[u32], signal: &str) {
        if !children.is_empty() {
            let _ = send(signal, children);
        }
    }

    /// A signal takes a moment to arrive; until then, children can be born.
    fn wait_for_stop(&self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline && state(self.pid()).is_some_and(|state| !"TZX".contains(state)) {
            std::thread::yield_now();
        }
    }

    /// Asks the server to end with a signal, and waits until it has. One that does not end in time is killed.
    pub(crate) fn stop(&mut self, signal: &str) -> Result<()> {
        if self.has_ended()? {
            return Ok(());
        }
        self.resume()?;
        self.signal(signal)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.has_ended()? {
            if Instant::now() > deadline {
                self.kill()?;
                bail!("{} did not end within 30 s of SIG{signal}{}", self.name, self.log_tail());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Kills the server and its children, as a machine that fails would, and returns when they are gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if self.has_ended()? {
            return Ok(());
        }
        // Stopped first, so that no child is born between the look and the blow.
        self.signal("STOP")?;
        self.wait_for_stop();
        let children = self.children();
        self.child.kill()?;
        self.signal_children(&children, "KILL");
        self.child.wait()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while children.iter().any(|pid| is_running(*pid)) {
            if Instant::now() > deadline {
                bail!("children of {} do not end", self.name);
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until `is_ready` says so. An end of the server, and a deadline, are errors that show the end of its log.
    ///
    /// Who answers at its port is not enough: that may be somebody else's server, which was there first.
    pub(crate) fn wait_until(
        &mut self,
        timeout: Duration,
        mut is_ready: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) instead of starting{}", self.name, self.log_tail());
            }
            if is_ready(self) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} did not answer within {timeout:?}{}", self.name, self.log_tail());
            }
            std::thread::sleep(POLL);
        }
    }

    /// What it has said; nothing if it has not begun to.
    pub(crate) fn log(&self) -> String {
        read_log(&self.log)
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default();
        if tail.is_empty() {
            return "; it said nothing".to_owned();
        }
        format!("; the end of its log:\n    {}", tail.join("\n    "))
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.kill().is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a log says; nothing if there is none yet.
pub(crate) fn read_log(path: &Path) -> String {
    std::fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// Whether a process with this id runs; a dead one that its parent has not noticed yet does not.
pub(crate) fn is_running(pid: u32) -> bool {
    match state(pid) {
        Some(state) => !"ZX".contains(state),
        None if Path::new("/proc/self").exists() => false,
        None => send("0", &[pid]).is_ok(),
    }
}

/// The letter that says what a process does, where the system tells: after its name, which may hold anything.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

fn send(signal: &str, pids: &[u32]) -> Result<()> {
    kill(signal, pids.iter().map(u32::to_string).collect())
}

/// Sends a signal, `TERM` say, to a process that this one has started.
///
/// # Errors
///
/// There is no such process, or no such signal.
pub fn signal(signal: &str, pid: u32) -> Result<()> {
    send(signal, &[pid])
}

/// Sends a signal to every process of the group that a process leads.
///
/// # Errors
///
/// There is no such group, or no such signal.
pub fn signal_group(signal: &str, leader: u32) -> Result<()> {
    kill(signal, vec![format!("-{leader}")])
}

/// By the shell, which has `kill` built in: not every system has it as a program, and sending one from here would take unsafe
/// code.
fn kill(signal: &str, whom: Vec<String>) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", r#"signal=$1; shift; kill -s "$signal" -- "$@" 2>/dev/null"#, "kill", signal]);
    if !command.args(&whom).status().context("cannot start sh")?.success() {
        bail!("cannot send SIG{signal} to {}", whom.join(" "));
    }
    Ok(())
}

/// Gives what `command` starts a process group of its own.
#[cfg(unix)]
pub(crate) fn own_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
pub(crate) fn own_group(_: &mut Command) {}
