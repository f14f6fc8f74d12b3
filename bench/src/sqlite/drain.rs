//! A backlog on its way: outbox, relay, log, consumer, fence.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tempfile::TempDir;
use tidings::{Clock, Consumer, ConsumerCounts, Decision, Fence, FenceSettings, Relay, RelayCounts, Start};
use tidings_sqlite::{SqliteLog, SqliteOutbox, outbox};

use super::{directory, pricing};
use crate::measure::{contender, process_cpu, take_turns};
use crate::report::{Report, Target};

const ROUNDS: usize = 3;
const EVENTS: usize = 200_000;
/// Rows per transaction.
const BATCH: usize = 1000;

/// How long one stage, or all, took for the backlog.
#[derive(Default)]
struct Took {
    relay: Vec<f64>,
    consumer: Vec<f64>,
    cpu: Vec<f64>,
}

pub(super) fn run(report: &mut Report) -> Result<()> {
    report.section("SQLite: a backlog of 200,000 events, outbox -> relay -> log -> consumer -> fence");
    let directory = directory()?;
    let backlog = backlog(&directory)?;
    let mut took = Took::default();
    let mut stages = Took::default();
    let figures = take_turns(
        ROUNDS,
        &mut [
            contender(|| drain(&backlog, true, &mut took)),
            contender(bare),
            contender(|| drain(&backlog, false, &mut stages)),
        ],
    )?;
    let [ours, bare, _] = figures.as_slice() else { bail!("a contender is missing") };
    let limit = ("SQLite's own inserts of the same rows", bare.as_slice());
    report.versus("sqlite/drain", "events/s", ours, limit, None);
    report.alone("sqlite/drain/rate", "events/s", ours, Some(Target::AtLeast(100_000.0, "events/s")));
    // The warming round is in here, too.
    report.alone("sqlite/drain/cpu", "us/event", &took.cpu[1..], Some(Target::AtMost(12.5, "us")));
    report.alone("sqlite/drain/relay-alone", "events/s", &stages.relay[1..], None);
    report.alone("sqlite/drain/consumer-alone", "events/s", &stages.consumer[1..], None);
    Ok(())
}

/// A database whose outbox waits for its relay.
fn backlog(directory: &TempDir) -> Result<PathBuf> {
    let path = directory.path().join("backlog.db");
    let mut connection = pricing::create(&path)?;
    for first in (0..EVENTS).step_by(BATCH) {
        let tx = pricing::begin(&mut connection)?;
        for number in first..first + BATCH {
            outbox::record(&tx, &pricing::draft(number)?)?;
        }
        tx.commit()?;
    }
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(path)
}

/// The same rows, inserted as fast as SQLite does it durably, one transaction per batch.
fn bare() -> Result<f64> {
    let directory = directory()?;
    let mut connection = pricing::create(&directory.path().join("bare.db"))?;
    let start = Instant::now();
    for first in (0..EVENTS).step_by(BATCH) {
        let tx = pricing::begin(&mut connection)?;
        (first..first + BATCH).try_for_each(|number| pricing::insert(&tx, number))?;
        tx.commit()?;
    }
    Ok(EVENTS as f64 / start.elapsed().as_secs_f64())
}

/// Events per second through the whole, both stages at once or one after the other.
fn drain(backlog: &Path, together: bool, took: &mut Took) -> Result<f64> {
    let directory = directory()?;
    let database = directory.path().join("pricing.db");
    std::fs::copy(backlog, &database)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _entered = runtime.enter();
    let log = SqliteLog::open(directory.path().join("log.db"))?;
    let outbox = SqliteOutbox::open(&database, "/pricing")?;
    let (relay, consumer) = (Relay::new(pricing::topic()?, outbox, log.clone()), consumer(log)?);
    let (published, applied) = (relay.counts(), consumer.counts());
    let (cpu, start) = (process_cpu(), Instant::now());
    let relay = relay.spawn();
    if !together {
        wait(|| has_published(&published))?;
        took.relay.push(rate(start));
    }
    let middle = Instant::now();
    let consumer = consumer.spawn();
    wait(|| has_applied(&applied))?;
    took.consumer.push(rate(middle));
    let figure = rate(start);
    took.cpu.push((process_cpu() - cpu).as_secs_f64() * 1e6 / EVENTS as f64);
    runtime.block_on(relay.stop(Duration::from_secs(10)))?;
    runtime.block_on(consumer.stop(Duration::from_secs(10)))?;
    if applied.parked() > 0 || applied.gaps() > 0 {
        bail!("{} events were parked, {} gaps", applied.parked(), applied.gaps());
    }
    Ok(figure)
}

fn consumer(log: Arc<SqliteLog>) -> Result<Consumer> {
    let fence = Fence::new(FenceSettings::default(), Clock::system());
    let consumer = Consumer::builder("bench", log).topics([&pricing::topic()?]).start(Start::Group);
    Ok(consumer.on_type(pricing::KIND, |_| Ok(vec![Decision::Invalidate])).store(fence).build()?)
}

fn has_published(counts: &RelayCounts) -> bool {
    counts.published() >= EVENTS as u64
}

fn has_applied(counts: &ConsumerCounts) -> bool {
    counts.applied() + counts.superseded() >= EVENTS as u64
}

fn wait(done: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !done() {
        if Instant::now() > deadline {
            bail!("the backlog was not through after two minutes");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}

fn rate(since: Instant) -> f64 {
    EVENTS as f64 / since.elapsed().as_secs_f64()
}
