//! From the moment a commit is acknowledged until the relay has it, and until Kafka has it, beside bare clients.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pgwire_replication::{ReplicationClient, ReplicationConfig, ReplicationEvent};
use services::Kafka;
use tidings::Relay;
use tidings_core::port::{Append, Log};
use tidings_kafka::{KafkaLog, KafkaSettings};
use tidings_postgres::Discovery;

use crate::log::bare;
use crate::measure::{Delays, SHARES, Scale, runtime, wait};
use crate::postgres::{PATIENCE, Source, topic, write};
use crate::report::{Report, Target};
use crate::sink::{Noting, Nowhere, events, has_mark};

const PER_SECOND: usize = 500;
/// Not counted: everything is new to everybody.
const WARMING: usize = 200;
/// Of the bare client's middle, below which a ratio would say more of the clock than of anybody.
const LEAST: f64 = 1.0;

/// How far an event is followed: to the relay, or into this topic of Kafka's.
type To<'a> = Option<(&'a Kafka, String)>;

pub(super) fn run(report: &mut Report, scale: Scale, kafka: &Kafka) -> Result<()> {
    let commits = WARMING + scale.of(10_000, 500);
    report.section("PostgreSQL: commit acknowledged -> the relay has it, -> Kafka has acknowledged it");
    report.note(format!(
        "{PER_SECOND} commits/s of one event each by one writer, {} counted in a round",
        commits - WARMING
    ));
    let source = Source::start(report)?;
    let mut found: [Delays; 4] = Default::default();
    for round in 0..scale.rounds() {
        let kafka = |who: &str| Some((kafka, format!("{who}-{round}-")));
        found[0].add(ours(&source, commits, None)?);
        found[1].add(bare(&source, commits, None)?);
        found[2].add(ours(&source, commits, kafka("ours"))?);
        found[3].add(bare(&source, commits, kafka("bare"))?);
    }
    let [seen, bare_seen, published, bare_published] = &found;
    let client = "a bare decoding client";
    let targets = [Some(Target::RatioAtMost(3.0)), Some(Target::AtMost(2000.0, "us")), None];
    rows(report, "relay/delay", seen, (client, bare_seen), targets);
    let client = "a bare decoding client and bare rdkafka";
    rows(report, "relay/published", published, (client, bare_published), [None; 3]);
    report.note("An event can come before its writer hears of the commit: that counts as 0.".into());
    Ok(())
}

fn rows(
    report: &mut Report,
    name: &str,
    ours: &Delays,
    (client, bare): (&str, &Delays),
    targets: [Option<Target>; 3],
) {
    for (((ours, bare), (_, share)), target) in ours.0.iter().zip(&bare.0).zip(SHARES).zip(targets) {
        let row = format!("{name}/{share}");
        if bare.iter().all(|micros| *micros >= LEAST) {
            report.versus(&row, "us", ours, (client, bare), target);
            continue;
        }
        let target = target.filter(|target| !matches!(target, Target::RatioAtMost(_)));
        report.alone(&row, "us", ours, target);
        report.note(format!("{share} of {client} is below {LEAST} us: no ratio."));
    }
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

    /// Microseconds from each commit to its arrival.
    fn since(&self, committed: &[Instant]) -> Result<Vec<f64>> {
        let Ok(arrivals) = self.at.lock() else { bail!("whoever notes arrivals panicked") };
        if arrivals.len() != committed.len() {
            bail!("{} events came of {}", arrivals.len(), committed.len());
        }
        let pairs = committed.iter().zip(arrivals.iter()).skip(WARMING);
        Ok(pairs.map(|(commit, at)| at.saturating_duration_since(*commit).as_secs_f64() * 1e6).collect())
    }
}

/// The relay: from the commit to its append, or until its append into Kafka is done.
fn ours(source: &Source, commits: usize, to: To<'_>) -> Result<Vec<f64>> {
    let arrivals = Arc::new(Arrivals::default());
    let noted = arrivals.clone();
    let note = move |batch: &[Append]| {
        noted.note(events(batch));
        // A mark comes when nothing more was there.
        if has_mark(batch) {
            noted.is_caught_up.store(true, Ordering::Relaxed);
        }
    };
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let inner: Arc<dyn Log> = match to {
        Some((kafka, prefix)) => {
            KafkaLog::open(KafkaSettings { prefix, ..KafkaSettings::new(kafka.bootstrap()) })?
        }
        None => Arc::new(Nowhere),
    };
    let outbox = runtime.block_on(source.open(Discovery::Decode { slot: None }))?;
    let relay = Relay::new(topic()?, outbox, Arc::new(Noting { inner, note })).spawn();
    wait("catching up", PATIENCE, || arrivals.is_caught_up.load(Ordering::Relaxed))?;
    arrivals.begin();
    let committed = write(source, "", commits, PER_SECOND)?;
    wait("the last event's way", PATIENCE, || arrivals.count() >= commits)?;
    runtime.block_on(relay.stop(Duration::from_secs(10)))?;
    arrivals.since(&committed)
}

/// A client that hands on what it reads as it is.
fn bare(source: &Source, commits: usize, to: To<'_>) -> Result<Vec<f64>> {
    let arrivals = Arc::new(Arrivals::default());
    let runtime = runtime()?;
    let (noted, acknowledged) = (arrivals.clone(), arrivals.clone());
    let config = replication(source)?;
    let sender = match to {
        None => None,
        Some((kafka, prefix)) => {
            let settings = KafkaSettings { prefix: prefix.clone(), ..KafkaSettings::new(kafka.bootstrap()) };
            let _entered = runtime.enter();
            runtime.block_on(KafkaLog::open(settings)?.partitions(&topic()?))?;
            let name = format!("{prefix}{}", topic()?.as_str());
            let note = move || acknowledged.note(1);
            Some((bare::noting_producer(&kafka.bootstrap(), "0", note)?, name))
        }
    };
    source.server.query("SELECT pg_create_logical_replication_slot('bare', 'pgoutput')")?;
    let (started, is_started) = std::sync::mpsc::channel();
    let reading = runtime.spawn(async move {
        let mut client = ReplicationClient::connect(config).await?;
        client.wait_started().await?;
        started.send(())?;
        while let Some(event) = client.recv().await? {
            let ReplicationEvent::XLogData { data, .. } = event else { continue };
            match &sender {
                _ if data.first() != Some(&b'I') => {}
                // Of one partition, so that they are acknowledged in order.
                Some((sender, name)) => bare::send_bytes(sender, name, 0, &data)?,
                None => noted.note(1),
            }
        }
        anyhow::Ok(())
    });
    is_started.recv_timeout(PATIENCE).context("the bare client did not start")?;
    let committed = write(source, "", commits, PER_SECOND)?;
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
