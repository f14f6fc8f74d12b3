//! A process that serves cached answers: the shipped fence, and what the toolkit builds around it.
//!
//! - here: floors, epochs and what marks have proved, as a consumer feeds them;
//! - [`look`]: whether an entry may be served;
//! - `answer`: what a load finds;
//! - [`flight`]: loads on their way in, in steps, so that everything can come between.

use std::time::Duration;

use tidings_core::fence::{Fingerprint, Floors, Held, Knowledge, Known, Raised, Tick};
use tidings_core::{Action, Event, Stamp, Time, Timeline};
use tidings_testkit::judge::Shown;

use super::draw::{ENTITIES, Nature, VIEWS};
use super::pool::{EVERY, REGION, entity_key, number_of};
use super::source::Source;
use super::stage::Stage;
use crate::mutant::Mutant;
use crate::tally::Sometimes;

mod answer;
pub(super) mod flight;
pub(super) mod look;
mod update;

use flight::Flight;

/// What an answer says of one entity, and the truth behind it that only the harness sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) stamp: Stamp,
    /// The row is not there; the answer does not say since which version.
    pub(super) absent: bool,
    /// The loader told the fence its version.
    pub(super) versioned: bool,
    pub(super) shown: Shown,
}

/// One dependency of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    pub(super) key: Fingerprint,
    pub(super) held: Held,
}

/// The dependencies of an entry: two entities and two regions at most.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Holds {
    holds: [Option<Hold>; 4],
    len: usize,
}

impl Holds {
    pub(super) fn push(&mut self, key: Fingerprint, held: Held) {
        if let Some(free) = self.holds.get_mut(self.len) {
            *free = Some(Hold { key, held });
            self.len += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.holds.iter().flatten()
    }

    fn of_mut(&mut self, key: Fingerprint) -> Option<&mut Hold> {
        self.holds.iter_mut().flatten().find(|hold| hold.key == key)
    }
}

/// One cached answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) serial: u32,
    pub(super) good_at: Tick,
    pub(super) holds: Holds,
    pub(super) epoch: u32,
    pub(super) as_of: Duration,
    pub(super) followed: bool,
    pub(super) hard: Duration,
    pub(super) refreshing: bool,
    pub(super) cells: [Option<Cell>; ENTITIES],
}

pub(super) struct Copy {
    /// Its number for the judge; a process that starts again is another copy.
    pub(super) number: u32,
    floors: Floors,
    tick: Tick,
    epoch: u32,
    /// Marks vouch only for what was loaded from a state at least as new as this.
    followed: Duration,
    timeline: Timeline,
    knowledge: Knowledge,
    /// Everything committed before this is known here, by the marks of all partitions.
    known: Duration,
    pub(super) entries: [Option<Entry>; VIEWS],
    pub(super) flights: Vec<Flight>,
    /// The flight that callers of each view join.
    current: [Option<u32>; VIEWS],
    serial: u32,
    /// It missed something: what it knows of revocations is no receipt.
    missed: bool,
}

impl Copy {
    pub(super) fn new(stage: &Stage<'_>, number: u32) -> Self {
        Self {
            number,
            floors: Floors::new(stage.setup.limits),
            tick: Tick(0),
            epoch: 0,
            followed: Duration::ZERO,
            timeline: Timeline(0),
            knowledge: Knowledge::default(),
            known: Duration::ZERO,
            entries: [None; VIEWS],
            flights: Vec::new(),
            current: [None; VIEWS],
            serial: 0,
            missed: false,
        }
    }

    /// A consumer is about to deliver from the head.
    pub(super) fn begin(&mut self, stage: &mut Stage<'_>, source: &Source) {
        self.missed |= source.has_history();
        let partitions = &stage.pool.partitions[..stage.setup.partitions];
        self.knowledge.begin("l1", partitions);
        if !stage.lacks(Mutant::BeginOpensEpoch) {
            self.lose_track(stage);
        }
    }

    /// Something may have been missed: nothing held is vouched for until it is checked, nor anything loaded from a state
    /// older than now.
    pub(super) fn lose_track(&mut self, stage: &mut Stage<'_>) {
        self.followed = stage.elapsed();
        self.known = Duration::ZERO;
        self.epoch += 1;
        stage.judge.epoch(self.number, stage.nanos());
        self.end_lease(stage);
        let number = self.number;
        stage.tell(|| format!("copy {number}     opens an epoch"));
    }

    /// Marks vouch only for what was loaded from a state at least as new as this. Rows may become readable only after
    /// their events are out, and those events may be among what was missed: so not before the slowest must have appeared.
    pub(super) fn vouched(&self, stage: &Stage<'_>) -> Duration {
        let slowest = if stage.lacks(Mutant::FollowedAfterVisibility) { 0 } else { stage.setup.visibility };
        self.followed + Duration::from_micros(slowest)
    }

    /// Records were missed for good.
    pub(super) fn miss(&mut self, stage: &mut Stage<'_>) {
        self.missed = true;
        self.lose_track(stage);
    }

    /// Nothing that it holds is served any more before it is checked.
    pub(super) fn end_lease(&self, stage: &mut Stage<'_>) {
        stage.judge.lease(self.number, None, stage.nanos(), stage.nanos());
    }

    /// The actions of a batch.
    pub(super) fn act(&mut self, stage: &mut Stage<'_>, source: &Source, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Raise { entity, floor } => self.raise(stage, number_of(entity), *floor),
                Action::Bump { region } => {
                    let key = if *region == stage.pool.region { REGION } else { EVERY };
                    self.moving(stage, |floors, tick, now| {
                        floors.bump(key, tick, now);
                        Raised::Moved
                    });
                }
                Action::Refresh { view, .. } => self.refresh(stage, view_number(view)),
                Action::Update { view, events, .. } => self.update(stage, source, view_number(view), events),
            }
        }
    }

    /// An event's news.
    pub(super) fn raise(&mut self, stage: &mut Stage<'_>, entity: usize, floor: Stamp) {
        if floor.timeline > self.timeline {
            self.timeline = floor.timeline;
            stage.happened(Sometimes::NewTimeline);
            if !stage.lacks(Mutant::TimelineOpensEpoch) {
                self.lose_track(stage);
            }
        }
        let key = entity_key(entity);
        let floor = ordered(stage, floor);
        if stage.lacks(Mutant::FloorMax) {
            // Downwards too: what is known is forgotten first.
            self.forget_floors(stage);
        }
        let raised = self.moving(stage, |floors, tick, now| floors.raise(key, floor, tick, now));
        if raised == Raised::Old {
            stage.happened(Sometimes::OldNews);
        }
        let number = self.number;
        stage.tell(|| format!("copy {number}     raises price/{entity} to {floor}: {raised:?}"));
    }

    fn moving(
        &mut self,
        stage: &Stage<'_>,
        change: impl FnOnce(&mut Floors, Tick, Duration) -> Raised,
    ) -> Raised {
        self.tick = Tick(self.tick.0 + 1);
        change(&mut self.floors, self.tick, stage.elapsed())
    }

    /// A mark was applied: what it proves.
    pub(super) fn catch_up(&mut self, stage: &mut Stage<'_>, partition: usize, time: Time) {
        let known = Known { time, since: stage.since(time) };
        self.knowledge.advance("l1", &stage.pool.partitions[partition], known);
        let best = stage.lacks(Mutant::LeastKnownPartition).then_some(known);
        let Some(known) = best.or_else(|| self.knowledge.of(&stage.pool.topic)) else { return };
        self.known = if best.is_some() { self.known.max(known.since) } else { known.since };
        // What is learned until everything from before an epoch is over may be of an event that was missed, and marks say
        // nothing of that.
        if !stage.lacks(Mutant::EpochKeepsLearned) {
            self.floors.keep_learned_before(self.followed + stage.setup.limits.keep);
        }
        self.floors.settle(known.since);
        let upto = nanos(known.since);
        stage.judge.marked(self.number, None, upto, stage.nanos());
        if stage.setup.natures[0] == Nature::Revocable && !self.missed {
            let until = nanos(known.since + stage.setup.sla());
            stage.judge.lease(self.number, None, until, stage.nanos());
        }
        let number = self.number;
        let known = known.since.as_micros().saturating_sub(1_000);
        stage.tell(|| format!("copy {number}     knows everything before {known} us"));
    }

    /// It forgets every floor, and does not know that it did: what no guard allows.
    pub(super) fn forget_floors(&mut self, stage: &Stage<'_>) {
        self.floors = Floors::new(stage.setup.limits);
    }

    /// The entry of a view is dropped.
    pub(super) fn evict(&mut self, stage: &mut Stage<'_>, view: usize) {
        self.entries[view] = None;
        if stage.lacks(Mutant::FloorOutlivesEntry) {
            self.forget_floors(stage);
        }
        let number = self.number;
        stage.tell(|| format!("copy {number}     evicts view {view}"));
        stage.trace.step(0x500 + view as u64);
    }

    /// An operator clears it: the loads in flight as well.
    pub(super) fn wipe(&mut self, stage: &mut Stage<'_>) {
        self.known = Duration::ZERO;
        self.epoch += 1;
        self.entries = [None; VIEWS];
        let number = self.number;
        stage.tell(|| format!("copy {number}     is cleared"));
        stage.trace.step(0x510);
    }
}

/// The stamp as this copy orders it.
pub(super) fn ordered(stage: &Stage<'_>, stamp: Stamp) -> Stamp {
    if stage.lacks(Mutant::TimelineOrder) { Stamp::of(stamp.version) } else { stamp }
}

/// A view of the pool, by its name.
pub(super) fn view_number(name: &str) -> usize {
    usize::from(name.as_bytes().first().map_or(0, |digit| digit - b'0')).min(VIEWS - 1)
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The entity of an event of the pool.
pub(super) fn entity_of(event: &Event) -> usize {
    number_of(&event.entity)
}
