//! From the moment a commit is acknowledged until the relay has it, beside a bare client of logical decoding.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pgwire_replication::{ReplicationClient, ReplicationConfig, ReplicationEvent};
use tidings::Relay;
use tidings_core::port::{Append, Record};
use tidings_postgres::Discovery;

use crate::measure::{Scale, contender, quantile, runtime, take_turns, wait};
use crate::postgres::{PATIENCE, Sink, Source, topic, write};
use crate::report::{Report, Target};

const PER_SECOND: usize = 500;
/// Not counted: everything is new to everybody.
const WARMING: usize = 200;

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    report.section("PostgreSQL: commit acknowledged -> the relay has it, 500 commits/s");
    let commits = WARMING + scale.of(2000, 500);
    let source = Source::start(report)?;
    let (mut ours_p99, mut bare_p99) = (Vec::new(), Vec::new());
    let figures = take_turns(
        scale.of(5, 1),
        &mut [
            contender(|| {
                let mut micros = ours(&source, commits)?;
                ours_p99.push(quantile(&mut micros, 0.99) / 1e3);
                Ok(quantile(&mut micros, 0.5))
            }),
            contender(|| {
                let mut micros = bare(&source, commits)?;
                bare_p99.push(quantile(&mut micros, 0.99) / 1e3);
                Ok(quantile(&mut micros, 0.5))
            }),
        ],
    )?;
    let [ours, bare] = figures.as_slice() else { bail!("a contender is missing") };
    let name = "a bare decoding client";
    report.versus("relay/delay/p50", "us", ours, (name, bare), Some(Target::RatioAtMost(3.0)));
    // The warming round is in here, too.
    let limit = (name, &bare_p99[1..]);
    report.versus("relay/delay/p99", "ms", &ours_p99[1..], limit, Some(Target::AtMost(2.0, "ms")));
    Ok(())
}

/// When each event came, in order: one writer commits one after the other.
#[derive(Default)]
struct Arrivals {
    at: Mutex<Vec<Instant>>,
    /// Whether everything that was committed before has come, too.
    is_caught_up: AtomicBool,
}

impl Arrivals {
    /// From now on it counts.
    fn begin(&self) {
        if let Ok(mut at) = self.at.lock() {
            at.clear();
        }
    }

    fn note(&self, count: usize) {
        let now = Instant::now();
        let Ok(mut arrivals) = self.at.lock() else { return };
        arrivals.extend(std::iter::repeat_n(now, count));
    }

    fn count(&self) -> usize {
        self.at.lock().map_or(0, |arrivals| arrivals.len())
    }

    /// Microseconds from each commit to its arrival. An event can arrive before its writer hears of the commit.
    fn since(&self, committed: &[Instant]) -> Result<Vec<f64>> {
        let Ok(arrivals) = self.at.lock() else { bail!("whoever notes arrivals panicked") };
        if arrivals.len() != committed.len() {
            bail!("{} events came of {}", arrivals.len(), committed.len());
        }
        let pairs = committed.iter().zip(arrivals.iter()).skip(WARMING);
        Ok(pairs.map(|(commit, at)| at.saturating_duration_since(*commit).as_secs_f64() * 1e6).collect())
    }
}

fn ours(source: &Source, commits: usize) -> Result<Vec<f64>> {
    let arrivals = Arc::new(Arrivals::default());
    let noted = arrivals.clone();
    let log = Arc::new(Sink(move |batch: &[Append]| {
        noted.note(batch.iter().filter(|append| matches!(append.record, Record::Event(_))).count());
        // A mark comes when nothing more was there.
        if batch.iter().any(|append| matches!(append.record, Record::Mark(_))) {
            noted.is_caught_up.store(true, Ordering::Relaxed);
        }
    }));
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let outbox = runtime.block_on(source.open(Discovery::Decode { slot: None }))?;
    let relay = Relay::new(topic()?, outbox, log).spawn();
    wait("catching up", PATIENCE, || arrivals.is_caught_up.load(Ordering::Relaxed))?;
    arrivals.begin();
    let committed = write(source, commits, PER_SECOND)?;
    wait("the last event's way", PATIENCE, || arrivals.count() >= commits)?;
    runtime.block_on(relay.stop(Duration::from_secs(10)))?;
    arrivals.since(&committed)
}

fn bare(source: &Source, commits: usize) -> Result<Vec<f64>> {
    let slot = "SELECT pg_create_logical_replication_slot('bare', 'pgoutput')";
    let arrivals = Arc::new(Arrivals::default());
    let runtime = runtime()?;
    let (noted, config) = (arrivals.clone(), replication(source)?);
    source.server.query(slot)?;
    let reading = runtime.spawn(async move {
        let mut client = ReplicationClient::connect(config).await?;
        while let Some(event) = client.recv().await? {
            if let ReplicationEvent::XLogData { data, .. } = event
                && data.first() == Some(&b'I')
            {
                noted.note(1);
            }
        }
        anyhow::Ok(())
    });
    let committed = write(source, commits, PER_SECOND)?;
    wait("the last event's way", PATIENCE, || arrivals.count() >= commits || reading.is_finished())?;
    reading.abort();
    drop(runtime);
    let drop = "SELECT pg_drop_replication_slot('bare')";
    wait("the end of a session", PATIENCE, || source.server.query(drop).is_ok())?;
    arrivals.since(&committed)
}

fn replication(source: &Source) -> Result<ReplicationConfig> {
    let config: tokio_postgres::Config = source.server.url().parse()?;
    let password = String::from_utf8_lossy(config.get_password().context("no password")?).into_owned();
    let user = config.get_user().context("no user")?;
    let to = ReplicationConfig::new("127.0.0.1", user, password, "postgres", "bare", "tidings");
    Ok(to.with_port(source.server.port()).with_application_name("bare"))
}
