//! The fence of one process: what it knows of entities, regions and how far it has caught up.
//!
//! All views of a process share one. The rules are [`tidings_core::fence`]; here they get atomics and locks.
//!
//! - `board`: floors for many threads at once, and the order in which they are read and moved;
//! - `news`: where the source was when it made what was heard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidings_core::fence::{Fingerprint, Knowledge, Known, Limits, Refusal, Tick};
use tidings_core::port::{Batch, Boxed, Store};
use tidings_core::shared::Place;
use tidings_core::{Action, Entity, Event, Partition, Region, Result, Stamp, Time, Timeline, Topic, Window};

use crate::clock::{Clock, Moment};

mod board;
mod hold;
mod news;
mod sync;

use board::Board;
pub(crate) use hold::Hold;
use news::News;

/// So many floors share a lock...
const FLOORS_PER_SHARD: usize = 1 << 12;
/// ... of which there are at most so many: more would serve no more threads.
const SHARDS: usize = 64;
/// At most 64 KiB in all: few enough to stay in a core's own cache.
const STRIPES_PER_SHARD: usize = 128;

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
    /// How long before its row can be read an event may arrive here: a database may publish a commit before it makes it
    /// visible. What is loaded within this time of an epoch or a start is not vouched for by marks, and what is loaded
    /// without versions within this time of an event is not kept. Zero if both happen at once, as in SQLite.
    pub visible_within: Duration,
    /// What keys the hash of names. By default chosen at random per process, so that nobody can choose ids that share a
    /// floor; a simulation gives its own, to repeat a run.
    pub seed: Option<u64>,
}

impl Default for FenceSettings {
    fn default() -> Self {
        Self {
            floors: 1 << 18,
            keep: Duration::from_secs(90),
            clock_error: Duration::ZERO,
            visible_within: Duration::ZERO,
            seed: None,
        }
    }
}

/// What a process knows that bounds what its caches may serve. See the module's page.
pub struct Fence {
    clock: Clock,
    seed: u64,
    settings: FenceSettings,
    board: Board,
    knowledge: Mutex<Knowledge>,
    views: Mutex<Vec<Weak<dyn Subscriber>>>,
    /// Since when news has been followed without interruption, in nanoseconds of the clock.
    followed: AtomicU64,
    epochs: AtomicU64,
    /// Whether marks will say when what fills taught is settled: some view has sources.
    settles: AtomicBool,
    /// The newest timeline heard of, by kind of entity.
    timelines: Mutex<BTreeMap<String, Timeline>>,
    /// The positions of news, if some view has a shared level.
    news: News,
    /// Whether the accept rule is enforced. Only tests turn it off, to show that they can fail.
    enforced: bool,
}

/// What a view hears from its fence.
pub(crate) trait Subscriber: Send + Sync {
    fn name(&self) -> &str;
    /// The topics whose marks bound the age of its entries.
    fn sources(&self) -> &[Topic];
    /// The age up to which it serves what no mark vouches for.
    fn bound(&self) -> Duration;
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
        let shards = (settings.floors / FLOORS_PER_SHARD).clamp(1, SHARDS).next_power_of_two();
        let limits = Limits {
            raised: (settings.floors / shards).max(1),
            learned: (settings.floors / shards / 4).max(1),
            keep: settings.keep,
        };
        Self {
            clock,
            seed: settings.seed.unwrap_or_else(random_seed),
            settings,
            board: Board::new(shards, shards * STRIPES_PER_SHARD, limits),
            knowledge: Mutex::default(),
            views: Mutex::default(),
            followed: AtomicU64::new(0),
            epochs: AtomicU64::new(0),
            settles: AtomicBool::new(false),
            timelines: Mutex::default(),
            news: News::default(),
            enforced,
        }
    }

    /// An event's news: answers derived from an older version of the entity are no longer served. The first news from a
    /// new timeline leaves nothing vouched for: the source may have lost and issued again any version.
    pub fn raise(&self, entity: &Entity, floor: Stamp) {
        self.news.unplaced(self.key(entity.kind(), entity.id()), self.clock.elapsed());
        self.raise_placed(entity, floor);
    }

    fn raise_placed(&self, entity: &Entity, floor: Stamp) {
        if floor.timeline > Timeline(0) {
            self.notice(entity.kind(), floor.timeline);
        }
        self.board.raise(self.key(entity.kind(), entity.id()), floor, self.clock.elapsed());
    }

    /// Answers derived from the region are no longer served.
    pub fn bump(&self, region: &Region) {
        self.news.unplaced(self.region_key(region.as_str()), self.clock.elapsed());
        self.bump_placed(region);
    }

    fn bump_placed(&self, region: &Region) {
        self.board.bump(self.region_key(region.as_str()), self.clock.elapsed());
    }

    /// The lowest version of the entity that may still be served, if any is known.
    #[must_use]
    pub fn floor(&self, entity: &Entity) -> Option<Stamp> {
        self.floor_of(self.key(entity.kind(), entity.id()))
    }

    /// How many floors are held.
    #[must_use]
    pub fn floors(&self) -> usize {
        self.board.len()
    }

    /// The source time up to which everything in this topic has been applied here; `None` before its first marks.
    #[must_use]
    pub fn caught_up(&self, topic: &Topic) -> Option<Time> {
        self.knowledge.lock().of(topic).map(|known| known.time)
    }

    /// How often it lost track: when a consumer began, something was missed, or a source began a new timeline. Nothing held
    /// then is vouched for until it is checked.
    #[must_use]
    pub fn epochs(&self) -> u64 {
        self.epochs.load(Ordering::Acquire)
    }

    /// The moment, by this process's clock, before which `time` has surely not come anywhere.
    pub(crate) fn surely_before(&self, time: Time) -> Duration {
        let (elapsed, wall) = (self.clock.elapsed(), self.clock.wall());
        elapsed.saturating_add(time.since(wall).saturating_sub(self.settings.clock_error))
    }

    /// Whether the window is in force now, whatever the source's clock shows within the error.
    pub(crate) fn is_surely_in(&self, window: Window) -> bool {
        let (now, error) = (self.clock.wall(), self.settings.clock_error);
        window.contains(now.minus(error)) && window.contains(now.plus(error))
    }

    /// The clock that everything here goes by.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) const fn settings(&self) -> &FenceSettings {
        &self.settings
    }

    fn notice(&self, kind: &str, timeline: Timeline) {
        let mut timelines = self.timelines.lock();
        let newest = timelines.entry(kind.to_owned()).or_default();
        if *newest < timeline {
            *newest = timeline;
            // Within the lock: nobody else may apply anything of this timeline before the epoch is open.
            self.lose_track();
        }
    }

    /// Something may have been missed: nothing held is vouched for until it is checked, nor anything loaded from a state
    /// older than now.
    fn lose_track(&self) {
        let now = u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.followed.fetch_max(now, Ordering::AcqRel);
        self.each_view(|view| view.open_epoch());
        self.epochs.fetch_add(1, Ordering::AcqRel);
    }

    /// Marks vouch only for what was loaded from a state at least as new as this.
    pub(crate) fn followed_since(&self) -> Duration {
        Duration::from_nanos(self.followed.load(Ordering::Acquire))
    }

    /// Until then something may be served that was loaded when the event was missed already of what it lacks, and the row
    /// not readable yet. No mark will say when what fills teach before is settled.
    fn missed_before(&self, longest_bound: Duration) -> Duration {
        self.followed_since().saturating_add(self.settings.visible_within).saturating_add(longest_bound)
    }

    pub(crate) const fn is_enforced(&self) -> bool {
        self.enforced
    }

    pub(crate) fn subscribe(&self, view: Weak<dyn Subscriber>) {
        if view.upgrade().is_some_and(|view| !view.sources().is_empty()) {
            self.settles.store(true, Ordering::Release);
        }
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

    /// What an answer's bytes are known again by.
    pub(crate) fn bytes_key(&self, bytes: &[u8]) -> Fingerprint {
        Fingerprint(xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.seed))
    }

    /// When the newest news of it, or a fill that had seen some, came.
    pub(crate) fn heard(&self, key: Fingerprint) -> Option<Duration> {
        self.board.heard(key)
    }

    /// Whether news that came at `seen` or later, perhaps of it, was forgotten.
    pub(crate) fn forgot_since(&self, key: Fingerprint, seen: Duration) -> bool {
        self.board.forgot_since(key, seen)
    }

    /// From now on the positions of news are kept.
    pub(crate) fn follow_places(&self) {
        self.news.follow();
    }

    /// Where the source was, at the latest, when it made the newest of this that was heard of, or shown before it was heard
    /// of: of the latter, no position says where it lies.
    pub(crate) fn place_of(&self, key: Fingerprint) -> Option<Place> {
        let shown = self.board.learned_at(key).map(|when| Place::of(None, when)).unwrap_or_default();
        self.news.of(key).map(|heard| heard.or_later(shown))
    }

    /// The newest timeline heard of in this kind of entity.
    pub(crate) fn timeline_of(&self, kind: &str) -> Timeline {
        self.timelines.lock().get(kind).copied().unwrap_or_default()
    }

    pub(crate) fn floor_of(&self, key: Fingerprint) -> Option<Stamp> {
        self.board.floor(key)
    }

    /// The order of now. What is loaded under this ticket is refused if something it was derived from moves later.
    pub(crate) fn tick(&self) -> Tick {
        self.board.tick()
    }

    /// Whether an entry with these holds, found good at `good_at`, may still be served. Lock-free unless one of the
    /// stripes has moved since.
    pub(crate) fn stands(&self, holds: &[Hold], good_at: &AtomicU64) -> bool {
        self.board.stands(holds, good_at) || !self.enforced
    }

    /// Whether anything a load has shown interest in has moved since its ticket, so that it is bound to be refused.
    pub(crate) fn is_outrun(&self, holds: &[Hold], ticket: Tick) -> bool {
        self.enforced && self.board.is_outrun(holds, ticket, self.clock.elapsed())
    }

    /// The accept rule for a fill, and what it teaches: whatever becomes of the fill, the versions it saw are true, so
    /// nothing older is served here from now on. (Without any view that has sources, nothing is taught: no mark would ever
    /// settle it.)
    /// Returns the tick at which the fill is good.
    pub(crate) fn admit(&self, holds: &[Hold], ticket: Tick) -> Result<Tick, Refusal> {
        match self.board.admit(holds, ticket, self.settles.load(Ordering::Acquire), self.clock.elapsed()) {
            Err(_) if !self.enforced => Ok(self.tick()),
            verdict => verdict,
        }
    }

    fn each_view(&self, mut tell: impl FnMut(&dyn Subscriber)) {
        let views: Vec<_> = self.views.lock().iter().filter_map(Weak::upgrade).collect();
        views.iter().for_each(|view| tell(&**view));
    }

    fn act(&self, action: &Action) {
        match action {
            Action::Raise { entity, floor } => self.raise_placed(entity, *floor),
            Action::Bump { region } => self.bump_placed(region),
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
        let (mut settled, mut longest_bound) = (Some(Duration::MAX), Duration::ZERO);
        self.each_view(|view| {
            let known = view.sources().iter().map(|topic| knowledge.of(topic).map(|known| known.since)).min();
            if let Some(Some(since)) = known {
                view.caught_up(Moment::of(since));
            }
            settled = known.map_or(settled, |known| settled.min(known));
            longest_bound = longest_bound.max(view.bound());
        });
        drop(knowledge);
        if let Some(settled) = settled.filter(|settled| *settled < Duration::MAX) {
            self.board.settle(settled, self.missed_before(longest_bound));
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
        self.news.note(&batch, self.clock.elapsed(), |action| match action {
            Action::Raise { entity, .. } => Some(self.key(entity.kind(), entity.id())),
            Action::Bump { region } => Some(self.region_key(region.as_str())),
            Action::Refresh { .. } | Action::Update { .. } => None,
        });
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
            .field("tick", &self.tick())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Keys the hash of names per process, so that nobody can choose ids that share a floor.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("tidings")
}
