//! A shop with one source, and caches of its answers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use services::{Redis, Service};
use tidings_core::event::Data;
use tidings_core::port::{Batch, Boxed, Store};
use tidings_core::shared::AsOf;
use tidings_core::shared::level::{Claim, Found, Kept, Key, Level, Offer, Part, Source, Thing, Unfilled};
use tidings_core::{
    Action, Entity, Event, Offset, Partition, Position, Result, Stamp, Time, Timeline, Topic, Version, Window,
};
use tidings_redis::{Follows, POSITION, RedisLevel, RedisStore, Settings};

/// Whether this test needs servers that are not to be used here.
pub(crate) fn skipped() -> bool {
    let skipped = services::embedded_only();
    if skipped {
        eprintln!("skipped: no servers here");
    }
    skipped
}

/// Where all tests meet; each has a namespace of its own.
pub(crate) fn shared_server() -> String {
    services::address(Service::Redis).unwrap()
}

pub(crate) fn namespace() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("t{nanos:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Patient: the machine that tests run on is often busy.
pub(crate) fn settings(addresses: &str, namespace: &str) -> Settings {
    Settings { timeout: Duration::from_secs(10), ..Settings::new(addresses, namespace) }
}

/// A source that stands where it is put.
#[derive(Default)]
pub(crate) struct Place {
    timeline: AtomicU32,
    at: AtomicU64,
    pub(crate) asked: AtomicU64,
    /// What happens at the source's while it is asked.
    meanwhile: Mutex<Option<Boxed<'static, ()>>>,
}

impl Place {
    pub(crate) fn put(&self, timeline: u32, at: u64) {
        self.timeline.store(timeline, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
    }

    /// Never back.
    pub(crate) fn reach(&self, at: u64) {
        self.at.fetch_max(at, Ordering::SeqCst);
    }

    pub(crate) fn meanwhile(&self, what: impl Future<Output = ()> + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::pin(what));
    }
}

impl Source for Place {
    fn position(&self) -> Boxed<'_, Result<AsOf>> {
        Box::pin(async {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let meanwhile = self.meanwhile.lock().unwrap().take();
            if let Some(meanwhile) = meanwhile {
                meanwhile.await;
            }
            let timeline = Timeline(self.timeline.load(Ordering::SeqCst));
            Ok(AsOf { timeline, at: self.at.load(Ordering::SeqCst) })
        })
    }
}

/// A process that reads and one that consumes, over one connection.
pub(crate) struct Shop {
    pub(crate) level: RedisLevel,
    pub(crate) store: RedisStore,
    pub(crate) source: Arc<Place>,
}

impl Shop {
    /// A cache that stands open at position 5.
    pub(crate) async fn open(settings: Settings) -> Self {
        let level = RedisLevel::connect(settings).await.unwrap();
        let source = Arc::new(Place::default());
        source.put(0, 5);
        let store = RedisStore::new(level.clone(), source.clone(), Follows::Group);
        store.tend().await.unwrap();
        Self { level, store, source }
    }

    pub(crate) async fn shared() -> Self {
        Self::open(settings(&shared_server(), &namespace())).await
    }

    /// On a server of its own.
    pub(crate) async fn alone(server: &Redis) -> Self {
        Self::open(settings(&server.url(), "shop")).await
    }

    pub(crate) async fn look(&self) -> Found {
        self.level.lookup(&key(), &[price()]).await
    }

    /// Looks again until the connection is back.
    pub(crate) async fn look_again(&self) -> Found {
        loop {
            match self.look().await {
                Found::Bypass(
                    tidings_core::shared::level::Bypass::Failed(_)
                    | tidings_core::shared::level::Bypass::Resting,
                ) => tokio::task::yield_now().await,
                found => return found,
            }
        }
    }

    pub(crate) async fn miss(&self) -> Claim {
        match self.look().await {
            Found::Claim(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn hit(&self) -> Kept {
        match self.look().await {
            Found::Hit(kept) => kept,
            other => panic!("{other:?}"),
        }
    }

    /// Fills with a version of the price, read when the source stood there.
    pub(crate) async fn fill(&self, claim: &Claim, version: u64, as_of: u64) -> Result<(), Unfilled> {
        let parts = [Part { thing: price(), stamp: Some(at(version)) }];
        self.level.fill(claim, offer(format!("v{version}").as_bytes(), &parts, as_of)).await
    }

    /// The consumer hears of a new version of the price.
    pub(crate) async fn hear(&self, version: u64, position: u64) -> Result<()> {
        self.source.reach(position);
        hear(&self.store, version, position).await
    }
}

pub(crate) async fn hear(store: &RedisStore, version: u64, position: u64) -> Result<()> {
    let event = Arc::new(event("price/42", version, Some(position)));
    let actions = [Action::Raise { entity: event.entity.clone(), floor: event.stamp }];
    apply(store, &actions, &[event]).await
}

pub(crate) async fn apply(store: &RedisStore, actions: &[Action], events: &[Arc<Event>]) -> Result<()> {
    let partition = Partition { topic: Topic::new("prices").unwrap(), index: 0 };
    let next = Position { partition, offset: Offset(1) };
    let batch = Batch { consumer: "shop", actions, events, parked: &[], next: &next, caught_up: None };
    store.apply(batch).await
}

pub(crate) fn offer<'a>(value: &'a [u8], parts: &'a [Part], as_of: u64) -> Offer<'a> {
    let hard = Duration::from_secs(600);
    Offer { value, parts, as_of: pos(as_of), soft: None, hard, flags: 0 }
}

pub(crate) fn key() -> Key {
    Key { view: "product".into(), key: "42".into() }
}

pub(crate) fn price() -> Thing {
    Thing::Entity(Entity::new("price", "42").unwrap())
}

pub(crate) fn at(version: u64) -> Stamp {
    Stamp::of(Version::new(version).unwrap())
}

pub(crate) fn pos(at: u64) -> AsOf {
    AsOf { timeline: Timeline(0), at }
}

pub(crate) fn event(entity: &str, version: u64, position: Option<u64>) -> Event {
    let position = position.map(|at| (POSITION.into(), at.to_string().into()));
    Event {
        id: format!("{entity}#{version}").into(),
        source: "/prices".into(),
        kind: "prices.Changed".into(),
        entity: Entity::parse(entity).unwrap(),
        stamp: at(version),
        time: Time::from_micros(0),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: position.into_iter().collect(),
        data: Data::Empty,
    }
}
