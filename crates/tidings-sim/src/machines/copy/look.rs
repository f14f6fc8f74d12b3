//! The hit path.

use std::time::Duration;

use tidings_core::fence::landing::{Doubt, doubt};

use super::flight::is_refused;
use super::{Copy, Entry, Hold};
use crate::machines::stage::Stage;
use crate::mutant::Mutant;

/// What the cache holds for a view.
#[derive(Debug, Clone, Copy)]
pub(in crate::machines) enum Look {
    Miss,
    /// An answer within its bound, and how old it may be.
    Hit(Entry, Duration),
    /// Nothing is known against it, but not enough is known for it.
    Doubtful(Entry, Doubt),
}

impl Copy {
    pub(in crate::machines) fn look(&mut self, stage: &Stage<'_>, view: usize) -> Look {
        let Some(entry) = self.entries[view] else { return Look::Miss };
        if !self.stands(stage, &entry) {
            return Look::Miss;
        }
        if let Some(held) = &mut self.entries[view] {
            held.good_at = self.tick;
        }
        let now = stage.elapsed();
        let known = match entry.followed {
            true => entry.as_of.max(self.known),
            false => entry.as_of,
        };
        let age = now.saturating_sub(known);
        let bound = Duration::from_micros(stage.setup.views[view].bound);
        let same_epoch = entry.epoch == self.epoch || stage.lacks(Mutant::EpochMakesUnverified);
        let unchecked = stage.lacks(Mutant::BoundChecked);
        match doubt(now >= entry.hard, same_epoch, age > bound && !unchecked) {
            None => Look::Hit(entry, if unchecked { age.min(bound) } else { age }),
            Some(doubt) => Look::Doubtful(entry, doubt),
        }
    }

    /// Whether an entry may still be served as far as floors go.
    pub(in crate::machines) fn stands(&self, stage: &Stage<'_>, entry: &Entry) -> bool {
        let check =
            |hold: &Hold| !is_refused(stage, self.floors.check_entry(hold.key, hold.held, entry.good_at));
        stage.lacks(Mutant::AcceptRule) || entry.holds.iter().all(check)
    }
}
