//! Reads of the owner itself, past every cache.

use std::time::Duration;

use tidings_core::certificate::{Freshness, Path};
use tidings_core::fence::Tick;
use tidings_testkit::history::State;
use tidings_testkit::judge::Shown;

use super::{Call, Reader};
use crate::machines::copy::{Cell, Copy};
use crate::machines::draw::ENTITIES;
use crate::machines::source::Source;
use crate::machines::stage::Stage;

impl Reader {
    /// The owner itself, past every cache.
    pub(super) fn read_directly(
        &mut self,
        stage: &mut Stage<'_>,
        source: &Source,
        cache: &Copy,
        view: usize,
    ) {
        let mut cells = [None; ENTITIES];
        for (entity, cell) in cells.iter_mut().enumerate() {
            let shown = stage.setup.views[view].shows[entity];
            let row = source.row(entity, stage.now).filter(|_| shown);
            *cell = shown.then(|| {
                let stamp = row.map(|row| row.stamp).unwrap_or_default();
                let state = match row.filter(|row| !row.deleted) {
                    Some(row) => State::At { stamp, digest: Some(row.digest), in_force: None },
                    None => State::Absent,
                };
                let entity = u32::try_from(entity).unwrap_or(0);
                let absent = row.is_none_or(|row| row.deleted);
                Cell { stamp, absent, versioned: false, shown: Shown { entity, state } }
            });
        }
        let call = Call {
            view,
            copy: 0,
            number: cache.number,
            token: None,
            remembers: true,
            began: stage.now,
            tried: Duration::ZERO,
            arrived: Tick(0),
            attempt: 1,
            old: None,
            renews: None,
            leads: true,
            waits_for: 0,
            landed: None,
        };
        self.answer(stage, &call, &cells, Path::Source, Freshness::Direct);
    }
}
