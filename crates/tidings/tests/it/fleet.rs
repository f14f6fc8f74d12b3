//! A source whose positions are known, one shared level, and copies of two levels over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tidings::memory::MemoryLevel;
use tidings::{
    AsOf, BoxError, Cached, Clock, Code, Data, Entity, Error, Event, Fence, FenceSettings, Fill, Loaded,
    Offset, Partition, Position, Region, Seen, Shared, Stamp, Time, Timeline, Topic, Truth, View,
    ViewBuilder, Window,
};
use tidings_core::Action;
use tidings_core::port::{Batch, Boxed, Store};
use tidings_core::shared::POSITION;
use tidings_core::shared::level::{Bypass, Claim, Found, Key, Level, Offer, Source, Thing, Unfilled};

use crate::shop::{BOUND, Pause, Rule, settle, v, within};

/// The truth: one price, its version, and where the source stands.
#[derive(Default)]
pub(crate) struct Prices {
    version: AtomicU64,
    position: AtomicU64,
    timeline: AtomicU32,
    pub(crate) is_silent: AtomicBool,
    /// A transaction that writes was begun before everything else, and stays open.
    pub(crate) is_held: AtomicBool,
    pub(crate) asked: AtomicU64,
}

/// What is sure to be in a snapshot while that transaction is open.
const HELD: u64 = 10;

impl Source for Prices {
    fn position(&self) -> Boxed<'_, tidings::Result<AsOf>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let silent = self.is_silent.load(Ordering::SeqCst);
        let answer = if silent { Err(Error::new(Code::BUSY, "silent")) } else { Ok(self.at()) };
        Box::pin(std::future::ready(answer))
    }
}

impl Prices {
    pub(crate) fn at(&self) -> AsOf {
        let timeline = Timeline(self.timeline.load(Ordering::SeqCst));
        AsOf { timeline, at: self.position.load(Ordering::SeqCst) }
    }

    /// What one snapshot shows.
    pub(crate) fn read(&self) -> (u64, AsOf) {
        (self.version.load(Ordering::SeqCst), self.at())
    }

    /// What that snapshot has seen: as long as an older transaction is open, no more than what was before it is sure.
    pub(crate) fn seen(&self) -> Seen {
        let most = self.at();
        let least = if self.is_held.load(Ordering::SeqCst) { HELD } else { most.at };
        Seen { least: AsOf { at: least.min(most.at), ..most }, most }
    }

    /// The next version, and its event.
    pub(crate) fn commit(&self) -> Arc<Event> {
        let position = self.position.fetch_add(10, Ordering::SeqCst) + 10;
        let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        Arc::new(Event {
            id: format!("price#{version}").into(),
            source: "/pricing".into(),
            kind: "price.Changed".into(),
            entity: price(),
            stamp: Stamp { timeline: self.at().timeline, version: v(version) },
            time: Time::from_micros(0),
            window: Window::default(),
            traceparent: None,
            schema: None,
            extensions: vec![(POSITION.into(), position.to_string().into())],
            data: Data::Empty,
        })
    }

    /// A commit that is none of ours.
    pub(crate) fn pass(&self) {
        self.position.fetch_add(10, Ordering::SeqCst);
    }
}

pub(crate) fn price() -> Entity {
    Entity::new("price", "42").unwrap()
}

pub(crate) fn topic() -> Topic {
    Topic::new("pricing").unwrap()
}

/// The same event, without its position.
pub(crate) fn unplaced(event: &Event) -> Arc<Event> {
    Arc::new(Event { extensions: Vec::new(), ..event.clone() })
}

pub(crate) async fn hear(store: &dyn Store, event: &Arc<Event>) {
    let raise = Action::Raise { entity: event.entity.clone(), floor: event.stamp };
    apply(store, &[raise], std::slice::from_ref(event), None).await;
}

pub(crate) async fn bump(store: &dyn Store, region: &Region, event: &Arc<Event>) {
    let bump = Action::Bump { region: region.clone() };
    apply(store, &[bump], std::slice::from_ref(event), None).await;
}

async fn apply(store: &dyn Store, actions: &[Action], events: &[Arc<Event>], caught_up: Option<Time>) {
    let partition = Partition { topic: topic(), index: 0 };
    let next = &Position { partition, offset: Offset(1) };
    let batch = Batch { consumer: "shop", actions, events, parked: &[], next, caught_up };
    store.apply(batch).await.unwrap();
}

pub(crate) struct Fleet {
    pub(crate) clock: Clock,
    pub(crate) prices: Arc<Prices>,
    pub(crate) level: Arc<MemoryLevel>,
    pub(crate) rule: Rule,
}

/// How long others wait for a load.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

impl Fleet {
    /// The source has one version, and the level is live.
    pub(crate) async fn open(rule: Rule) -> Self {
        let clock = Clock::manual();
        clock.advance(Duration::from_secs(100));
        Self::on(rule, clock).await
    }

    pub(crate) async fn on(rule: Rule, clock: Clock) -> Self {
        let prices = Arc::new(Prices::default());
        prices.commit();
        let level = MemoryLevel::new(prices.clone(), clock.clone(), LEASE, 1000);
        level.tend().await.unwrap();
        Self { clock, prices, level, rule }
    }

    pub(crate) fn fence(&self, settings: FenceSettings) -> Arc<Fence> {
        match self.rule {
            Rule::On => Fence::new(settings, self.clock.clone()),
            Rule::Off => Fence::without_accept_rule(settings, self.clock.clone()),
        }
    }

    /// A copy that follows, and knows where it began.
    pub(crate) async fn copy(&self) -> Copy {
        self.copy_over(self.level.clone()).await
    }

    pub(crate) async fn copy_over(&self, level: Arc<dyn Level>) -> Copy {
        self.copy_with(level, FenceSettings::default(), |builder| builder).await
    }

    pub(crate) async fn copy_with(
        &self,
        level: Arc<dyn Level>,
        settings: FenceSettings,
        more: impl FnOnce(ViewBuilder<String, u64>) -> ViewBuilder<String, u64>,
    ) -> Copy {
        let fence = self.fence(settings);
        let builder = View::builder("product", &fence).truth(Truth::Push(BOUND)).jitter(0.0);
        let builder = builder.sources([&topic()]).shared(shared(level, self.prices.clone()));
        let copy = Copy { view: more(builder).build().unwrap(), fence, prices: self.prices.clone() };
        copy.mark().await;
        copy.begin().await;
        // What came without a position is ordered by time.
        self.clock.advance(Duration::from_millis(1));
        copy
    }
}

pub(crate) fn shared(level: Arc<dyn Level>, source: Arc<dyn Source>) -> Shared<String, u64> {
    let decode = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
    Shared::new(level, source, |key: &String| key.clone(), |value: &u64| value.to_be_bytes().into(), decode)
}

/// A process: a fence, and a view of two levels.
#[derive(Clone)]
pub(crate) struct Copy {
    pub(crate) fence: Arc<Fence>,
    pub(crate) view: View<String, u64>,
    pub(crate) prices: Arc<Prices>,
}

impl Copy {
    /// Everything committed before now is applied here.
    pub(crate) async fn mark(&self) {
        apply(&*self.fence, &[], &[], Some(self.fence.clock().wall())).await;
    }

    /// Some look makes it ask the source where it stands. The load declares nothing, so nothing is left in the level.
    pub(crate) async fn begin(&self) {
        let load = async |_: Fill| Ok(Loaded::unversioned(0));
        let key = format!("nothing-{}", self.view.counts().misses);
        within(self.view.get(&key, load)).await.unwrap();
        settle().await;
    }

    pub(crate) async fn hear(&self, event: &Arc<Event>) {
        hear(&*self.fence, event).await;
    }

    /// Reads with a version.
    pub(crate) async fn read(&self) -> Cached<u64> {
        self.read_at(&Pause::none(), true).await
    }

    /// Reads without.
    pub(crate) async fn read_unversioned(&self) -> Cached<u64> {
        self.read_at(&Pause::none(), false).await
    }

    pub(crate) async fn read_at(&self, pause: &Pause, is_versioned: bool) -> Cached<u64> {
        self.read_key("k", pause, is_versioned).await
    }

    pub(crate) async fn read_key(&self, key: &str, pause: &Pause, is_versioned: bool) -> Cached<u64> {
        let load = |fill| load(fill, self.prices.clone(), pause.clone(), is_versioned);
        let answer = within(self.view.get(&key.into(), load)).await.unwrap();
        // What is offered to the shared level, or given up, is so in the background.
        settle().await;
        answer
    }

    pub(crate) fn spawn(&self, pause: &Pause, is_versioned: bool) -> tokio::task::JoinHandle<Cached<u64>> {
        let (copy, pause) = (self.clone(), pause.clone());
        tokio::spawn(async move { copy.read_at(&pause, is_versioned).await })
    }
}

pub(crate) async fn load(
    fill: Fill,
    prices: Arc<Prices>,
    pause: Pause,
    is_versioned: bool,
) -> Result<Loaded<u64>, BoxError> {
    let (seen, at) = prices.read();
    pause.pass().await;
    fill.read_at(at);
    match is_versioned {
        true => fill.depends_at("price", "42", Stamp { timeline: at.timeline, version: v(seen) }),
        false => fill.depends_unversioned("price", "42"),
    }
    Ok(if is_versioned { Loaded::new(v(seen), seen) } else { Loaded::unversioned(seen) })
}

/// A level on the other side of a bad line.
pub(crate) struct Line {
    pub(crate) level: Arc<MemoryLevel>,
    /// Between an answer and whoever asked.
    pub(crate) pause: Pause,
    pub(crate) is_down: AtomicBool,
    pub(crate) takes: Duration,
}

impl Line {
    pub(crate) fn new(level: &Arc<MemoryLevel>, pause: Pause) -> Arc<Self> {
        let (level, is_down) = (level.clone(), AtomicBool::new(false));
        Arc::new(Self { level, pause, is_down, takes: Duration::ZERO })
    }
}

impl Level for Line {
    fn lookup<'a>(&'a self, key: &'a Key, expects: &'a [Thing]) -> Boxed<'a, Found> {
        Box::pin(async move {
            if self.is_down.load(Ordering::SeqCst) {
                return Found::Bypass(Bypass::Failed(Error::new(Code::BUSY, "down")));
            }
            if !self.takes.is_zero() {
                // The clock of these tests stands still but for what waits on it.
                let _ = tokio::time::timeout(self.takes, std::future::pending::<()>()).await;
            }
            let found = self.level.lookup(key, expects).await;
            if matches!(found, Found::Hit(_)) {
                self.pause.pass().await;
            }
            found
        })
    }

    fn fill<'a>(&'a self, claim: &'a Claim, offer: Offer<'a>) -> Boxed<'a, tidings::Result<(), Unfilled>> {
        self.level.fill(claim, offer)
    }

    fn abandon<'a>(&'a self, claim: &'a Claim) -> Boxed<'a, ()> {
        self.level.abandon(claim)
    }
}
