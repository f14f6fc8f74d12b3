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
use crate::l1::memory::{peak, resident};
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
const MIB: f64 = (1 << 20) as f64;

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
    let idle = relay.watched(|| {
        std::thread::sleep(2 * SETTLE);
        Ok(())
    })?;
    report.alone("relay/rss/idle", "MiB", &idle.samples, Some(Target::AtMost(15.0, "MiB")));
    let done = stalled(report, scale, (&source, &kafka), &relay)?;
    let rows = scale.of(TRANSACTION.0, TRANSACTION.1) / EVENT;
    let megabytes = (rows * EVENT) as f64 / 1e6;
    report.note(format!("One transaction of {megabytes:.0} MB in {rows} events"));
    let whole = relay.watched(|| {
        // The server tells nothing of it before it is committed.
        source.server.query(&publish(1, rows))?;
        relay.published(&source, done + rows)
    })?;
    held(report, "transaction", &whole);
    Ok(())
}

/// While the broker stands still, and after it goes on. Returns how many events that was.
fn stalled(
    report: &mut Report,
    scale: Scale,
    (source, kafka): (&Source, &Kafka),
    relay: &Process,
) -> Result<usize> {
    let backlog = scale.of(BACKLOG.0, BACKLOG.1) / EVENT / TOGETHER * TOGETHER;
    let megabytes = (backlog * EVENT) as f64 / 1e6;
    report.note(format!("A backlog of {megabytes:.0} MB in {backlog} events, the broker stopped by SIGSTOP"));
    let stalled = relay.watched(|| {
        std::thread::scope(|scope| {
            let load = scope.spawn(|| source.server.query(&publish(backlog / TOGETHER, TOGETHER)));
            // In the middle of it: then the relay has read on, and its appends are under way.
            let begun = wait("the first append", DEADLINE, || relay.count().is_ok_and(|count| count > 0));
            kafka.pause()?;
            let loaded = load.join();
            begun?;
            loaded.ok().context("the writer panicked")??;
            std::thread::sleep(SETTLE);
            Ok(())
        })
    });
    let published = relay.count();
    kafka.resume()?;
    held(report, "stalled", &stalled?);
    let published = published? as usize;
    if published >= backlog {
        bail!("all {backlog} events were published before the broker stood still");
    }
    report.note(format!("It stopped after {published} of them had been published."));
    let megabytes = ((backlog - published) * EVENT) as f64 / 1e6;
    let start = Instant::now();
    let drained = relay.watched(|| relay.published(source, backlog))?;
    let took = start.elapsed().as_secs_f64();
    held(report, "drained", &drained);
    report.alone("relay/backlog", "MB/s", &[megabytes / took], None);
    let rest = (backlog - published) as f64;
    report.alone("relay/backlog/events", "events/s", &[rest / took], None);
    Ok(backlog)
}

/// Resident memory in MiB while something was done.
struct Watched {
    /// Again and again.
    samples: Vec<f64>,
    /// The most there ever was, as the kernel saw it.
    peak: f64,
}

/// The most that was held, and whether it went on growing.
fn held(report: &mut Report, name: &str, watched: &Watched) {
    let row = format!("relay/rss/{name}/max");
    report.alone(&row, "MiB", &[watched.peak], Some(Target::AtMost(64.0, "MiB")));
    let (samples, third) = (&watched.samples, watched.samples.len() / 3);
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

    /// How many events it has published, by its own count.
    fn count(&self) -> Result<u64> {
        self.status()?["published"].as_u64().context("the relay does not say what it published")
    }

    /// Waits until the relay has confirmed to the database all that is committed, and says that it was so many events.
    fn published(&self, source: &Source, events: usize) -> Result<()> {
        let place = source.place()?;
        source.confirmed(&place, DEADLINE)?;
        let status = self.status()?;
        if status["published"].as_u64() < Some(events as u64) || status["parked"].as_u64() != Some(0) {
            bail!("not all of {events} events were published: {status}");
        }
        Ok(())
    }

    /// Watches its memory while something is done.
    fn watched(&self, work: impl FnOnce() -> Result<()>) -> Result<Watched> {
        let (done, samples) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let process = self.relay.0.id().to_string();
        // From now on the kernel counts its peak anew.
        std::fs::write(format!("/proc/{process}/clear_refs"), "5")?;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let Ok(bytes) = resident(&process) else { return };
                    if let Ok(mut samples) = samples.lock() {
                        samples.push(bytes / MIB);
                    }
                    std::thread::sleep(EVERY);
                }
            });
            let worked = work();
            done.store(true, Ordering::Relaxed);
            worked
        })?;
        let samples = samples.into_inner().ok().filter(|samples| !samples.is_empty());
        Ok(Watched { samples: samples.context("the relay has ended")?, peak: peak(&process)? / MIB })
    }
}
