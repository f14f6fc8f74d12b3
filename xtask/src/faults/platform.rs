//! The platform under test: `tidings dev --distributed` as a process, and the processes that it keeps running.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::levels;
use super::owner::Owned;
use super::status::{self, Status};
use super::stop::Stop;
use super::table::Judged;

/// How long it may take until everything is filled and every copy follows.
const START: Duration = Duration::from_secs(480);
/// How long draining and judging may take after the end.
const DRAIN: Duration = Duration::from_secs(480);
/// How long the second judgement may take.
const JUDGE: Duration = Duration::from_secs(600);

/// What it is started with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) program: PathBuf,
    pub(crate) load: u32,
    pub(crate) products: u32,
    pub(crate) seed: u64,
    /// After this long it ends by itself: only if the campaign is no more there to end it.
    pub(crate) at_most: Duration,
}

/// One of its processes, from `processes.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) kind: String,
    /// Nothing while it is down.
    pub(crate) pid: Option<u32>,
    #[serde(default)]
    pub(crate) at: Option<String>,
    pub(crate) restarts: u32,
}

/// A running one. Dropping it kills it and its processes.
pub(crate) struct Platform {
    child: Child,
    program: PathBuf,
    directory: PathBuf,
    port: u16,
    copies: Vec<String>,
    levels: BTreeSet<String>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) judged: Judged,
    pub(crate) problems: Vec<String>,
}

impl Platform {
    /// Starts it with its files in `directory`.
    pub(crate) fn start(
        settings: &Settings,
        servers: &[(&'static str, String)],
        directory: &Path,
    ) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = File::create(directory.join("dev.log"))?;
        let mut dev = Command::new(&settings.program);
        dev.args(["dev", "--distributed"]);
        for (name, value) in servers {
            dev.arg(name).arg(value);
        }
        dev.arg("--data").arg(directory.join("data")).args(["--port", &port.to_string()]);
        dev.args(["--for", &format!("{}s", settings.at_most.as_secs())]);
        dev.args(["--load", &settings.load.to_string(), "--products", &settings.products.to_string()]);
        dev.args(["--seed", &settings.seed.to_string()]);
        dev.arg("--report").arg(directory.join("report.json"));
        dev.arg("--history").arg(directory.join("history.jsonl"));
        dev.current_dir(directory).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A Ctrl-C on the terminal is for the campaign, which ends this in order.
        dev.process_group(0);
        let child = dev.spawn().with_context(|| format!("cannot start {}", settings.program.display()))?;
        let (program, directory) = (settings.program.clone(), directory.to_owned());
        Ok(Self { child, program, directory, port, copies: Vec::new(), levels: BTreeSet::new() })
    }

    /// Waits until every copy follows the log, and every shared level answers: what does not now could not be missed later.
    pub(crate) fn wait_until_ready(&mut self, stop: &Stop) -> Result<()> {
        let began = Instant::now();
        let is_ready = stop.until(START, || {
            self.check_running()?;
            let copies = self.processes().into_iter().filter(|process| process.kind == "copy");
            self.copies = copies.map(|process| process.name).collect();
            let Ok(status) = status::of(self.port) else { return Ok(false) };
            let answered = levels::answered(&status);
            let do_answer = !answered.is_empty() && answered.values().all(|answered| *answered);
            self.levels = answered.into_keys().collect();
            Ok(do_answer && status.is_well(&self.copies, began.elapsed(), status::CLOSE))
        })?;
        let seen = || match status::of(self.port) {
            Ok(status) => {
                format!(
                    "{}; shared levels that have answered: {:?}",
                    status.shown(),
                    levels::answered(&status)
                )
            }
            Err(error) => format!("{error:#}"),
        };
        ensure!(is_ready, "the platform was not ready within {START:?}: {}; {}", seen(), self.log_tail());
        Ok(())
    }

    pub(crate) fn status(&self) -> Result<Status> {
        status::of(self.port)
    }

    /// The names of the copies that are processes.
    pub(crate) fn copies(&self) -> &[String] {
        &self.copies
    }

    /// The names of the levels that its copies share.
    pub(crate) fn levels(&self) -> &BTreeSet<String> {
        &self.levels
    }

    /// Its processes; none while it has not said.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let text = std::fs::read(self.directory.join("data").join("processes.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// One of its processes, proven to be its child and it ours.
    pub(crate) fn prove(&self, process: &Process) -> Result<Owned> {
        let pid = process.pid.with_context(|| format!("{} does not run", process.name))?;
        Owned::grandchild(Owned::child(self.child.id())?, pid)
    }

    /// The names of the contexts that have relays.
    pub(crate) fn contexts(&self) -> Vec<String> {
        let mut contexts: Vec<_> = self.processes().iter().filter_map(context).collect();
        contexts.sort();
        contexts.dedup();
        contexts
    }

    /// The relay that leads in this context, if one says that it does.
    pub(crate) fn leader(&self, of: &str) -> Option<Process> {
        let relays =
            self.processes().into_iter().filter(|process| context(process).is_some_and(|name| name == of));
        let leads = |process: &Process| {
            let at = process.at.as_ref().and_then(|at| at.parse::<SocketAddr>().ok());
            at.and_then(|at| status::get(at).ok()).is_some_and(|status| status["phase"] == "leading")
        };
        relays.into_iter().find(leads)
    }

    /// An error if it has ended by itself.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the platform ended by itself ({status}); {}", self.log_tail());
        }
        Ok(())
    }

    /// Asks it to drain and judge, and reads what it says; then has the history judged once more by itself.
    pub(crate) fn finish(mut self, stop: &Stop) -> Result<Ended> {
        let mut problems = Vec::new();
        if self.child.try_wait()?.is_none() {
            Owned::child(self.child.id())?.signal("TERM")?;
        } else {
            problems.push("it had ended before it was asked to".to_owned());
        }
        let mut status = None;
        stop.until(DRAIN, || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        let restarts: u32 = self.processes().iter().map(|process| process.restarts).sum();
        match status {
            None => problems.push(format!("it did not end within {DRAIN:?}; {}", self.log_tail())),
            Some(status) if !status.success() => {
                problems.push(format!("it ended with {status}; {restarts} restarts; {}", self.log_tail()));
            }
            Some(_) => {}
        }
        let report = std::fs::read(self.directory.join("report.json")).context("it left no report");
        let judged = match report.and_then(|text| judged(&serde_json::from_slice(&text)?)) {
            Ok(judged) => judged,
            Err(error) => {
                problems.push(format!("{error:#}"));
                Judged::default()
            }
        };
        problems.extend(self.judge_again(stop)?);
        Ok(Ended { judged, problems })
    }

    /// A process of its own reads the file from its start: what was judged on the way has to hold of what was written.
    fn judge_again(&self, stop: &Stop) -> Result<Option<String>> {
        let log = File::create(self.directory.join("judged.log"))?;
        let mut judge = Command::new(&self.program);
        judge.arg("check-history").arg(self.directory.join("history.jsonl"));
        judge.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut judge = judge.spawn().context("cannot start check-history")?;
        let ended = wait(&mut judge, JUDGE, stop);
        if !matches!(ended, Ok(Some(_))) {
            judge.kill()?;
            judge.wait()?;
        }
        Ok(match ended? {
            Some(status) if status.success() => None,
            Some(status) => Some(format!("check-history says no ({status}); its words are in judged.log")),
            None => Some(format!("check-history was not done within {JUDGE:?}")),
        })
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read(self.directory.join("dev.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default();
        format!("the end of its log:\n        {}", tail.join("\n        "))
    }

    /// Nobody is left behind, not even who is stopped and cannot hear that the platform is gone.
    fn end_all(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        // Stopped first, so that it starts nobody again.
        Owned::child(self.child.id())?.signal("STOP")?;
        let processes = self.processes();
        for owned in processes.iter().filter_map(|process| self.prove(process).ok()) {
            owned.signal("KILL")?;
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Err(error) = self.end_all() {
            eprintln!("the platform could not be ended: {error:#}");
        }
    }
}

fn wait(child: &mut Child, limit: Duration, stop: &Stop) -> Result<Option<ExitStatus>> {
    let mut status = None;
    stop.until(limit, || {
        status = child.try_wait()?;
        Ok(status.is_some())
    })?;
    Ok(status)
}

/// Whose relay it is, if it is one: `relay-pricing-1` is of `pricing`.
fn context(process: &Process) -> Option<String> {
    let name = process.name.strip_prefix("relay-").filter(|_| process.kind == "relay")?;
    name.rsplit_once('-').map(|(context, _)| context.to_owned())
}

/// What the report says that matters here. A count that is missing is no zero.
fn judged(report: &Value) -> Result<Judged> {
    let count = |name: &str| report[name].as_u64().with_context(|| format!("the report has no {name}"));
    let judged = Judged {
        committed: count("events_committed")?,
        violations: count("violations")?,
        stale_reads: count("stale_reads")?,
        false_labels: count("false_labels")?,
        lost: count("events_lost")?,
        l2_hits: count("l2_hits")?,
    };
    ensure!(judged.committed > 0, "nothing was committed, so nothing was shown");
    ensure!(judged.l2_hits > 0, "nothing came from the shared levels, so nothing was shown of them");
    Ok(judged)
}

#[cfg(test)]
mod tests;
