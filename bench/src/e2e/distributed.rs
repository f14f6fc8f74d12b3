//! From a commit in PostgreSQL to what no longer serves the old: outbox, relay, Kafka, consumer, and then the cache in
//! process or the shared one.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rdkafka::consumer::Consumer as _;
use rdkafka::message::Message;
use services::{Kafka, Redis};
use tidings::{
    Clock, Consumer, ConsumerCounts, Decision, Event, Fence, FenceSettings, Observer, Outcome, Relay,
    Running, Start,
};
use tidings_core::Entity;
use tidings_core::port::{Log, Store};
use tidings_core::shared::level::{Found, Key, Level as _, Thing};
use tidings_kafka::{KafkaLog, KafkaSettings};
use tidings_postgres::{Discovery, PostgresSource};
use tidings_redis::{Follows, RedisLevel, RedisStore, Settings};

use crate::log::{PARTITIONS, bare};
use crate::measure::{Delays, SHARES, Scale, process_cpu, runtime, wait};
use crate::postgres::{KIND, PATIENCE, Source, backlog_entities, topic, write};
use crate::report::{Report, Target};

/// Commits per second.
const PER_SECOND: usize = 200;
/// Not counted: everything is new to everybody.
const WARMING: usize = 200;
const LINGER: Duration = Duration::from_millis(5);
const DEADLINE: Duration = Duration::from_secs(300);

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let (kafka, redis) = (Kafka::start(&[])?, Redis::start(&[])?);
    let mut servers = Servers { source: Source::start(report)?, kafka, redis, turn: 0 };
    report
        .section("Commit -> applied, 200 commits/s, PostgreSQL -> relay -> Kafka (linger 5 ms) -> consumer");
    delays(report, scale, &mut servers)?;
    drop(servers.source);
    servers.source = Source::start(report)?;
    report.section("A backlog in PostgreSQL -> relay -> Kafka (linger 5 ms) -> consumer -> applied");
    drains(report, scale, &mut servers)
}

struct Servers {
    source: Source,
    kafka: Kafka,
    redis: Redis,
    turn: u32,
}

/// Where news takes effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    L1,
    L2,
}

const LEVELS: [(Level, &str); 2] = [(Level::L1, "l1"), (Level::L2, "l2")];

impl Servers {
    /// Topics that nobody has written to. Within a runtime.
    fn log(&mut self) -> Result<Arc<KafkaLog>> {
        self.turn += 1;
        let mut settings = KafkaSettings::new(self.kafka.bootstrap());
        settings.prefix = format!("turn{}-", self.turn);
        settings.topics.partitions = PARTITIONS;
        settings.linger = LINGER;
        Ok(KafkaLog::open(settings)?)
    }

    /// Somebody depends on each of these entities: else the shared cache would not keep anything of their news.
    async fn store(&self, level: Level, entities: &[String]) -> Result<Arc<dyn Store>> {
        if level == Level::L1 {
            return Ok(Fence::new(FenceSettings::default(), Clock::system()));
        }
        let settings = Settings {
            timeout: Duration::from_secs(10),
            ..Settings::new(&self.redis.url(), &format!("turn{}", self.turn))
        };
        let source = Arc::new(PostgresSource::new(&self.source.address));
        let level = RedisLevel::connect(settings).await?;
        let store = RedisStore::new(level.clone(), source, Follows::Group);
        store.tend().await?;
        for id in entities {
            let key = Key { view: "product".into(), key: (&**id).into() };
            let found = level.lookup(&key, &[Thing::Entity(Entity::new("price", id)?)]).await;
            if !matches!(found, Found::Claim(_)) {
                bail!("no claim but {found:?}");
            }
        }
        Ok(Arc::new(store))
    }

    async fn consumer(
        &self,
        log: &Arc<KafkaLog>,
        level: Level,
        arrivals: Arc<Arrivals>,
        entities: &[String],
    ) -> Result<Consumer> {
        let (name, start) = match level {
            Level::L1 => ("bench-l1", Start::Head),
            Level::L2 => ("bench-l2", Start::Group),
        };
        let consumer = Consumer::builder(name, log.clone())
            .topics([&topic()?])
            .start(start)
            .on_type(KIND, |_| Ok(vec![Decision::Invalidate]))
            .store(self.store(level, entities).await?)
            .observer(arrivals);
        Ok(consumer.build()?)
    }
}

/// When the event of each commit had taken effect. Of a commit's number its entity is named, behind a prefix of this turn.
#[derive(Default)]
struct Arrivals {
    prefix: String,
    began: Mutex<bool>,
    at: Mutex<Vec<Option<Instant>>>,
}

impl Arrivals {
    fn of(turn: u32, commits: usize) -> Arc<Self> {
        let (began, at) = (Mutex::new(false), Mutex::new(vec![None; commits]));
        Arc::new(Self { prefix: format!("{turn}-"), began, at })
    }

    fn has_begun(&self) -> bool {
        self.began.lock().is_ok_and(|began| *began)
    }

    fn is_complete(&self) -> bool {
        self.at.lock().is_ok_and(|at| at.iter().all(Option::is_some))
    }

    /// Milliseconds since each commit.
    fn since(&self, committed: &[Instant]) -> Result<Vec<f64>> {
        let Ok(at) = self.at.lock() else { bail!("the observer panicked") };
        let pairs = committed.iter().zip(at.iter()).skip(WARMING);
        let waited = pairs.filter_map(|(commit, at)| Some(at.as_ref()?.saturating_duration_since(*commit)));
        Ok(waited.map(|waited| waited.as_secs_f64() * 1e3).collect())
    }
}

impl Observer for Arrivals {
    fn outcomes(&self, outcomes: &[(Arc<Event>, Outcome)]) {
        let now = Instant::now();
        let Ok(mut at) = self.at.lock() else { return };
        for (event, _) in outcomes {
            let number = event.entity.id().strip_prefix(&*self.prefix).and_then(|number| number.parse().ok());
            if let Some(arrival) = number.and_then(|number: usize| at.get_mut(number)) {
                arrival.get_or_insert(now);
            }
        }
    }

    fn began(&self, _: &[tidings::Position]) {
        if let Ok(mut began) = self.began.lock() {
            *began = true;
        }
    }
}

fn delays(report: &mut Report, scale: Scale, servers: &mut Servers) -> Result<()> {
    let commits = WARMING + scale.of(6000, 400);
    let (mut hop, mut applied) = (Delays::default(), [Delays::default(), Delays::default()]);
    for _ in 0..scale.rounds() {
        hop.add(bare_hop(servers, commits)?);
        for (delays, (level, _)) in applied.iter_mut().zip(LEVELS) {
            delays.add(delay(servers, level, commits)?);
        }
    }
    for (delays, (_, name)) in applied.iter().zip(LEVELS) {
        let targets = [Some(Target::AtMost(10.0, "ms")), Some(Target::AtMost(25.0, "ms")), None];
        for (number, target) in targets.into_iter().enumerate() {
            let limit = ("bare rdkafka, from one client to another", &*hop.0[number]);
            let row = format!("e2e/distributed/{name}/{}", SHARES[number].1);
            report.versus(&row, "ms", &delays.0[number], limit, target);
        }
    }
    report.note("The figures in ms are for a quiet machine, and p99.9 is of few samples.".into());
    Ok(())
}

fn delay(servers: &mut Servers, level: Level, commits: usize) -> Result<Vec<f64>> {
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let log = servers.log()?;
    runtime.block_on(log.partitions(&topic()?))?;
    let arrivals = Arrivals::of(servers.turn, commits);
    let entities: Vec<_> = (0..commits).map(|number| format!("{}{number}", arrivals.prefix)).collect();
    let consumer = runtime.block_on(servers.consumer(&log, level, arrivals.clone(), &entities))?.spawn();
    wait("the consumer's beginning", PATIENCE, || arrivals.has_begun())?;
    let outbox = runtime.block_on(servers.source.open(Discovery::Decode { slot: None }))?;
    let relay = Relay::new(topic()?, outbox, log).spawn();
    let committed = write(&servers.source, &arrivals.prefix, commits, PER_SECOND)?;
    wait("every event's way", PATIENCE, || arrivals.is_complete())?;
    stop(&runtime, [relay, consumer])?;
    arrivals.since(&committed)
}

/// What Kafka itself takes: from a bare producer to a bare consumer at the same pace.
fn bare_hop(servers: &mut Servers, messages: usize) -> Result<Vec<f64>> {
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let log = servers.log()?;
    runtime.block_on(log.partitions(&topic()?))?;
    drop(log);
    let (brokers, name) = (servers.kafka.bootstrap(), format!("turn{}-pricing", servers.turn));
    let producer = bare::producer(&brokers, &LINGER.as_millis().to_string())?;
    let reader = bare::reader(&brokers, &name, rdkafka::Offset::Beginning)?;
    let reading = std::thread::spawn(move || {
        let mut at = vec![None; messages];
        while at.iter().any(Option::is_none) {
            let Some(Ok(message)) = reader.poll(PATIENCE) else { bail!("not every message came") };
            let number: usize = std::str::from_utf8(message.payload().unwrap_or_default())?.parse()?;
            at[number] = Some(Instant::now());
        }
        reader.unassign()?;
        Ok(at)
    });
    let (start, mut sent) = (Instant::now(), Vec::with_capacity(messages));
    for number in 0..messages {
        let due = start + Duration::from_secs(1) * u32::try_from(number)? / u32::try_from(PER_SECOND)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        sent.push(Instant::now());
        bare::send_bytes(&producer, &name, bare::place(number), number.to_string().as_bytes())?;
    }
    let Ok(came) = reading.join() else { bail!("the reader panicked") };
    let pairs = sent.iter().zip(came?).skip(WARMING);
    let waited = pairs.filter_map(|(sent, came)| Some(came?.saturating_duration_since(*sent)));
    Ok(waited.map(|waited| waited.as_secs_f64() * 1e3).collect())
}

fn drains(report: &mut Report, scale: Scale, servers: &mut Servers) -> Result<()> {
    let events = scale.of(100_000, 20_000);
    servers.source.keep_place()?;
    servers.source.load(events, 1)?;
    let mut rates = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    // The first round warms up.
    for round in 0..=scale.rounds() {
        for ((rates, used), (level, _)) in rates.iter_mut().zip(LEVELS) {
            let (rate, cpu) = drain(servers, level, events)?;
            if round > 0 {
                rates.push(rate);
                used.push(cpu);
            }
        }
    }
    for (((rates, used), (_, name)), least) in rates.iter().zip(LEVELS).zip([100_000.0, 60_000.0]) {
        let row = format!("e2e/drain/{name}");
        report.alone(&row, "events/s", rates, Some(Target::AtLeast(least, "events/s")));
        report.alone(&format!("{row}/cpu"), "us/event", used, Some(Target::AtMost(12.5, "us")));
    }
    report.note("One-row transactions; database, broker and Redis share the cores with us.".into());
    Ok(())
}

/// Events per second through all stages at once, and microseconds of this process for each.
fn drain(servers: &mut Servers, level: Level, events: usize) -> Result<(f64, f64)> {
    let slot = servers.source.rewind()?;
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let log = servers.log()?;
    runtime.block_on(log.partitions(&topic()?))?;
    let arrivals = Arrivals::of(servers.turn, 0);
    let consumer = runtime.block_on(servers.consumer(&log, level, arrivals.clone(), &backlog_entities()))?;
    let counts = consumer.counts();
    let consumer = consumer.spawn();
    wait("the consumer's beginning", PATIENCE, || arrivals.has_begun())?;
    let (cpu, start) = (process_cpu(), Instant::now());
    let outbox = runtime.block_on(servers.source.open(Discovery::Decode { slot: Some(slot) }))?;
    let relay = Relay::new(topic()?, outbox, log).spawn();
    let applied = |counts: &ConsumerCounts| counts.applied() + counts.superseded() >= events as u64;
    wait("the backlog's way", DEADLINE, || applied(&counts))?;
    let (took, used) = (start.elapsed(), process_cpu() - cpu);
    stop(&runtime, [relay, consumer])?;
    if counts.parked() > 0 || counts.gaps() > 0 {
        bail!("{} events were parked, {} gaps", counts.parked(), counts.gaps());
    }
    Ok((events as f64 / took.as_secs_f64(), used.as_secs_f64() * 1e6 / events as f64))
}

fn stop(runtime: &tokio::runtime::Runtime, running: [Running; 2]) -> Result<()> {
    for one in running {
        runtime.block_on(one.stop(Duration::from_secs(10)))?;
    }
    Ok(())
}
