//! What an event carries, put into a cached answer in place.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::fence::Held;
use tidings_core::{Event, Stamp};
use tidings_testkit::history::{InForce, State as Shows};

use super::answer::life_until;
use super::{Copy, Entry, entity_of, ordered};
use crate::machines::draw::Nature;
use crate::machines::pool::entity_key;
use crate::machines::source::{Source, State};
use crate::machines::stage::Stage;
use crate::mutant::Mutant;

impl Copy {
    /// The events of one entity, in order, put into the answer of the version just before them.
    pub(super) fn update(
        &mut self,
        stage: &mut Stage<'_>,
        source: &Source,
        view: usize,
        events: &[Arc<Event>],
    ) {
        let Some(old) = self.entries[view] else { return };
        let Some((mut entry, last)) = changed(stage, source, old, events) else { return };
        // What is unversioned was good at the old entry's stamp, and must not have moved since.
        let Ok(good_at) = self.admitted(stage, &entry.holds, old.good_at) else { return };
        self.serial += 1;
        (entry.good_at, entry.serial, entry.refreshing) = (good_at, self.serial, false);
        self.entries[view] = Some(entry);
        let number = self.number;
        stage.trace.step(0x340 + view as u64);
        stage.tell(|| format!("copy {number}     updates view {view} to version {last}"));
    }
}

/// The entry with the entity at the version of the last event; `None` unless each follows the one before it, since an
/// event carries no more than what it changed, and is in force.
fn changed(
    stage: &Stage<'_>,
    source: &Source,
    mut entry: Entry,
    events: &[Arc<Event>],
) -> Option<(Entry, Stamp)> {
    let entity = entity_of(events.first()?);
    let hold = entry.holds.of_mut(entity_key(entity))?;
    let Held::At(mut last) = hold.held else { return None };
    let cell = entry.cells[entity].as_mut()?;
    for event in events {
        let follows = ordered(stage, event.stamp).timeline == last.timeline
            && last.version.next() == event.stamp.version;
        if !follows && !stage.lacks(Mutant::UpdateFollows) {
            return None;
        }
        // In the harness, what an event carries is looked up.
        let state = source.state(entity, event.stamp).filter(|state| !state.deleted)?;
        let effective = stage.setup.natures[entity] == Nature::Effective;
        if effective {
            entry.hard = entry.hard.min(life_in_window(stage, state)?);
            // The updater knows whether what is shown came into force later than this.
            if let Shows::At { in_force: Some(InForce::Version(shown)), .. } = cell.shown.state
                && source.state(entity, shown).is_some_and(|shown| shown.window.from > state.window.from)
            {
                return None;
            }
        }
        last = ordered(stage, event.stamp);
        // Applied to another version than the one before, what the event does not name is wrong.
        let digest = if follows { state.digest } else { !state.digest };
        let in_force = effective.then_some(InForce::Version(event.stamp));
        cell.stamp = event.stamp;
        cell.shown.state = Shows::At { stamp: event.stamp, digest: Some(digest), in_force };
    }
    hold.held = Held::At(last);
    Some((entry, last))
}

/// How long what this version says may be served; `None` unless it is in force wherever the source's clock may stand.
fn life_in_window(stage: &Stage<'_>, state: &State) -> Option<Duration> {
    let error = if stage.lacks(Mutant::WindowOfSource) { Duration::ZERO } else { stage.clock_error() };
    let (early, late) = (stage.wall().minus(error), stage.wall().plus(error));
    if !state.window.contains(early) || !state.window.contains(late) {
        return None;
    }
    match state.window.boundary_after(early) {
        Some(boundary) if !stage.lacks(Mutant::UpdateEndsWithWindow) => Some(life_until(stage, boundary)),
        _ => Some(Duration::MAX),
    }
}
