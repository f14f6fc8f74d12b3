//! A process with one cached answer of its own, which it takes from the shared level: the shipped floors and rules.

use std::time::Duration;

use tidings_core::Stamp;
use tidings_core::fence::landing::verdict;
use tidings_core::fence::{Fingerprint, Floors, Held, Limits, Tick, Ticket};
use tidings_core::shared::{AsOf, Behind, Passage, promotes};
use tidings_sim::mutant::Mutant;

use super::bucket::Bucket;

/// The process is the judge's second copy.
const PROCESS: u32 = 1;
const PRICE: Fingerprint = Fingerprint(0);
const NOW: Duration = Duration::ZERO;
const LIMITS: Limits = Limits { raised: 8, learned: 8, keep: Duration::from_secs(1) };

pub(super) struct Process {
    without: Option<Mutant>,
    floors: Floors,
    tick: Tick,
    passage: Passage,
    entry: Option<(Stamp, Held, Tick)>,
}

impl Process {
    /// Begins to follow the log at this place, with nothing cached.
    pub(super) fn follows(without: Option<Mutant>, least: AsOf) -> Self {
        let passage = Passage { least, heard: least };
        Self { without, floors: Floors::new(LIMITS), tick: Tick(0), passage, entry: None }
    }

    pub(super) fn hears(&mut self, bucket: &mut Bucket, stamp: Stamp, position: AsOf) {
        self.tick = Tick(self.tick.0 + 1);
        self.floors.raise(PRICE, stamp, self.tick, NOW);
        self.passage.heard = self.passage.heard.max(position);
        bucket.has_heard(PROCESS, stamp);
    }

    /// Before the shared level is asked.
    pub(super) fn captures(&self) -> (Ticket, Passage) {
        (Ticket { tick: self.tick, epoch: 0, started: NOW }, self.passage)
    }

    /// Its answer arrives; whether it was kept.
    pub(super) fn lands(
        &mut self,
        (ticket, passage): (Ticket, Passage),
        shown: Stamp,
        stamp: Option<Stamp>,
        as_of: AsOf,
    ) -> Result<bool, Behind> {
        let held = stamp.map_or(Held::Unmoved, Held::At);
        if self.without != Some(Mutant::PromotionAsOf) {
            promotes(stamp, as_of, passage)?;
        }
        let admitted = self.floors.check_fill(PRICE, held, ticket.tick, NOW).map(|()| ticket.tick);
        let kept = verdict(admitted, &ticket, 0, NOW, LIMITS.keep).is_ok();
        if kept || self.without == Some(Mutant::PromotionFill) {
            self.entry = Some((shown, held, ticket.tick));
        }
        Ok(kept)
    }

    /// What somebody is shown who reads here.
    pub(super) fn looks(&mut self, bucket: &mut Bucket) {
        let began = bucket.now();
        let Some((shown, held, since)) = self.entry else { return };
        // Who lands promotions as if they were no fills does not ask the floors again either.
        let trusts = self.without == Some(Mutant::PromotionFill);
        if trusts || self.floors.check_entry(PRICE, held, since).is_ok() {
            bucket.shown(PROCESS, shown, began);
        }
    }
}
