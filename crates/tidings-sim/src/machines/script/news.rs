//! News on its way: relays, and those who hear of it.

use tidings_core::relay::partition_of;

use super::{Row, Script};
use crate::machines::actors::Actor;
use crate::machines::consumer::Target;

impl Script {
    /// So many calls of a relay: a scan, an append of what it has read and of marks that are due, an acknowledgement.
    pub fn relay_steps(&mut self, relay: usize, steps: u32) {
        for _ in 0..steps {
            self.act(|stage, actors| actors.step(stage, Actor::Relay(relay)));
        }
    }

    /// A relay publishes what there is, with a mark behind it.
    ///
    /// # Errors
    /// If it does not come to an end: a defect.
    pub fn publishes(&mut self, relay: usize) -> Result<(), String> {
        self.actor_goes_on(Actor::Relay(relay))
    }

    /// A relay ends at once, and starts again; what it was about to append is lost with it.
    pub fn kills_relay(&mut self, relay: usize) {
        self.act(|stage, actors| {
            let wake = stage.now;
            actors.relays[relay].kill(stage, &mut actors.log, wake);
        });
    }

    /// A copy takes in everything that is in the log.
    ///
    /// # Errors
    /// If it does not come to an end: a defect.
    pub fn hears(&mut self, copy: usize) -> Result<(), String> {
        self.actor_goes_on(Actor::Feed(copy))
    }

    /// The first copy takes in what is in one partition of the log, and nothing of the others.
    ///
    /// # Errors
    /// If it does not come to an end: a defect.
    pub fn hears_only(&mut self, partition: usize) -> Result<(), String> {
        self.goes_on("a lane", |stage, actors| {
            let lane = &mut actors.feeds[0][partition];
            let awake = !lane.is_asleep(stage, &actors.log);
            if awake {
                let target = Target::Copy(&mut actors.copies[0]);
                lane.step(stage, &actors.source, &mut actors.log, target);
            }
            awake
        })
    }

    /// The partition that an entity's events are in.
    #[must_use]
    pub fn partition_of(&self, entity: usize) -> usize {
        let partitions = u32::try_from(self.setup.partitions).unwrap_or(1);
        partition_of(&self.world.pool.entities[entity], partitions) as usize
    }

    /// The group's projection takes in everything that is in the log.
    ///
    /// # Errors
    /// If it does not come to an end: a defect.
    pub fn group_hears(&mut self) -> Result<(), String> {
        self.actor_goes_on(Actor::Group)
    }

    /// What has changed is published by the first relay, and everybody hears of it.
    ///
    /// # Errors
    /// If that does not come to an end: a defect.
    pub fn spreads(&mut self) -> Result<(), String> {
        self.publishes(0)?;
        (0..self.setup.copies).try_for_each(|copy| self.hears(copy))?;
        self.group_hears()
    }

    /// An entity changes, and everybody hears of it.
    ///
    /// # Errors
    /// If that does not come to an end: a defect.
    pub fn news(&mut self, entity: usize) -> Result<(), String> {
        self.changes(entity, Row::Plain);
        self.spreads()
    }
}
