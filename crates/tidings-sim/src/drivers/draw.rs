//! What one history is made of: each draws its own size, its own views and its own mix of faults.

use std::fmt;
use std::time::Duration;

use tidings::Truth;

use crate::choices::Choices;
use crate::fault::Fault;

/// What can strike in this world.
pub(super) const FAULTS: &[Fault] = &[
    Fault::Delay,
    Fault::Loss,
    Fault::Double,
    Fault::Reorder,
    Fault::LostAnswer,
    Fault::Kill,
    Fault::Pause,
    Fault::Partition,
    Fault::ClockSkew,
    Fault::ClockJump,
    Fault::LaggingRead,
    Fault::EarlyEvent,
    Fault::Truncation,
    Fault::Rebalance,
    Fault::Wipe,
    Fault::OldDump,
    Fault::Poison,
    Fault::SlowSource,
    Fault::Pressure,
    Fault::TwoRelays,
];

/// What strikes as an incident, from outside, and not at a call.
pub(super) const INCIDENTS: &[Fault] = &[
    Fault::Kill,
    Fault::Pause,
    Fault::Partition,
    Fault::ClockJump,
    Fault::Truncation,
    Fault::Rebalance,
    Fault::Wipe,
    Fault::OldDump,
    Fault::Poison,
];

/// What a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One entity, by its version.
    Item,
    /// Two entities, by theirs.
    Pair,
    /// Two entities, by their region.
    Listing,
    /// One entity whose source tells no version.
    Bare,
    /// One by its version and one without.
    Mixed,
    /// What is in force of one entity.
    Windowed,
}

/// What an event means for a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tactic {
    Invalidate,
    Refresh,
    Update,
}

/// A view of every host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    pub(super) shape: Shape,
    pub(super) truth: Truth,
    pub(super) tactic: Tactic,
    /// Whether marks bound its age.
    pub(super) heard: bool,
    /// From this age on it is loaded again, in milliseconds.
    pub(super) soft: Option<u32>,
    pub(super) capacity: usize,
}

/// The size, the settings and the faults of one history.
#[derive(Debug, Clone)]
pub(super) struct Draw {
    /// In thousandths, by fault.
    rates: [u32; Fault::ALL.len()],
    /// How often everything gives way to everything else: from 0, never, to 3.
    pub(super) pace: u32,
    pub(super) specs: Vec<Spec>,
    pub(super) commits: u32,
    pub(super) readers: u32,
    /// Of each reader.
    pub(super) reads: u32,
    pub(super) hosts: u32,
    /// Whether a group keeps a durable projection.
    pub(super) group: bool,
    pub(super) partitions: u32,
    pub(super) batch: usize,
    pub(super) mark_every: Duration,
    pub(super) settle_every: Duration,
    pub(super) floors: usize,
    pub(super) incidents: u32,
    /// The longest between two steps of writers and readers, in milliseconds.
    pub(super) span: u32,
    /// How far the clocks of hosts may be off, in microseconds.
    pub(super) clock_error: u32,
}

impl Draw {
    pub(super) fn new(choices: &mut Choices) -> Self {
        // Most worlds are small: what breaks a promise takes few steps, and many small ones cost no more than a large one.
        let size = choices.below(16).saturating_sub(13);
        // Copies do not know of each other: two of them are two histories for the price of two.
        let (hosts, group) = match choices.below(16) {
            0..=11 => (1, false),
            12..=14 => (0, true),
            _ => (1 + choices.below(2), choices.below(2) == 1),
        };
        // What only keeps a projection hears nothing new in most histories, unless something is told again.
        let again = hosts == 0 && choices.below(4) > 0;
        let rates = if again { rates_of(TOLD_AGAIN, choices) } else { rates(choices) };
        let on = |fault: Fault| rates.get(fault as usize).is_some_and(|rate| *rate > 0);
        let (pressure, clocks) = (on(Fault::Pressure), on(Fault::ClockSkew) || on(Fault::ClockJump));
        let views = 1 + choices.below(8) / 6;
        let specs: Vec<_> = (0..views).map(|_| spec(choices, pressure)).collect();
        // Windows begin and end within tens of milliseconds, and an answer may be late by more than that.
        let windows = specs.iter().any(|spec| spec.shape == Shape::Windowed);
        let spans = if windows { [25, 50, 100, 160, 160, 160, 160] } else { [12, 12, 25, 25, 50, 100, 160] };
        let incidents = match INCIDENTS.iter().any(|fault| on(*fault)) {
            true => choices.below(2 + size).max(u32::from(again)),
            false => 0,
        };
        Self {
            rates,
            pace: choices.below(4),
            specs,
            commits: 1 + u32::from(group) + u32::from(again) + choices.below(2 + size),
            readers: 1 + choices.below(4 + size) / 3,
            reads: 1 + choices.below(3 + size),
            hosts,
            group,
            partitions: 1 + choices.below(12) / 11,
            batch: if choices.below(4) == 3 { 1 } else { 1024 },
            mark_every: Duration::from_millis(
                [60, 120, 400, 400].get(choices.below(4) as usize).copied().unwrap_or(60),
            ),
            settle_every: Duration::from_millis(if choices.below(4) == 3 { 10 } else { 2_000 }),
            floors: if pressure { 1 << choices.below(3) } else { 64 },
            incidents,
            span: spans.get(choices.below(7) as usize).copied().unwrap_or(12),
            clock_error: if clocks { 20_000 } else { 0 },
        }
    }

    /// How often this fault strikes, in thousandths.
    pub(super) fn rate(&self, fault: Fault) -> u32 {
        self.rates.get(fault as usize).copied().unwrap_or(0)
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.rate(fault) > 0
    }

    /// The longest that a row stays invisible after its event was published.
    pub(super) fn visible_within(&self) -> Duration {
        let early = if self.has(Fault::EarlyEvent) { EARLY } else { 0 };
        Duration::from_millis(early.into())
    }

    /// Whether some view shows this shape.
    pub(super) fn shows(&self, shape: Shape) -> bool {
        self.specs.iter().any(|spec| spec.shape == shape)
    }
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hosts, partitions, batch, mark_every, floors, clock_error, .. } = self;
        write!(
            f,
            "{hosts} hosts, {partitions} partitions, batches of {batch}, marks every {mark_every:?}, "
        )?;
        write!(f, "{floors} floors, clocks off by {clock_error} us at most; faults:")?;
        for fault in FAULTS.iter().filter(|fault| self.has(**fault)) {
            write!(f, " {} {},", fault.name(), self.rate(*fault))?;
        }
        for (place, spec) in self.specs.iter().enumerate() {
            write!(f, "\n  view {place}: {spec:?}")?;
        }
        Ok(())
    }
}

/// Each fault is off in most histories, by itself: what is not wrong leaves steps to what is.
fn rates(choices: &mut Choices) -> [u32; Fault::ALL.len()] {
    let mut rates = [0; Fault::ALL.len()];
    for fault in FAULTS {
        let level = choices.below(8).saturating_sub(4);
        if let Some(rate) = rates.get_mut(*fault as usize) {
            *rate = [0, 20, 60, 160].get(level as usize).copied().unwrap_or(0);
        }
    }
    rates
}

/// Few faults, and those often.
fn rates_of(faults: &[Fault], choices: &mut Choices) -> [u32; Fault::ALL.len()] {
    let mut rates = [0; Fault::ALL.len()];
    for fault in faults {
        if let Some(rate) = rates.get_mut(*fault as usize) {
            *rate = [0, 0, 80, 160].get(choices.below(4) as usize).copied().unwrap_or(0);
        }
    }
    rates
}

/// By these an event is told again.
const TOLD_AGAIN: &[Fault] =
    &[Fault::Double, Fault::LostAnswer, Fault::Kill, Fault::Rebalance, Fault::OldDump, Fault::TwoRelays];

fn spec(choices: &mut Choices, pressure: bool) -> Spec {
    let shape = match choices.below(9) {
        0..=2 => Shape::Item,
        3..=4 => Shape::Pair,
        5 => Shape::Listing,
        6 => Shape::Bare,
        7 => Shape::Mixed,
        _ => Shape::Windowed,
    };
    let bound = Duration::from_millis(100 + u64::from(choices.below(3)) * 75);
    let truth = match (shape, choices.below(4)) {
        (Shape::Windowed, _) => Truth::Effective(bound),
        (_, 0..=1) => Truth::Push(bound),
        (_, 2) => Truth::Revocable(bound),
        _ => Truth::Tolerant(bound),
    };
    let tactic = match choices.below(4) {
        2 => Tactic::Refresh,
        3 => Tactic::Update,
        _ => Tactic::Invalidate,
    };
    let soft = if choices.below(4) == 3 { Some(30 + choices.below(40)) } else { None };
    let heard = choices.below(6) < 5;
    Spec { shape, truth, tactic, heard, soft, capacity: if pressure { 1 } else { 8 } }
}

/// The longest that a commit stays invisible after its event was published, in milliseconds.
pub(super) const EARLY: u32 = 30;
/// The longest that a replica lags, in milliseconds.
pub(super) const LAG: u32 = 60;
