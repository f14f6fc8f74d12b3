//! The fence of one process: what it knows of entities, regions and how far it has caught up.
//!
//! All views of a process share one. The rules are [`tidings_core::fence`]; here they get atomics and locks.
//!
//! The hit path reads one atomic per dependency, its **stripe**: the last tick at which any entity with the same hash
//! bits moved. Only if that is newer than what the entry was last found good at are the exact floors asked, under a
//! lock, and the entry's stamp is brought up to date. So a hit normally takes no lock of ours, costs no memory per
//! entity, and an invalidation is one store, however many entries depend on it.
//!
//! Why a stamp can be trusted: an invalidation takes its tick *inside* the lock of its floors, and records the floor
//! before it lets go. Whoever has read tick `t` and then takes that lock sees every floor that moved up to `t`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidings_core::fence::{Fingerprint, Floors, Held, Knowledge, Known, Limits, Raised, Refusal, Tick};
use tidings_core::port::{Batch, Boxed, Store};
use tidings_core::{Action, Entity, Event, Partition, Region, Result, Stamp, Time, Timeline, Topic};

use crate::clock::{Clock, Moment};

mod hold;

pub(crate) use hold::Hold;

/// Few enough to stay in a core's own cache: 64 KiB.
const STRIPES: usize = 1 << 13;
const SHARDS: usize = 64;

/// How much a fence remembers.
#[derive(Debug, Clone, Copy)]
pub struct FenceSettings {
    /// The most floors kept (about 64 bytes each). Beyond it the oldest is forgotten, and what it guarded is reloaded.
    pub floors: usize,
    /// How long a floor must be kept: the longest load, the source's greatest lag and the redelivery window together.
    pub keep: Duration,
    /// How far the clocks of sources on other hosts may differ from this one's; added to every age. Zero if all
    /// sources run on this host.
    pub clock_error: Duration,
}

impl Default for FenceSettings {
    fn default() -> Self {
        Self { floors: 1 << 18, keep: Duration::from_secs(90), clock_error: Duration::ZERO }
    }
}

/// What a process knows that bounds what its caches may serve. See the module's page.
pub struct Fence {
    clock: Clock,
    seed: u64,
    settings: FenceSettings,
    tick: AtomicU64,
    stripes: Box<[AtomicU64]>,
    shards: Box<[Mutex<Floors>]>,
    knowledge: Mutex<Knowledge>,
    views: Mutex<Vec<Weak<dyn Subscriber>>>,
    /// Since when news has been followed without interruption, in nanoseconds of the clock.
    followed: AtomicU64,
    /// The newest timeline heard of, by kind of entity.
    timelines: Mutex<BTreeMap<String, Timeline>>,
    /// Whether the accept rule is enforced. Only tests turn it off, to show that they can fail.
    enforced: bool,
}

/// What a view hears from its fence.
pub(crate) trait Subscriber: Send + Sync {
    fn name(&self) -> &str;
    /// The topics whose marks bound the age of its entries.
    fn sources(&self) -> &[Topic];
    /// Everything committed before `since` is known here.
    fn caught_up(&self, since: Moment);
    /// Something may have been missed.
    fn open_epoch(&self);
    fn refresh(&self, key: &str);
    fn update(&self, key: &str, events: &[Arc<Event>]);
}

impl Fence {
    /// A fence that knows nothing yet.
    #[must_use]
    pub fn new(settings: FenceSettings, clock: Clock) -> Arc<Self> {
        Arc::new(Self::build(settings, clock, true))
    }

    /// A fence whose accept rule is switched off: whatever a fill brings is kept and served. Nothing but a test of
    /// the tests wants this.
    #[doc(hidden)]
    #[must_use]
    pub fn without_accept_rule(settings: FenceSettings, clock: Clock) -> Arc<Self> {
        Arc::new(Self::build(settings, clock, false))
    }

    fn build(settings: FenceSettings, clock: Clock, enforced: bool) -> Self {
        let limits = Limits {
            raised: (settings.floors / SHARDS).max(1),
            learned: (settings.floors / SHARDS / 4).max(1),
            keep: settings.keep,
        };
        Self {
            clock,
            seed: random_seed(),
            settings,
            tick: AtomicU64::new(0),
            stripes: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(),
            shards: (0..SHARDS).map(|_| Mutex::new(Floors::new(limits))).collect(),
            knowledge: Mutex::default(),
            views: Mutex::default(),
            followed: AtomicU64::new(0),
            timelines: Mutex::default(),
            enforced,
        }
    }

    /// An event's news: answers derived from an older version of the entity are no longer served. The first news from a
    /// new timeline leaves nothing vouched for: the source may have lost and issued again any version.
    pub fn raise(&self, entity: &Entity, floor: Stamp) {
        if floor.timeline > Timeline(0) && self.is_new_timeline(entity.kind(), floor.timeline) {
            self.lose_track();
        }
        let key = self.key(entity.kind(), entity.id());
        let now = self.clock.elapsed();
        self.moving(key, |floors, tick| floors.raise(key, floor, tick, now));
    }

    /// Answers derived from the region are no longer served.
    pub fn bump(&self, region: &Region) {
        let key = self.region_key(region.as_str());
        let now = self.clock.elapsed();
        self.moving(key, |floors, tick| {
            floors.bump(key, tick, now);
            Raised::Moved
        });
    }

    /// The lowest version of the entity that may still be served, if any is known.
    #[must_use]
    pub fn floor(&self, entity: &Entity) -> Option<Stamp> {
        self.floor_of(self.key(entity.kind(), entity.id()))
    }

    /// How many floors are held.
    #[must_use]
    pub fn floors(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// The source time up to which everything in this topic has been applied here; `None` before its first marks.
    #[must_use]
    pub fn caught_up(&self, topic: &Topic) -> Option<Time> {
        self.knowledge.lock().of(topic).map(|known| known.time)
    }

    /// The clock that everything here goes by.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) const fn settings(&self) -> &FenceSettings {
        &self.settings
    }

    fn is_new_timeline(&self, kind: &str, timeline: Timeline) -> bool {
        let mut timelines = self.timelines.lock();
        let newest = timelines.entry(kind.to_owned()).or_default();
        let rises = *newest < timeline;
        *newest = (*newest).max(timeline);
        rises
    }

    /// Something may have been missed: nothing held is vouched for until it is checked, nor anything loaded from a state
    /// older than now.
    fn lose_track(&self) {
        let now = u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.followed.fetch_max(now, Ordering::AcqRel);
        self.each_view(|view| view.open_epoch());
    }

    /// Marks vouch only for what was loaded from a state at least as new as this.
    pub(crate) fn followed_since(&self) -> Duration {
        Duration::from_nanos(self.followed.load(Ordering::Acquire))
    }

    pub(crate) const fn is_enforced(&self) -> bool {
        self.enforced
    }

    pub(crate) fn subscribe(&self, view: Weak<dyn Subscriber>) {
        let mut views = self.views.lock();
        views.retain(|view| view.strong_count() > 0);
        views.push(view);
    }

    pub(crate) fn key(&self, kind: &str, id: &str) -> Fingerprint {
        use xxhash_rust::xxh3::xxh3_64_with_seed as hash;
        Fingerprint(hash(id.as_bytes(), hash(kind.as_bytes(), self.seed)))
    }

    pub(crate) fn region_key(&self, name: &str) -> Fingerprint {
        Fingerprint(xxhash_rust::xxh3::xxh3_64_with_seed(name.as_bytes(), !self.seed))
    }

    pub(crate) fn floor_of(&self, key: Fingerprint) -> Option<Stamp> {
        self.shard(key).lock().standing(key).map(|standing| standing.floor)
    }

    /// The order of now. What is loaded under this ticket is refused if something it was derived from moves later.
    pub(crate) fn tick(&self) -> Tick {
        Tick(self.tick.load(Ordering::Acquire))
    }

    /// Whether an entry with these holds, found good at `good_at`, may still be served. Lock-free unless one of the
    /// stripes has moved since.
    pub(crate) fn stands(&self, holds: &[Hold], good_at: &AtomicU64) -> bool {
        let stamp = good_at.load(Ordering::Acquire);
        let newest =
            holds.iter().map(|hold| self.stripe(hold.key).load(Ordering::Acquire)).max().unwrap_or(0);
        newest <= stamp || self.stands_exactly(holds, good_at, Tick(stamp), newest)
    }

    #[cold]
    fn stands_exactly(&self, holds: &[Hold], good_at: &AtomicU64, stamp: Tick, newest: u64) -> bool {
        let check = |hold: &Hold| self.shard(hold.key).lock().check_entry(hold.key, hold.held(), stamp);
        // All of them, after `newest` was read: see the module's page.
        if holds.iter().all(|hold| check(hold).is_ok()) {
            good_at.fetch_max(newest, Ordering::AcqRel);
            return true;
        }
        !self.enforced
    }

    /// Whether anything a load has shown interest in has moved since its ticket, so that it is bound to be refused.
    pub(crate) fn is_outrun(&self, holds: &[Hold], ticket: Tick) -> bool {
        let now = self.clock.elapsed();
        let check = |hold: &Hold| self.shard(hold.key).lock().check_fill(hold.key, hold.held(), ticket, now);
        self.enforced && holds.iter().any(|hold| check(hold).is_err())
    }

    /// The accept rule for a fill, and what it teaches: whatever becomes of the fill, the versions it saw are true, so
    /// nothing older is served here from now on. (A view without sources teaches nothing: no mark would ever settle it.)
    /// Returns the tick at which the fill is good.
    pub(crate) fn admit(&self, holds: &[Hold], ticket: Tick, teach: bool) -> Result<Tick, Refusal> {
        let now = self.clock.elapsed();
        let good_at = self.tick();
        let mut taught = 0;
        for hold in holds.iter().filter(|_| teach) {
            let Held::At(seen) = hold.held() else { continue };
            let mut floors = self.shard(hold.key).lock();
            let tick = Tick(self.tick.fetch_add(1, Ordering::AcqRel) + 1);
            if floors.learn(hold.key, seen, tick, now) == Raised::Moved {
                self.stripe(hold.key).fetch_max(tick.0, Ordering::AcqRel);
            }
            taught += 1;
        }
        let mut verdict = Ok(());
        for hold in holds {
            let found = self.shard(hold.key).lock().check_fill(hold.key, hold.held(), ticket, now);
            // Of several refusals, the one that shows the source behind says the most.
            if verdict.is_ok() || matches!(found, Err(Refusal::BelowFloor(_))) {
                verdict = found;
            }
        }
        match verdict {
            Err(refusal) if self.enforced => Err(refusal),
            // If nobody else moved anything meanwhile, what this fill taught does not have to be checked again.
            _ if self.tick().0 == good_at.0 + taught => Ok(Tick(good_at.0 + taught)),
            _ => Ok(good_at),
        }
    }

    fn moving(&self, key: Fingerprint, change: impl FnOnce(&mut Floors, Tick) -> Raised) {
        let mut floors = self.shard(key).lock();
        let tick = Tick(self.tick.fetch_add(1, Ordering::AcqRel) + 1);
        if change(&mut floors, tick) == Raised::Moved {
            self.stripe(key).fetch_max(tick.0, Ordering::AcqRel);
        }
    }

    fn stripe(&self, key: Fingerprint) -> &AtomicU64 {
        &self.stripes[usize::try_from(key.0).unwrap_or(0) % STRIPES]
    }

    fn shard(&self, key: Fingerprint) -> &Mutex<Floors> {
        &self.shards[usize::try_from(key.0 >> 32).unwrap_or(0) % SHARDS]
    }

    fn each_view(&self, mut tell: impl FnMut(&dyn Subscriber)) {
        let views: Vec<_> = self.views.lock().iter().filter_map(Weak::upgrade).collect();
        views.iter().for_each(|view| tell(&**view));
    }

    fn act(&self, action: &Action) {
        match action {
            Action::Raise { entity, floor } => self.raise(entity, *floor),
            Action::Bump { region } => self.bump(region),
            Action::Refresh { view, key } => self.each_view(|v| {
                if v.name() == &**view {
                    v.refresh(key);
                }
            }),
            Action::Update { view, key, events } => self.each_view(|v| {
                if v.name() == &**view {
                    v.update(key, events);
                }
            }),
        }
    }

    fn catch_up(&self, consumer: &str, partition: &Partition, time: Time) {
        // Both clocks are read once, together, so that nothing in between can make the mark look younger.
        let (elapsed, wall) = (self.clock.elapsed(), self.clock.wall());
        let age = wall.since(time).saturating_add(self.settings.clock_error);
        let mut knowledge = self.knowledge.lock();
        knowledge.advance(consumer, partition, Known { time, since: elapsed.saturating_sub(age) });
        // What fills taught is settled once every view's sources have told everything from before it.
        let mut settled = Some(Duration::MAX);
        self.each_view(|view| {
            let known = view.sources().iter().map(|topic| knowledge.of(topic).map(|known| known.since)).min();
            if let Some(Some(since)) = known {
                view.caught_up(Moment::of(since));
            }
            settled = known.map_or(settled, |known| settled.min(known));
        });
        drop(knowledge);
        if let Some(settled) = settled.filter(|settled| *settled < Duration::MAX) {
            self.shards.iter().for_each(|shard| shard.lock().settle(settled));
        }
    }
}

impl Store for Fence {
    fn begin<'a>(&'a self, consumer: &'a str, partitions: &'a [Partition]) -> Boxed<'a, Result<()>> {
        self.knowledge.lock().begin(consumer, partitions);
        self.lose_track();
        Box::pin(std::future::ready(Ok(())))
    }

    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>> {
        batch.actions.iter().for_each(|action| self.act(action));
        if let Some(time) = batch.caught_up {
            self.catch_up(batch.consumer, &batch.next.partition, time);
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn open_epoch<'a>(&'a self, _why: &'a str) -> Boxed<'a, Result<()>> {
        self.lose_track();
        Box::pin(std::future::ready(Ok(())))
    }
}

impl std::fmt::Debug for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fence")
            .field("tick", &self.tick)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Keys the hash of names per process, so that nobody can choose ids that share a floor.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("tidings")
}
