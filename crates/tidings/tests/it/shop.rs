//! A small world to race in: one source, one fence, views whose loads stop where a test wants them to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidings::{
    BoxError, Cached, Clock, Entity, Fence, FenceSettings, Fill, Freshness, Loaded, Region, Stamp, Truth,
    Version, View, ViewBuilder,
};
use tokio::sync::Semaphore;

/// Whether the accept rule is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    On,
    Off,
}

/// How long anything may take before a test gives up on it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) const BOUND: Duration = Duration::from_secs(2);

pub(crate) struct Shop {
    pub(crate) clock: Clock,
    pub(crate) fence: Arc<Fence>,
}

impl Shop {
    pub(crate) fn open(rule: Rule) -> Self {
        let clock = Clock::manual();
        // Zero is the moment before the world began.
        clock.advance(Duration::from_secs(100));
        let fence = match rule {
            Rule::On => Fence::new(FenceSettings::default(), clock.clone()),
            Rule::Off => Fence::without_accept_rule(FenceSettings::default(), clock.clone()),
        };
        Self { clock, fence }
    }

    pub(crate) fn builder(&self) -> ViewBuilder<String, u64> {
        View::builder("product", &self.fence).truth(Truth::Push(BOUND)).jitter(0.0)
    }

    pub(crate) fn view(&self) -> View<String, u64> {
        self.builder().build().unwrap()
    }

    /// The news of a commit is applied.
    pub(crate) fn hear(&self, kind: &str, id: &str, version: u64) {
        self.fence.raise(&Entity::new(kind, id).unwrap(), stamp(version));
    }

    pub(crate) fn bump(&self, name: &str, value: &str) {
        self.fence.bump(&Region::new(name, value).unwrap());
    }
}

/// The truth: one number, which is its version too.
#[derive(Clone)]
pub(crate) struct Source(Arc<AtomicU64>);

impl Source {
    pub(crate) fn at(version: u64) -> Self {
        Self(Arc::new(AtomicU64::new(version)))
    }

    pub(crate) fn commit(&self, version: u64) {
        self.0.store(version, Ordering::SeqCst);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Stops the first load that passes it, between reading and landing.
#[derive(Clone)]
pub(crate) struct Pause(Arc<(Semaphore, Semaphore, AtomicU64)>);

impl Pause {
    pub(crate) fn first() -> Self {
        Self(Arc::new((Semaphore::new(0), Semaphore::new(0), AtomicU64::new(0))))
    }

    /// Stops nobody.
    pub(crate) fn none() -> Self {
        let pause = Self::first();
        pause.0.2.store(1, Ordering::SeqCst);
        pause
    }

    /// For loads: the first one waits here until released.
    pub(crate) async fn pass(&self) {
        let (reached, released, passed) = &*self.0;
        if passed.fetch_add(1, Ordering::SeqCst) == 0 {
            reached.add_permits(1);
            released.acquire().await.unwrap().forget();
        }
    }

    /// For the test: until a load waits here.
    pub(crate) async fn reached(&self) {
        within(self.0.0.acquire()).await.unwrap().forget();
    }

    pub(crate) fn release(&self) {
        self.0.1.add_permits(1);
    }
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("it should have happened by now")
}

/// Lets every other task go as far as it can without time passing.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn stamp(version: u64) -> Stamp {
    Stamp::of(v(version))
}

pub(crate) fn v(version: u64) -> Version {
    Version::new(version).unwrap()
}

/// Reads the source, pauses, and lands with what it read, held to its version.
pub(crate) async fn load(fill: Fill, source: &Source, pause: &Pause) -> Result<Loaded<u64>, BoxError> {
    let seen = source.read();
    pause.pass().await;
    fill.depends("price", "42", v(seen));
    Ok(Loaded::new(v(seen), seen))
}

/// What a race came to: nothing old may be served from the cache as good.
pub(crate) fn not_cached_below(view: &View<String, u64>, key: &str, floor: u64) -> Result<(), String> {
    match view.cached(&key.to_owned()).and_then(|hit| hit.value().copied()) {
        Some(old) if old < floor => Err(format!("{key} is cached at {old}, although {floor} is known")),
        _ => Ok(()),
    }
}

/// An answer below what was known before it was asked for is only right if it says so.
pub(crate) fn honest(answer: &Cached<u64>, floor: u64) -> Result<(), String> {
    let claims = !matches!(answer.freshness(), Freshness::Stale(_) | Freshness::Unverified);
    match answer.value() {
        Some(old) if *old < floor && claims => {
            Err(format!("{old} is served as {}, although {floor} is known", answer.freshness()))
        }
        _ => Ok(()),
    }
}
