//! A durable projection that a group keeps: an entity's state by its newest event, with its position beside it.

use tidings_core::{Offset, Stamp};
use tidings_testkit::history::State;
use tidings_testkit::judge::Shown;

use super::copy::ordered;
use super::draw::{ENTITIES, PARTITIONS};
use super::source::Source;
use super::stage::Stage;
use crate::mutant::Mutant;

/// Its number for the judge.
pub(super) const NUMBER: u32 = 40;

/// What is durable of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Projection {
    rows: [Stamp; ENTITIES],
    positions: [u64; PARTITIONS],
    timeline: u32,
}

impl Projection {
    /// An event's state takes the place of an older one.
    pub(super) fn put(&mut self, stage: &mut Stage<'_>, source: &Source, entity: usize, stamp: Stamp) {
        self.hear(stage, stamp);
        let row = &mut self.rows[entity];
        if ordered(stage, stamp) > ordered(stage, *row) || stage.lacks(Mutant::ProjectionComparesVersions) {
            let deleted = source.state(entity, stamp).is_some_and(|state| state.deleted);
            // A tombstone keeps its version, or an old event could bring the dead back.
            *row =
                if deleted && stage.lacks(Mutant::TombstoneKeepsVersion) { Stamp::default() } else { stamp };
        }
        stage.tell(|| format!("projection puts price/{entity}@{stamp}"));
    }

    /// News of a new timeline: what it holds of the old one may never have been.
    pub(super) fn hear(&mut self, stage: &mut Stage<'_>, stamp: Stamp) {
        if stamp.timeline.0 > self.timeline {
            self.timeline = stamp.timeline.0;
            stage.judge.epoch(NUMBER, stage.nanos());
        }
    }

    pub(super) fn advance(&mut self, partition: usize, next: Offset) {
        self.positions[partition] = next.0;
    }

    pub(super) const fn position(&self, partition: usize) -> Offset {
        Offset(self.positions[partition])
    }

    /// It comes back from an old dump. A position that is kept elsewhere does not come back with it.
    pub(super) fn restore(&mut self, stage: &mut Stage<'_>, dump: &Self) {
        let positions = self.positions;
        *self = *dump;
        if stage.lacks(Mutant::PositionWithState) {
            self.positions = positions;
        }
        stage.tell(|| "projection comes back from an old dump".to_owned());
        stage.trace.step(0x600);
    }

    /// A reconciler compares it with its source, and repairs it.
    pub(super) fn reconcile(&mut self, source: &Source, now: u64) {
        for (entity, row) in self.rows.iter_mut().enumerate() {
            *row = (*row).max(source.row(entity, now).map(|row| row.stamp).unwrap_or_default());
        }
    }

    /// What it holds of an entity.
    pub(super) fn shown(&self, source: &Source, entity: usize) -> Shown {
        let stamp = self.rows[entity];
        let state = source.state(entity, stamp).filter(|state| !state.deleted);
        let state = state.map_or(State::Absent, |state| State::At {
            stamp,
            digest: Some(state.digest),
            in_force: None,
        });
        Shown { entity: u32::try_from(entity).unwrap_or(0), state }
    }
}
