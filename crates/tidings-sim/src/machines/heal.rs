//! The end of a history: no further faults, everything drains, and what every copy holds is compared with its source.

use tidings_testkit::judge::Shown;

use super::actors::{Actor, Actors};
use super::copy::look::Look;
use super::copy::nanos;
use super::draw::ENTITIES;
use super::projection;
use super::stage::Stage;

/// How many steps it may take to come to rest.
const PATIENCE: u32 = 2_000;

impl Actors {
    /// Everything drains. Says what did not, if anything.
    pub(super) fn heal(&mut self, stage: &mut Stage<'_>) -> Result<(), String> {
        stage.healing = true;
        // One relay is enough from here on.
        self.relays.truncate(1);
        stage.tell(|| "           from here on, nothing goes wrong".to_owned());
        self.drain(stage)?;
        // What was published, and never was, is news that only the new timeline can take back.
        while let Some(entity) = self.source.phantom() {
            self.source.begin(stage, entity, false);
            self.drain(stage)?;
        }
        self.mark(stage)?;
        for (entity, stamp) in std::mem::take(&mut self.kept.parked) {
            self.kept.projection.put(stage, &self.source, entity, stamp);
        }
        if self.kept.repair {
            self.kept.projection.reconcile(&self.source, stage.now);
        }
        self.compare(stage);
        Ok(())
    }

    /// A mark behind everything.
    pub(super) fn mark(&mut self, stage: &mut Stage<'_>) -> Result<(), String> {
        stage.now += 50;
        if let Some(relay) = self.relays.first_mut() {
            relay.step(stage, &mut self.source, &mut self.log);
        }
        self.drain(stage)
    }

    /// Everybody goes on, in the order in which news travels, until nobody has anything left to do.
    pub(super) fn drain(&mut self, stage: &mut Stage<'_>) -> Result<(), String> {
        let mut left = PATIENCE;
        while left > 0 {
            let before = left;
            self.drain_one(stage, Actor::Writer, &mut left);
            (0..self.relays.len()).for_each(|relay| self.drain_one(stage, Actor::Relay(relay), &mut left));
            for copy in 0..self.copies.len() {
                self.drain_one(stage, Actor::Feed(copy), &mut left);
                self.drain_one(stage, Actor::Loads(copy), &mut left);
            }
            (0..self.readers.len())
                .for_each(|reader| self.drain_one(stage, Actor::Reader(reader), &mut left));
            self.drain_one(stage, Actor::Group, &mut left);
            if left == before {
                if self.is_at_rest(stage) {
                    return Ok(());
                }
                (left, stage.now) = (left - 1, stage.now + 4);
                self.source.keep_promises(stage);
            }
        }
        Err(format!("it did not come to rest within {PATIENCE} steps"))
    }

    fn drain_one(&mut self, stage: &mut Stage<'_>, actor: Actor, left: &mut u32) {
        while *left > 0 && self.has_to_go_on(stage, actor) {
            stage.now += 1;
            *left -= 1;
            stage.tally.operations += 1;
            self.source.keep_promises(stage);
            self.step(stage, actor);
        }
    }

    fn has_to_go_on(&self, stage: &Stage<'_>, actor: Actor) -> bool {
        match actor {
            Actor::Writer => self.source.has_open(),
            // Nobody asks anew.
            Actor::Reader(reader) => self.readers[reader].is_busy() && self.is_ready(stage, actor),
            // Marks alone would never end.
            Actor::Relay(relay) => {
                !self.relays[relay].is_idle(&self.source, stage) && self.is_ready(stage, actor)
            }
            actor => self.is_ready(stage, actor),
        }
    }

    fn is_at_rest(&self, stage: &Stage<'_>) -> bool {
        !self.source.has_open()
            && self.relays.iter().all(|relay| relay.is_idle(&self.source, stage))
            && self.feeds.iter().flatten().chain(&self.group).all(|lane| lane.is_idle(&self.log))
            && self.copies.iter().all(|copy| copy.flights.is_empty())
            && !self.readers.iter().any(super::reader::Reader::is_busy)
    }

    /// What everybody holds, now that all have heard everything.
    fn compare(&mut self, stage: &mut Stage<'_>) {
        stage.now += 1;
        let upto = stage.nanos();
        if stage.setup.projection.is_some() {
            for entity in 0..stage.setup.entities {
                let shown = self.kept.projection.shown(&self.source, entity);
                stage.judge.held(projection::NUMBER, shown, upto, upto);
            }
        }
        for copy in &mut self.copies {
            let mut held: [Option<(Shown, u64)>; ENTITIES] = [None; ENTITIES];
            for view in 0..stage.setup.view_count {
                let Look::Hit(entry, age) = copy.look(stage, view) else { continue };
                self.readers[0].read(stage, copy, (0, view), false);
                for cell in entry.cells.iter().flatten() {
                    held[cell.shown.entity as usize] = Some((cell.shown, upto - nanos(age)));
                }
            }
            // Not more than it says of itself.
            for (shown, known) in held.into_iter().flatten() {
                stage.judge.held(copy.number, shown, known, upto);
            }
        }
    }
}
