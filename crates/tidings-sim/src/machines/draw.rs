//! How big a history is and what can go wrong in it: drawn once, before it begins.

use std::time::Duration;

use tidings_core::Truth;
use tidings_core::fence::Limits;

use crate::fault::Fault;

mod chance;
mod theme;

/// The most entities, views, copies, relays and readers of one history.
pub const ENTITIES: usize = 2;
/// See [`ENTITIES`].
pub const VIEWS: usize = 3;
/// See [`ENTITIES`].
pub const COPIES: usize = 2;
/// See [`ENTITIES`].
pub const RELAYS: usize = 2;
/// See [`ENTITIES`].
pub const READERS: usize = 2;
/// The most partitions of the log.
pub const PARTITIONS: usize = 2;

/// What an entity is to the business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Its newest version holds.
    Plain,
    /// Each version holds in a window of the source's time.
    Effective,
    /// Its changes revoke what was answered before.
    Revocable,
}

/// What a view's answers depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// The entities at the versions that were read; unversioned where there is no row.
    Versioned,
    /// The entities, but the source does not tell their versions.
    Unversioned,
    /// A region that every event bumps.
    Region,
}

/// What a consumer decides about an event of an entity that a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum React {
    /// Raise the floor, and nothing else.
    Invalidate,
    /// Load again in the background.
    Refresh,
    /// Change the answer in place.
    Update,
}

/// One view; it has one key.
#[derive(Debug, Clone, Copy)]
pub struct ViewSetup {
    /// Which entities it shows, in order: the first, the second, or both.
    pub shows: [bool; ENTITIES],
    /// What its answers depend on.
    pub style: Style,
    /// Its truth class.
    pub truth: Truth,
    /// Its bound, in microseconds.
    pub bound: u64,
    /// Its hard time to live, in microseconds.
    pub ttl: u64,
    /// What its events do.
    pub react: React,
}

/// Where a projection's positions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// In the log, for its group.
    Group,
    /// With its state.
    Own,
}

/// How often it is whose turn, beside one turn of each relay and two of the writer and of each reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns {
    /// Of each copy's consumer.
    pub feeds: usize,
    /// Of each copy's loads.
    pub loads: usize,
    /// Of what goes wrong by itself.
    pub mishaps: usize,
    /// How often such a turn is about a fault, for each that is on; four times, it is about evictions and time.
    pub faults: u32,
}

/// A history before it begins. All times are microseconds, and a step takes one.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// What each entity is; the first `entities` take part.
    pub natures: [Nature; ENTITIES],
    /// How many entities.
    pub entities: usize,
    /// The views of every copy; the first `view_count` take part.
    pub views: [ViewSetup; VIEWS],
    /// How many views.
    pub view_count: usize,
    /// How many copies that hear everything (L1).
    pub copies: usize,
    /// Whether a group keeps a projection, and where its positions are.
    pub projection: Option<Positions>,
    /// How many relays.
    pub relays: usize,
    /// How many readers.
    pub readers: usize,
    /// How many partitions.
    pub partitions: usize,
    /// How many commits.
    pub commits: u32,
    /// How many reads, before the last ones.
    pub reads: u32,
    /// How many of a thousand reads are of no session.
    pub strangers: u32,
    /// The most rows in a batch of the relay, and records in one of a consumer.
    pub batch: usize,
    /// What a copy remembers.
    pub limits: Limits,
    /// Whether a deleted row leaves a tombstone that loaders see.
    pub tombstones: bool,
    /// Whether loaders ask for the floor, and go to the primary if a replica is below it.
    pub asks: bool,
    /// How far the source's clock is ahead of the copies'.
    pub skew: i64,
    /// How far it may be, as copies are told.
    pub clock_error: u64,
    /// The longest time from an event's publication to its row being readable.
    pub visibility: u64,
    /// The longest lag of a replica.
    pub lag: u64,
    /// How often a load that was outrun is tried, and a read from before its token.
    pub attempts: u32,
    /// The hard timeout of a load.
    pub load_timeout: u64,
    /// Every entity has a first version from before the history.
    pub exists: bool,
    /// Consumers have begun before anything else does.
    pub follows: bool,
    /// When they begin at the soonest, if not.
    pub late: u64,
    /// How many further steps there are at most before everything is healed.
    pub steps: u32,
    /// How often it is whose turn.
    pub turns: Turns,
    /// How often each kind of fault strikes, of a thousand.
    pub rates: [u16; Fault::ALL.len()],
}

impl Setup {
    /// Nothing goes wrong by itself, and nothing happens by itself: for scripts. One copy, one view of each of two
    /// entities (push, 1 ms), one partition, one relay.
    #[must_use]
    pub fn quiet() -> Self {
        let view = |entity: usize| ViewSetup {
            shows: std::array::from_fn(|index| index == entity),
            style: Style::Versioned,
            truth: Truth::Push(Duration::from_millis(1)),
            bound: 1000,
            ttl: 10_000,
            react: React::Invalidate,
        };
        Self {
            natures: [Nature::Plain; ENTITIES],
            entities: ENTITIES,
            views: [view(0), view(1), ViewSetup { shows: [true; ENTITIES], ..view(0) }],
            view_count: VIEWS,
            copies: 1,
            projection: None,
            relays: 1,
            readers: READERS,
            partitions: 1,
            commits: 0,
            reads: 0,
            strangers: 300,
            batch: 8,
            limits: Limits { raised: 64, learned: 64, keep: Duration::from_millis(10) },
            tombstones: false,
            asks: false,
            skew: 0,
            clock_error: 0,
            visibility: 0,
            lag: 0,
            attempts: 3,
            load_timeout: 1000,
            exists: false,
            follows: false,
            late: 0,
            steps: 0,
            turns: Turns { feeds: 2, loads: 2, mishaps: 2, faults: 2 },
            rates: [0; Fault::ALL.len()],
        }
    }

    /// How often this fault strikes, of a thousand.
    #[must_use]
    pub const fn rate(&self, fault: Fault) -> u32 {
        self.rates[fault as usize] as u32
    }

    /// How long after its acknowledgement a revocation may still be unknown: the longest bound of a view that shows what
    /// can be revoked.
    #[must_use]
    pub fn sla(&self) -> Duration {
        let views = self.views[..self.view_count].iter();
        let bounds = views.filter(|view| matches!(view.truth, Truth::Revocable(_))).map(|view| view.bound);
        Duration::from_micros(bounds.max().unwrap_or(0))
    }
}
