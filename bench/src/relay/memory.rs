//! What a relay holds in memory: at rest, while the broker stands still and a backlog grows, and in a large transaction.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use services::Kafka;
use tempfile::TempDir;

use super::DEADLINE;
use crate::l1::memory::resident;
use crate::measure::{Scale, wait};
use crate::postgres::{KIND, Source};
use crate::report::{Report, Target};
use crate::size::Guest;
use crate::sqlite::directory;

/// Data of one event here.
const EVENT: usize = 8192;
const SETTLE: Duration = Duration::from_secs(3);
const EVERY: Duration = Duration::from_millis(50);
/// The whole measure and the quick one.
const BACKLOG: (usize, usize) = (1 << 30, 96 << 20);
const TRANSACTION: (usize, usize) = (500_000_000, 64_000_000);
/// How much of a backlog is one transaction.
const TOGETHER: usize = 1000;
/// More than this between the second and the last third of a load is growth, not noise.
const FLAT: f64 = 4.0;

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    report.section("`tidings relay`: resident memory, from PostgreSQL to Kafka");
    let program = std::env::current_exe()?;
    let binary = program.parent().context("this program is nowhere")?.join("tidings");
    if !binary.is_file() {
        report.note(format!("{} is not there: cargo build --release -p tidings-server", binary.display()));
        return Ok(());
    }
    let (source, kafka) = (Source::start(report)?, Kafka::start(&[])?);
    let relay = Process::start(binary, &source, &kafka)?;
    wait("leading", DEADLINE, || relay.status().is_ok_and(|status| status["phase"] == "leading"))?;
    let idle = relay.sampled(|| {
        std::thread::sleep(2 * SETTLE);
        Ok(())
    })?;
    report.alone("relay/rss/idle", "MiB", &idle, Some(Target::AtMost(15.0, "MiB")));
    let backlog = scale.of(BACKLOG.0, BACKLOG.1) / EVENT;
    kafka.pause()?;
    let stalled = relay.sampled(|| {
        source.server.query(&publish(backlog / TOGETHER, TOGETHER))?;
        std::thread::sleep(SETTLE);
        Ok(())
    });
    kafka.resume()?;
    held(report, "stalled", &stalled?);
    let done = backlog / TOGETHER * TOGETHER;
    let start = Instant::now();
    let drained = relay.sampled(|| relay.published(done))?;
    held(report, "drained", &drained);
    let megabytes = (done * EVENT) as f64 / 1e6;
    report.alone("relay/backlog", "MB/s", &[megabytes / start.elapsed().as_secs_f64()], None);
    let rows = scale.of(TRANSACTION.0, TRANSACTION.1) / EVENT;
    // The server tells nothing of it before it is committed.
    source.server.query(&publish(1, rows))?;
    let whole = relay.sampled(|| relay.published(done + rows))?;
    held(report, "transaction", &whole);
    report.note(format!(
        "A backlog of {megabytes:.0} MB while the broker stood still, and one transaction of {:.0} MB.",
        (rows * EVENT) as f64 / 1e6
    ));
    Ok(())
}

/// The most that was held, and whether it went on growing.
fn held(report: &mut Report, name: &str, samples: &[f64]) {
    let most = samples.iter().copied().fold(0.0, f64::max);
    report.alone(&format!("relay/rss/{name}/max"), "MiB", &[most], Some(Target::AtMost(64.0, "MiB")));
    let third = samples.len() / 3;
    let most_of = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let growth = most_of(&samples[2 * third..]) - most_of(&samples[third..2 * third]);
    let row = format!("relay/rss/{name}/growth");
    report.alone(&row, "MiB", &[growth], Some(Target::AtMost(FLAT, "MiB")));
}

fn publish(transactions: usize, rows: usize) -> String {
    format!(
        "DO $$ BEGIN FOR t IN 1..{transactions} LOOP
         PERFORM count(tidings.publish('{KIND}', 'page/' || n % 1000, to_json(repeat('x', {EVENT}))))
         FROM generate_series(1, {rows}) AS n;
         COMMIT; END LOOP; END $$"
    )
}

/// A relay as it is run in earnest.
struct Process {
    binary: PathBuf,
    relay: Guest,
    at: String,
    _directory: TempDir,
}

impl Process {
    fn start(binary: PathBuf, source: &Source, kafka: &Kafka) -> Result<Self> {
        let directory = directory()?;
        let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let (url, brokers) = (source.server.url(), kafka.bootstrap());
        let config = format!(
            "[source]\nurl = \"{url}\"\n[log]\ntopic = \"pricing\"\n[log.kafka]\nbrokers = \"{brokers}\"\n\
             [http]\nlisten = \"{at}\"\n"
        );
        let path = directory.path().join("relay.toml");
        std::fs::write(&path, config)?;
        let mut relay = Command::new(&binary);
        relay.args(["relay", "--config"]).arg(&path);
        relay.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let relay = Guest(relay.spawn().context("cannot start the relay")?);
        Ok(Self { binary, relay, at, _directory: directory })
    }

    fn status(&self) -> Result<Value> {
        let asked =
            Command::new(&self.binary).args(["relay", "status", "--json", "--at", &self.at]).output()?;
        if !asked.status.success() {
            bail!("the relay does not answer: {}", String::from_utf8_lossy(&asked.stderr).trim());
        }
        Ok(serde_json::from_slice(&asked.stdout)?)
    }

    fn published(&self, events: usize) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        while self.status()?["published"].as_u64().unwrap_or(0) < events as u64 {
            if Instant::now() > deadline {
                bail!("not everything was published after {DEADLINE:?}");
            }
            std::thread::sleep(EVERY);
        }
        Ok(())
    }

    /// Resident memory in MiB, again and again while something is done.
    fn sampled(&self, work: impl FnOnce() -> Result<()>) -> Result<Vec<f64>> {
        let (done, samples) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let process = self.relay.0.id().to_string();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let Ok(bytes) = resident(&process) else { return };
                    if let Ok(mut samples) = samples.lock() {
                        samples.push(bytes / f64::from(1 << 20));
                    }
                    std::thread::sleep(EVERY);
                }
            });
            let worked = work();
            done.store(true, Ordering::Relaxed);
            worked
        })?;
        samples.into_inner().ok().filter(|samples| !samples.is_empty()).context("the relay has ended")
    }
}
