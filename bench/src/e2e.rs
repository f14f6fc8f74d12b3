//! From the moment a commit returns until nothing older is served: in one process without a server, and distributed.

mod distributed;

use std::os::unix::fs::FileExt;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tidings::{Clock, Consumer, Decision, Event, Fence, FenceSettings, Observer, Outcome, Relay, Start};
use tidings_sqlite::{SqliteLog, SqliteOutbox, outbox};

use crate::measure::{Scale, nanos, quantile};
use crate::report::{Report, Target};
use crate::sqlite::{directory, pricing};

const ROUNDS: usize = 3;
const PER_SECOND: usize = 1000;
const SECONDS: usize = 3;
const COMMITS: usize = PER_SECOND * SECONDS;
/// Not counted: everything is new to everybody.
const WARMING: usize = PER_SECOND / 2;
/// What cannot be saved: the log's sync, and a wake-up each of the relay and of the consumer.
const WAKE_UPS: f64 = 2.0;

/// Latencies of one round, in milliseconds.
struct Latencies {
    p50: f64,
    p99: f64,
    achieved: f64,
}

pub(crate) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    embedded(report)?;
    distributed::run(report, scale)
}

fn embedded(report: &mut Report) -> Result<()> {
    report.section("Commit -> invalidated, 1,000 commits/s, synchronous=FULL, one process");
    let (mut p50, mut p99, mut achieved) = (Vec::new(), Vec::new(), Vec::new());
    let (mut floor_p50, mut floor_p99) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (sync, wake) = (syncs()?, wake_ups()?);
        floor_p50.push(sync.p50 + WAKE_UPS * wake.p50);
        floor_p99.push(sync.p99 + WAKE_UPS * wake.p99);
        let found = latencies()?;
        p50.push(found.p50);
        p99.push(found.p99);
        achieved.push(found.achieved);
    }
    let hops = "fdatasync and two wake-ups";
    report.versus("e2e/p50", "ms", &p50, (hops, &floor_p50), Some(Target::AtMost(1.0, "ms")));
    report.versus("e2e/p99", "ms", &p99, (hops, &floor_p99), Some(Target::AtMost(5.0, "ms")));
    report.alone("e2e/achieved", "commits/s", &achieved, None);
    report
        .note("The figures in ms are for a quiet machine: on a busy one every hop waits for a core.".into());
    Ok(())
}

/// Notes when each event had taken effect.
struct Arrivals(Mutex<Vec<Option<Instant>>>);

impl Observer for Arrivals {
    fn outcomes(&self, outcomes: &[(Arc<Event>, Outcome)]) {
        let now = Instant::now();
        let Ok(mut arrivals) = self.0.lock() else { return };
        for (event, _) in outcomes {
            let turn = usize::try_from(event.stamp.version.number()).unwrap_or(0).wrapping_sub(1);
            let number = pricing::number(event.entity.id()).map(|price| turn * pricing::PRICES + price);
            if let Some(arrival) = number.and_then(|number| arrivals.get_mut(number)) {
                arrival.get_or_insert(now);
            }
        }
    }
}

fn latencies() -> Result<Latencies> {
    let directory = directory()?;
    let database = directory.path().join("pricing.db");
    let connection = pricing::create(&database)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _entered = runtime.enter();
    let log = SqliteLog::open(directory.path().join("log.db"))?;
    let outbox = SqliteOutbox::open(&database, "/pricing")?;
    let relay = Relay::new(pricing::topic()?, outbox.clone(), log.clone()).spawn();
    let arrivals = Arc::new(Arrivals(Mutex::new(vec![None; COMMITS])));
    let consumer = Consumer::builder("bench", log)
        .topics([&pricing::topic()?])
        .start(Start::Head)
        .on_type(pricing::KIND, |_| Ok(vec![Decision::Invalidate]))
        .store(Fence::new(FenceSettings::default(), Clock::system()))
        .observer(arrivals.clone())
        .build()?
        .spawn();
    // The consumer begins at the head, so it has to be there first.
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    let committed = write(connection, &outbox)?;
    let achieved = COMMITS as f64 / start.elapsed().as_secs_f64();
    let deadline = Instant::now() + Duration::from_secs(20);
    while arrivals.0.lock().is_ok_and(|arrivals| arrivals.iter().any(Option::is_none)) {
        if Instant::now() > deadline {
            bail!("not every commit arrived within 20 s");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    runtime.block_on(relay.stop(Duration::from_secs(10)))?;
    runtime.block_on(consumer.stop(Duration::from_secs(10)))?;
    let Ok(arrivals) = arrivals.0.lock() else { bail!("the observer panicked") };
    let pairs = committed.iter().zip(arrivals.iter()).skip(WARMING);
    // An event can arrive before its writer has woken up from the commit.
    let waited =
        pairs.filter_map(|(commit, arrival)| Some(arrival.as_ref()?.saturating_duration_since(*commit)));
    let mut millis: Vec<_> = waited.map(|waited| waited.as_secs_f64() * 1e3).collect();
    Ok(Latencies { p50: quantile(&mut millis, 0.5), p99: quantile(&mut millis, 0.99), achieved })
}

/// Commits at the given pace, and returns when each commit was done.
fn write(mut connection: rusqlite::Connection, outbox: &SqliteOutbox) -> Result<Vec<Instant>> {
    let start = Instant::now();
    let mut committed = Vec::with_capacity(COMMITS);
    for number in 0..COMMITS {
        let due = start + Duration::from_secs(1) * u32::try_from(number)? / u32::try_from(PER_SECOND)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let tx = pricing::begin(&mut connection)?;
        pricing::update(&tx, number)?;
        outbox::record(&tx, &pricing::draft(number)?)?;
        tx.commit()?;
        committed.push(Instant::now());
        outbox.wake();
    }
    Ok(committed)
}

/// The bare disk, at the same pace: 4 KiB into a file whose blocks exist.
fn syncs() -> Result<Latencies> {
    const SYNCS: usize = 500;
    const PAGE: usize = 4096;
    let directory = directory()?;
    let file = crate::sqlite::preallocated(&directory.path().join("segment"), PAGE * SYNCS)?;
    let mut millis = Vec::with_capacity(SYNCS);
    for number in 0..SYNCS {
        let start = Instant::now();
        file.write_all_at(&[2; PAGE], (number * PAGE) as u64)?;
        file.sync_data()?;
        millis.push(nanos(start.elapsed()) / 1e6);
    }
    Ok(Latencies { p50: quantile(&mut millis, 0.5), p99: quantile(&mut millis, 0.99), achieved: 0.0 })
}

/// From one thread to another that sleeps; half of there and back.
fn wake_ups() -> Result<Latencies> {
    const TRIPS: usize = 1000;
    let ((there, asked), (back, answered)) = (channel::<()>(), channel::<()>());
    let echo = std::thread::spawn(move || while asked.recv().is_ok() && back.send(()).is_ok() {});
    let mut millis = Vec::with_capacity(TRIPS);
    for _ in 0..TRIPS {
        std::thread::sleep(Duration::from_micros(500));
        let start = Instant::now();
        there.send(())?;
        answered.recv()?;
        millis.push(nanos(start.elapsed()) / 2e6);
    }
    drop(there);
    echo.join().ok().context("the echoing thread panicked")?;
    Ok(Latencies { p50: quantile(&mut millis, 0.5), p99: quantile(&mut millis, 0.99), achieved: 0.0 })
}
