//! How big a history is and what can go wrong in it: drawn once, before it begins.

use std::time::Duration;

use tidings_core::Truth;
use tidings_core::fence::Limits;

use crate::choices::Choices;
use crate::fault::Fault;

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
    /// How many further steps there are at most before everything is healed.
    pub steps: u32,
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
            steps: 0,
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

    /// Draws one.
    pub(super) fn draw(choices: &mut Choices) -> Self {
        let mut setup = Self::quiet();
        setup.draw_faults(choices);
        setup.draw_sizes(choices);
        setup.draw_times(choices);
        for view in 0..setup.view_count {
            setup.views[view] = setup.draw_view(choices);
        }
        // Nothing keeps the order of answers that tell no versions: nobody else shows what they show.
        let [first, second, _] = &setup.views;
        let overlap = first.shows.iter().zip(second.shows).any(|(first, second)| *first && second);
        if overlap && (first.style != Style::Versioned || second.style != Style::Versioned) {
            setup.view_count = 1;
        }
        setup
    }

    /// Swarm: in each history about half of the faults can strike, each with its own rate.
    fn draw_faults(&mut self, choices: &mut Choices) {
        let on = choices.below(1 << DRAWN.len());
        let mut bit = 1;
        for fault in DRAWN {
            if on & bit != 0 {
                self.rates[*fault as usize] = rates(*fault)[choices.below(3) as usize];
            }
            bit <<= 1;
        }
    }

    fn draw_sizes(&mut self, choices: &mut Choices) {
        self.entities = 1 + usize::from(choices.below(3) == 2);
        self.natures[0] = match choices.below(8) {
            5..7 => Nature::Effective,
            7 => Nature::Revocable,
            _ => Nature::Plain,
        };
        self.partitions = if self.entities == 1 { 1 } else { 1 + usize::from(choices.chance(500)) };
        (self.copies, self.projection) = match choices.below(8) {
            0..4 => (1, None),
            4 => (2, None),
            5 => (1, Some(Positions::Group)),
            6 => (1, Some(Positions::Own)),
            _ => (2, Some(if choices.chance(500) { Positions::Own } else { Positions::Group })),
        };
        self.relays = 1 + usize::from(self.rate(Fault::TwoRelays) > 0);
        self.readers = 1 + usize::from(choices.chance(300));
        self.view_count = 1 + usize::from(choices.chance(400));
        self.commits = 1 + choices.below(3);
        self.reads = 2 + choices.below(5);
        self.batch = 1 + choices.below(3) as usize;
        self.tombstones = choices.chance(500);
        self.asks = choices.chance(300);
        self.follows = !choices.chance(250);
        self.exists = !choices.chance(300);
        self.steps = if choices.chance(300) { 96 } else { 48 };
    }

    fn draw_times(&mut self, choices: &mut Choices) {
        if self.rate(Fault::ClockSkew) > 0 {
            self.clock_error = [4, 20][choices.below(2) as usize];
            let error = u32::try_from(self.clock_error).unwrap_or(0);
            self.skew = i64::from(choices.below(2 * error + 1)) - i64::from(error);
        }
        if self.rate(Fault::EarlyEvent) > 0 {
            self.visibility = 16 + u64::from(choices.below(48));
        }
        if self.rate(Fault::LaggingRead) > 0 {
            self.lag = 16 + u64::from(choices.below(96));
        }
        self.attempts = 1 + choices.below(3);
        self.load_timeout = 60;
        if self.rate(Fault::Pressure) > 0 {
            // Not of what was learned: that it had to be forgotten keeps no lagging load from going back.
            self.limits.raised = 1;
        }
        // The longest load, the source's greatest lag and the redelivery window together, and the clocks' difference.
        let keep = self.load_timeout + self.visibility + self.lag + self.clock_error;
        self.limits.keep = Duration::from_micros(keep);
    }

    fn draw_view(&self, choices: &mut Choices) -> ViewSetup {
        let shows = match if self.entities == 1 { 0 } else { choices.below(3) } {
            0 => [true, false],
            1 => [false, true],
            _ => [true, true],
        };
        let style = match choices.below(6) {
            0..3 => Style::Versioned,
            3 | 4 => Style::Unversioned,
            _ => Style::Region,
        };
        let bound = [160, 40, 10][choices.below(3) as usize] + self.clock_error;
        let span = Duration::from_micros(bound);
        let nature = if shows[0] { self.natures[0] } else { Nature::Plain };
        let truth = match nature {
            Nature::Effective => Truth::Effective(span),
            Nature::Revocable => Truth::Revocable(span),
            Nature::Plain if choices.chance(200) => Truth::Tolerant(span),
            Nature::Plain => Truth::Push(span),
        };
        let single = shows != [true, true] && style == Style::Versioned;
        let react = match choices.below(if nature == Nature::Effective { 12 } else { 4 }) {
            2 => React::Refresh,
            3.. if single => React::Update,
            _ => React::Invalidate,
        };
        let ttl = if matches!(truth, Truth::Tolerant(_)) { bound } else { 300 };
        ViewSetup { shows, style, truth, bound, ttl, react }
    }
}

/// How often a fault strikes, of a thousand: what is asked at every step, or only once a commit, or load, or turn of the
/// mishaps.
const fn rates(fault: Fault) -> [u16; 3] {
    match fault {
        Fault::Delay | Fault::Loss | Fault::Double | Fault::LostAnswer => [15, 60, 200],
        Fault::SlowSource => [50, 150, 400],
        _ => [100, 300, 600],
    }
}

/// The faults that a history draws; each is off in about half of them.
const DRAWN: &[Fault] = &[
    Fault::Delay,
    Fault::Loss,
    Fault::Double,
    Fault::LostAnswer,
    Fault::Kill,
    Fault::Pause,
    Fault::ClockSkew,
    Fault::LaggingRead,
    Fault::EarlyEvent,
    Fault::Truncation,
    Fault::Rebalance,
    Fault::Wipe,
    Fault::OldDump,
    Fault::Poison,
    Fault::SlowSource,
    Fault::Pressure,
    Fault::Failover,
    Fault::TwoRelays,
    Fault::LateCommit,
];
