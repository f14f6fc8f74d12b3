//! What a loader is told, and what it tells.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidings_core::fence::shown::Reading;
use tidings_core::fence::{Held, Ticket, Turn};
use tidings_core::shared::level::{Part, Thing};
use tidings_core::shared::{AsOf, Seen};
use tidings_core::{Code, Entity, Error, Region, Stamp, Time, Version, name};

use crate::clock::Moment;
use crate::fence::{Fence, Hold};

/// What a loader fails with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a loader brings back.
#[derive(Debug)]
pub struct Loaded<V> {
    pub(crate) value: Option<V>,
    pub(crate) version: Option<Version>,
}

impl<V> Loaded<V> {
    /// A value and its version.
    pub const fn new(version: Version, value: V) -> Self {
        Self { value: Some(value), version: Some(version) }
    }

    /// A value without a version of its own: a composite, or something its source does not version.
    pub const fn unversioned(value: V) -> Self {
        Self { value: Some(value), version: None }
    }

    /// The source has nothing under this key. Cached like any answer, for as long as what the loader depended on has
    /// not moved: declare the entity that would appear, with [`Fill::depends_unversioned`].
    pub const fn absent() -> Self {
        Self { value: None, version: None }
    }
}

/// A load on its way into a view. Its ticket was taken before the loader ran. Cheap to clone.
#[derive(Clone)]
pub struct Fill(Arc<Shared>);

struct Shared {
    fence: Arc<Fence>,
    ticket: Ticket,
    /// What the view had shown before.
    turn: Turn,
    /// Whether names are kept beside their fingerprints: other processes will read them.
    named: bool,
    told: Mutex<Told>,
}

/// What a loader has told so far.
#[derive(Default)]
struct Told {
    holds: Vec<Hold>,
    parts: Vec<Part>,
    /// What it has only asked about: it may be about to depend on it.
    asked: Vec<Hold>,
    /// What its reader knows of.
    token: Option<(Entity, Stamp)>,
    as_of: Option<Read>,
    in_step: bool,
    until: Option<Duration>,
    ends: Option<Time>,
    /// The oldest position that was read, with the least of the newest that could be in what was read; and the newest
    /// position.
    read: Option<(Seen, AsOf)>,
    invalid: Option<Error>,
}

/// From when the states are that a load has read.
#[derive(Clone, Copy)]
struct Read {
    /// The oldest, by our clock.
    since: Duration,
    /// The oldest and the newest, by the source's.
    oldest: Time,
    newest: Time,
}

/// The most dependencies of one load.
const MOST: usize = 256;

impl Fill {
    pub(crate) fn new(fence: Arc<Fence>, ticket: Ticket, turn: Turn, named: bool) -> Self {
        Self(Arc::new(Shared { fence, ticket, turn, named, told: Mutex::default() }))
    }

    /// The lowest version of this entity that the load must bring, if any is known here. A source that lags can wait
    /// for it, or the loader can ask another.
    pub fn floor(&self, kind: &str, id: &str) -> Option<Stamp> {
        let key = self.0.fence.key(kind, id);
        let mut told = self.0.told.lock();
        if told.asked.len() < MOST {
            told.asked.push(Hold::new(key, Held::Unmoved));
        }
        drop(told);
        self.0.fence.floor_of(key)
    }

    /// What the reader asked to be reached, with [`View::get_at_least`](crate::View::get_at_least). A loader that reads
    /// other views asks the one that shows this entity for as much: what that one holds may be good by its bound, and yet
    /// from before.
    #[must_use]
    pub fn token(&self) -> Option<(Entity, Stamp)> {
        self.0.told.lock().token.clone()
    }

    pub(crate) fn with_token(self, entity: &Entity, stamp: Stamp) -> Self {
        self.0.told.lock().token = Some((entity.clone(), stamp));
        self
    }

    /// The answer is derived from this version of an entity, in the source's first timeline (see [`Fill::depends_at`]).
    pub fn depends(&self, kind: &str, id: &str, version: Version) {
        self.depends_at(kind, id, Stamp::of(version));
    }

    /// As [`Fill::depends`], in a timeline.
    pub fn depends_at(&self, kind: &str, id: &str, stamp: Stamp) {
        self.hold(kind, id, Held::At(stamp));
    }

    /// The answer is derived from an entity whose version the source does not tell, or from its absence: it is good
    /// only as long as the entity does not change at all.
    pub fn depends_unversioned(&self, kind: &str, id: &str) {
        self.hold(kind, id, Held::Unmoved);
    }

    /// The answer is derived from a broad scope, and falls with it.
    pub fn depends_on_region(&self, name: &str, value: &str) {
        self.check("name of a region", name, value);
        let region = format!("{name}/{value}");
        let is_new = self.keep(Hold::new(self.0.fence.region_key(&region), Held::Unmoved));
        self.keep(Hold::new(self.0.fence.region_key(Region::every().as_str()), Held::Unmoved));
        if is_new
            && self.0.named
            && let Ok(region) = Region::new(name, value)
        {
            self.0.told.lock().parts.push(Part { thing: Thing::Region(region), stamp: None });
        }
    }

    /// The source looked like this at `time`, by its own clock, because what was read lags behind: a replica, a
    /// projection. Without it the load is taken to have read the present.
    ///
    /// An answer that is put together from several states says it of each, also of what was read as the present: it is
    /// as old as the oldest of them, and what is shown later may not be older than the newest.
    pub fn as_of(&self, time: Time) {
        let clock = self.0.fence.clock();
        let (elapsed, wall) = (clock.elapsed(), clock.wall());
        let age = wall.since(time).saturating_add(self.0.fence.settings().clock_error);
        let since = elapsed.saturating_sub(age);
        let mut told = self.0.told.lock();
        let before = told.as_of.unwrap_or(Read { since, oldest: time, newest: time });
        told.as_of = Some(Read {
            since: before.since.min(since),
            oldest: before.oldest.min(time),
            newest: before.newest.max(time),
        });
    }

    /// The state of the source that was read, told by the same snapshot as the value: needed for an answer to go into a
    /// [shared level](crate::Shared). For PostgreSQL, one less than `pg_snapshot_xmin(pg_current_snapshot())`. Everything
    /// up to here is in what was read; that more is in it does no harm.
    ///
    /// An answer that is put together from several states says it of each.
    pub fn read_at(&self, position: AsOf) {
        self.read_present(Seen::at(position));
    }

    /// As [`Fill::read_at`], of the primary's present, in a snapshot that this load has taken after it began: never of a
    /// standby, nor of a snapshot that was kept. `seen.most` is the newest that could be in it: for PostgreSQL, one less than
    /// `pg_snapshot_xmax(pg_current_snapshot())`.
    ///
    /// As long as an older transaction is open in the source, `seen.least` stays before it. What was read with its version is
    /// then not taken for old, and is kept in the view, though not in the shared level.
    pub fn read_present(&self, seen: Seen) {
        let mut told = self.0.told.lock();
        let (before, newest) = told.read.unwrap_or((seen, seen.least));
        let oldest = Seen { least: before.least.min(seen.least), most: before.most.min(seen.most) };
        told.read = Some((oldest, newest.max(seen.least)));
    }

    /// What is read lags, but never behind this copy: its consumer applies each batch there before it applies it here (the
    /// projection was given to the consumer before the fence). Then marks vouch for the answer as for any other; without
    /// this, one that lags and depends on something unversioned is only as good as its [`Fill::as_of`].
    ///
    /// Tell its time as well: a state from before this copy began to follow, or last lost track, is not vouched for. What
    /// was shown then may have been ahead of the news, and nobody remembers it.
    pub fn in_step(&self) {
        self.0.told.lock().in_step = true;
    }

    /// The answer ceases to hold at `time`, by the source's clock: it is never served beyond, whatever its time to live.
    pub fn valid_until(&self, time: Time) {
        let until = self.0.fence.surely_before(time);
        let mut told = self.0.told.lock();
        told.until = Some(told.until.map_or(until, |other| other.min(until)));
        told.ends = Some(told.ends.map_or(time, |other| other.min(time)));
    }

    fn hold(&self, kind: &str, id: &str, held: Held) {
        self.check("name of an entity", kind, id);
        let key = self.0.fence.key(kind, id);
        let is_new = self.keep(Hold::new(key, held));
        if is_new
            && self.0.named
            && let Ok(entity) = Entity::new(kind, id)
        {
            let stamp = if let Held::At(stamp) = held { Some(stamp) } else { None };
            self.0.told.lock().parts.push(Part { thing: Thing::Entity(entity), stamp });
        }
    }

    /// Whether that was not said before.
    fn keep(&self, hold: Hold) -> bool {
        let mut told = self.0.told.lock();
        if told.holds.iter().any(|held| held.key == hold.key && held.held() == hold.held()) {
            return false;
        }
        if told.holds.len() == MOST {
            let what = format!("a load declared more than {MOST} dependencies; depend on a region instead");
            told.invalid.get_or_insert(Error::new(Code::SETTING_INVALID, what));
            return false;
        }
        told.holds.push(hold);
        true
    }

    fn check(&self, what: &str, kind: &str, id: &str) {
        let checked = name::check_kind(what, kind).and(name::check(what, id));
        if let Err(error) = checked {
            self.0.told.lock().invalid.get_or_insert(error);
        }
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.0.ticket
    }

    /// Whether news has come that this load cannot have seen.
    pub(crate) fn is_outrun(&self) -> bool {
        let told = self.0.told.lock();
        self.0.fence.is_outrun(&told.holds, self.0.ticket.tick)
            || self.0.fence.is_outrun(&told.asked, self.0.ticket.tick)
    }

    /// What it depends on; or why that cannot be.
    pub(crate) fn holds(&self) -> Result<Vec<Hold>, Error> {
        let told = self.0.told.lock();
        told.invalid.clone().map_or_else(|| Ok(told.holds.clone()), Err)
    }

    /// When the source is known to have looked like this.
    pub(crate) fn seen(&self) -> Duration {
        let started = self.0.ticket.started;
        self.0.told.lock().as_of.map_or(started, |as_of| as_of.since.min(started))
    }

    /// How it read the source, for what was shown before.
    pub(crate) fn reading(&self) -> Reading {
        let as_of = self.0.told.lock().as_of.map(|as_of| as_of.oldest);
        Reading { seen: self.seen(), as_of, turn: self.0.turn }
    }

    /// The newest state that it has read, if none of them is the present: for what is shown later.
    pub(crate) fn newest(&self) -> Option<Time> {
        self.0.told.lock().as_of.map(|as_of| as_of.newest)
    }

    /// The newest position that it has read, if it told any: for what is shown later. The beginning of everything tells
    /// nothing: a standby, which has no other, reads states that are far newer.
    pub(crate) fn newest_position(&self) -> Option<AsOf> {
        let (oldest, newest) = self.0.told.lock().read?;
        (oldest.least != AsOf::default()).then_some(newest)
    }

    /// The oldest state that it has read.
    pub(crate) fn oldest(&self) -> Option<Seen> {
        self.0.told.lock().read.map(|(oldest, _)| oldest)
    }

    /// Whether it read the present, as far as it says.
    pub(crate) fn reads_the_present(&self) -> bool {
        let told = self.0.told.lock();
        told.as_of.is_none() && !told.in_step
    }

    /// What it depends on, by name.
    pub(crate) fn parts(&self) -> Vec<Part> {
        self.0.told.lock().parts.clone()
    }

    /// When it ceases to hold, by the source's clock.
    pub(crate) fn ends(&self) -> Option<Time> {
        self.0.told.lock().ends
    }

    pub(crate) fn turn(&self) -> Turn {
        self.0.turn
    }

    pub(crate) fn is_in_step(&self) -> bool {
        self.0.told.lock().in_step
    }

    pub(crate) fn hard_limit(&self) -> Moment {
        self.0.told.lock().until.map_or(Moment(u32::MAX), Moment::of)
    }
}
