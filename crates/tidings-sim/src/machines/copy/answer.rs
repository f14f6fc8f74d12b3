//! What a load finds, and what it declares that its answer depends on.

use std::time::Duration;

use tidings_core::fence::Held;
use tidings_core::{Stamp, Time};
use tidings_testkit::history::{InForce, State};
use tidings_testkit::judge::Shown;

use super::flight::Flight;
use super::{Cell, Holds, ordered};
use crate::machines::draw::{Nature, Style};
use crate::machines::pool::entity_key;
use crate::machines::source::Source;
use crate::machines::stage::Stage;
use crate::mutant::Mutant;

/// What the answer says of an entity that was read as it looked at `at`.
pub(super) fn cell(stage: &Stage<'_>, source: &Source, flight: &mut Flight, entity: usize, at: u64) -> Cell {
    let row = source.row(entity, at);
    let stamp = row.map(|row| row.stamp).unwrap_or_default();
    let effective = stage.setup.natures[entity] == Nature::Effective;
    // The source's own clock says what is in force, even at a replica: only its rows lag.
    let in_force = effective.then(|| {
        let (holds, boundary) = source.in_force(entity, at, stage.source_time());
        if let Some(boundary) = boundary {
            let until = life_until(stage, boundary);
            flight.until = Some(flight.until.map_or(until, |other| other.min(until)));
        }
        holds.map_or(InForce::Nothing, |state| InForce::Version(state.stamp))
    });
    let gone = row.is_none_or(|row| row.deleted);
    let absent = gone && !effective && !(stage.setup.tombstones && row.is_some());
    let digest = row.map(|row| row.digest).filter(|digest| *digest != 0);
    let state = if absent { State::Absent } else { State::At { stamp, digest, in_force } };
    let style = stage.setup.views[flight.view].style;
    let versioned = style == Style::Versioned && !absent && stamp != Stamp::default();
    Cell { stamp, absent, versioned, shown: Shown { entity: u32::try_from(entity).unwrap_or(0), state } }
}

/// How long an answer may be served that ceases to hold at `boundary` of the source's clock.
pub(super) fn life_until(stage: &Stage<'_>, boundary: Time) -> Duration {
    let left = boundary.since(stage.wall()).saturating_sub(stage.clock_error());
    stage.elapsed() + left
}

/// The versions are asked for again, once everything is read.
pub(super) fn tear(stage: &Stage<'_>, source: &Source, flight: &mut Flight) {
    flight.holds = Holds::default();
    let mut cells = flight.cells;
    for (entity, cell) in cells.iter_mut().enumerate() {
        let Some((cell, row)) = cell.as_mut().zip(source.row(entity, stage.now)) else { continue };
        if let State::At { stamp, .. } = &mut cell.shown.state {
            (cell.stamp, *stamp) = (row.stamp, row.stamp);
        }
        hold(stage, flight, entity, cell);
    }
    flight.cells = cells;
}

/// What the loader declares that it depends on.
pub(super) fn hold(stage: &Stage<'_>, flight: &mut Flight, entity: usize, cell: &Cell) {
    if cell.absent && stage.lacks(Mutant::AbsenceDepends) {
        return;
    }
    if stage.setup.views[flight.view].style != Style::Region {
        let held = if cell.versioned { Held::At(ordered(stage, cell.stamp)) } else { Held::Unmoved };
        flight.holds.push(entity_key(entity), held);
    }
}
