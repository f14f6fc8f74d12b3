//! Ten copies that each hear everything, beside a group of three that shares the work on what the copies share.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use services::Service;
use tidings::{
    AsOf, Clock, Consumer, Event, Fence, FenceSettings, Fill, Loaded, Observer, Outcome, Running, Shared,
    Start, Timeline, Topic, Truth, Version, View, Window,
};
use tidings_core::event::Data;
use tidings_core::port::{Append, Boxed, Log, Record};
use tidings_core::shared::POSITION;
use tidings_core::shared::level::{Found, Key, Level, Source, Thing};
use tidings_core::{Entity, Mark, Partition, Stamp};
use tidings_kafka::{KafkaLog, KafkaSettings};
use tidings_redis::{Follows, RedisLevel, RedisStore, Settings};
use tidings_testkit::until;

const COPIES: usize = 10;
const PARTITIONS: u32 = 6;
const PRICES: usize = 48;
const ROUNDS: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(30);

/// The truth: the version of each price, and how many commits there were.
struct Prices(Mutex<(Vec<u64>, u64)>);

impl Prices {
    fn now(&self) -> MutexGuard<'_, (Vec<u64>, u64)> {
        self.0.lock().unwrap()
    }

    fn at(&self) -> AsOf {
        AsOf { timeline: Timeline(0), at: self.now().1 }
    }

    /// What one snapshot shows.
    fn read(&self, price: usize) -> (Version, AsOf) {
        let now = self.now();
        (Version::new(now.0[price]).unwrap(), AsOf { timeline: Timeline(0), at: now.1 })
    }

    fn commit(&self, price: usize) -> Append {
        let mut now = self.now();
        now.1 += 1;
        now.0[price] += 1;
        let (version, position) = (now.0[price], now.1);
        let event = Event {
            id: format!("{price}#{version}").into(),
            source: "/prices".into(),
            kind: "prices.Changed".into(),
            entity: entity(price),
            stamp: Stamp::of(Version::new(version).unwrap()),
            time: Clock::system().wall(),
            window: Window::default(),
            traceparent: None,
            schema: None,
            extensions: vec![(POSITION.into(), position.to_string().into())],
            data: Data::Empty,
        };
        let index = u32::try_from(price).unwrap() % PARTITIONS;
        Append { partition: partition(index), record: Record::Event(Arc::new(event)) }
    }
}

impl Source for Prices {
    fn position(&self) -> Boxed<'_, tidings_core::Result<AsOf>> {
        Box::pin(std::future::ready(Ok(self.at())))
    }
}

/// Which versions of which prices somebody has heard of, and whether it listens.
#[derive(Default)]
struct Heard {
    versions: Mutex<BTreeSet<(String, u64)>>,
    listens: Mutex<bool>,
}

impl Heard {
    fn all(&self) -> BTreeSet<(String, u64)> {
        self.versions.lock().unwrap().clone()
    }
}

impl Observer for Heard {
    fn outcomes(&self, outcomes: &[(Arc<Event>, Outcome)]) {
        let heard = |event: &Event| (event.entity.to_string(), event.stamp.version.number());
        self.versions.lock().unwrap().extend(outcomes.iter().map(|(event, _)| heard(event)));
    }

    fn began(&self, _: &[tidings_core::Position]) {
        *self.listens.lock().unwrap() = true;
    }

    fn gap(&self, partition: &Partition, why: &str) {
        panic!("nothing was missed in {partition:?}, but: {why}");
    }
}

/// One of several processes that read.
struct Copy {
    view: View<usize, u64>,
    heard: Arc<Heard>,
    running: Running,
    shown: Vec<u64>,
}

impl Copy {
    fn start(number: usize, log: &Arc<KafkaLog>, level: &RedisLevel, prices: &Arc<Prices>) -> Self {
        let fence = Fence::new(FenceSettings::default(), Clock::system());
        let decode = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
        let encode = |value: &u64| value.to_be_bytes().to_vec();
        let shared = Shared::new(Arc::new(level.clone()), prices.clone(), usize::to_string, encode, decode);
        let prices = prices.clone();
        let loader = move |price: usize, fill: Fill| {
            let prices = prices.clone();
            async move {
                let (version, as_of) = prices.read(price);
                fill.read_at(as_of);
                fill.depends("price", &price.to_string(), version);
                Ok(Loaded::new(version, version.number()))
            }
        };
        let view = View::builder("price", &fence).truth(Truth::Push(Duration::from_secs(60)));
        let view = view.sources([&topic()]).shared(shared).loader(loader).build().unwrap();
        let heard = Arc::new(Heard::default());
        let consumer = Consumer::builder(&format!("copy-{number}"), log.clone())
            .topics([&topic()])
            .start(Start::Head)
            .store(fence)
            .observer(heard.clone());
        Self { view, heard, running: consumer.build().unwrap().spawn(), shown: vec![0; PRICES] }
    }

    /// Reads them all; what was shown is never taken back.
    async fn read_all(&mut self) {
        for (price, shown) in self.shown.iter_mut().enumerate() {
            let seen = *self.view.read(&price).await.unwrap().value().unwrap();
            assert!(seen >= *shown, "price {price} went back from {shown} to {seen}");
            *shown = seen;
        }
    }
}

/// One of a group.
fn member(group: &str, log: &Arc<KafkaLog>, store: &RedisStore) -> (Running, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let consumer = Consumer::builder(group, log.clone())
        .shared_by(Arc::new(log.join(group, &[topic()]).unwrap()))
        .store(Arc::new(store.clone()))
        .observer(heard.clone());
    (consumer.build().unwrap().spawn(), heard)
}

fn topic() -> Topic {
    Topic::new("prices").unwrap()
}

fn partition(index: u32) -> Partition {
    Partition { topic: topic(), index }
}

fn entity(price: usize) -> Entity {
    Entity::new("price", &price.to_string()).unwrap()
}

fn marks(prices: &Prices) -> Vec<Append> {
    let mark = Mark { time: Clock::system().wall(), head: prices.at().at };
    (0..PARTITIONS).map(|index| Append { partition: partition(index), record: Record::Mark(mark) }).collect()
}

/// Commits a version of every price, and publishes them.
async fn round(log: &KafkaLog, prices: &Prices) {
    let batch: Vec<_> = (0..PRICES).map(|price| prices.commit(price)).collect();
    log.append(&batch).await.unwrap();
    log.append(&marks(prices)).await.unwrap();
}

/// What the group has heard, the level knows: it has no answer from before.
async fn is_known_to(level: &RedisLevel, newest: u64) {
    for price in 0..PRICES {
        let key = Key { view: "other".into(), key: price.to_string().into() };
        let Found::Claim(claim) = level.lookup(&key, &[Thing::Entity(entity(price))]).await else {
            panic!("a key that nobody filled")
        };
        assert_eq!(claim.floors[0].version.number(), newest, "price {price}");
        level.abandon(&claim).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_copies_each_hear_everything_and_a_group_of_three_shares_the_level() {
    if services::embedded_only() {
        println!("skipped: it needs Kafka and Redis, and TIDINGS_TEST_EMBEDDED is set");
        return;
    }
    let name = format!("fleet-{:x}-", rand::random::<u64>());
    let mut settings = KafkaSettings::new(services::address(Service::Kafka).unwrap());
    settings.prefix = name.clone();
    settings.topics.partitions = PARTITIONS;
    let log = KafkaLog::open(settings).unwrap();
    log.partitions(&topic()).await.unwrap();
    let redis = Settings {
        timeout: Duration::from_secs(10),
        ..Settings::new(&services::address(Service::Redis).unwrap(), &name)
    };
    let level = RedisLevel::connect(redis).await.unwrap();
    let prices = Arc::new(Prices(Mutex::new((vec![1; PRICES], PRICES as u64))));
    let store = RedisStore::new(level.clone(), prices.clone(), Follows::Group);
    store.tend().await.unwrap();

    let mut copies: Vec<_> = (0..COPIES).map(|number| Copy::start(number, &log, &level, &prices)).collect();
    for copy in &copies {
        until("a copy listens", async || copy.heard.listens.lock().unwrap().then_some(())).await;
    }
    let mut members: Vec<_> = (0..3).map(|_| member(&name, &log, &store)).collect();
    let mut parts: Vec<_> = members.iter().map(|(_, heard)| heard.clone()).collect();
    // Every member has its share before there is anything to do.
    for heard in &parts {
        until("a member has its share", async || heard.listens.lock().unwrap().then_some(())).await;
    }
    for number in 1..=ROUNDS {
        round(&log, &prices).await;
        for copy in &mut copies {
            copy.read_all().await;
        }
        match number {
            // Ended where it is, in the middle of its work.
            2 => drop(members.remove(0)),
            3 => {
                members.push(member(&name, &log, &store));
                parts.push(members[2].1.clone());
            }
            4 => members.remove(0).0.stop(PATIENCE).await.unwrap(),
            _ => {}
        }
    }

    let newest = ROUNDS + 1;
    let everything: BTreeSet<_> = (0..PRICES)
        .flat_map(|price| (2..=newest).map(move |version| (entity(price).to_string(), version)))
        .collect();
    for copy in &copies {
        until("a copy has heard everything", async || (copy.heard.all() == everything).then_some(())).await;
    }
    let together = || parts.iter().flat_map(|heard| heard.all()).collect::<BTreeSet<_>>();
    until("the group has heard everything", async || (together() == everything).then_some(())).await;
    for (number, heard) in parts.iter().enumerate() {
        assert_ne!(heard.all(), everything, "member {number} has done it all");
    }
    assert!(parts[..3].iter().all(|heard| !heard.all().is_empty()), "three have shared the work");
    is_known_to(&level, newest).await;
    for copy in &mut copies {
        copy.read_all().await;
        assert_eq!(copy.shown, vec![newest; PRICES]);
    }
    let promoted: u64 = copies.iter().map(|copy| copy.view.counts().l2_hits).sum();
    assert!(promoted > 0, "nobody took what another had loaded");
    for copy in copies {
        copy.running.stop(PATIENCE).await.unwrap();
    }
    for (running, _) in members {
        running.stop(PATIENCE).await.unwrap();
    }
}
