//! What goes wrong by itself: processes end, stores forget, time passes.

use tidings_testkit::history::Nanos;

use super::actors::{Actors, Boot, pick};
use super::copy::Copy;
use super::draw::Positions;
use super::projection::Projection;
use super::stage::Stage;
use crate::fault::Fault;

/// What can strike by itself.
const MISHAPS: &[Fault] = &[
    Fault::Kill,
    Fault::Pause,
    Fault::Truncation,
    Fault::Rebalance,
    Fault::Wipe,
    Fault::OldDump,
    Fault::Pressure,
    Fault::Failover,
];

impl Actors {
    /// One thing goes wrong, if it is on; or time passes.
    pub(super) fn mishap(&mut self, stage: &mut Stage<'_>) {
        let on = || MISHAPS.iter().filter(|fault| stage.setup.rate(**fault) > 0);
        let count = u32::try_from(on().count()).unwrap_or(0);
        match stage.choices.below(count * stage.setup.turns.faults + 4) as usize {
            0 => {}
            1 | 2 => {
                let (copy, view) = (pick(stage, self.copies.len()), pick(stage, stage.setup.view_count));
                self.copies[copy].evict(stage, view);
            }
            3 => {
                let pause = u64::from(stage.choices.below(25));
                stage.now += pause;
                stage.tell(|| format!("time       {pause} us pass"));
            }
            which => {
                let fault = on()
                    .nth((which - 4) / stage.setup.turns.faults as usize)
                    .copied()
                    .unwrap_or(Fault::Pause);
                if stage.choices.chance(stage.setup.rate(fault)) && self.strike(stage, fault) {
                    stage.tally.struck(fault);
                    stage.trace.step(0x900 + fault as u64);
                }
            }
        }
    }

    fn strike(&mut self, stage: &mut Stage<'_>, fault: Fault) -> bool {
        let wake = stage.now + u64::from(stage.choices.below(12));
        match fault {
            Fault::Kill => self.kill(stage, wake),
            Fault::Pause => self.pause(stage, wake),
            Fault::Truncation => {
                if !self.source.all_readable() {
                    return false;
                }
                let (partition, keep) = (pick(stage, stage.setup.partitions), pick(stage, 3));
                self.truncate(stage, partition, keep);
            }
            Fault::Rebalance => {
                if stage.setup.projection.is_none() {
                    return false;
                }
                let partition = pick(stage, stage.setup.partitions);
                self.rebalance(stage, partition);
            }
            Fault::Wipe => {
                let copy = pick(stage, self.copies.len());
                self.copies[copy].wipe(stage);
            }
            Fault::OldDump => return self.old_dump(stage, wake),
            Fault::Pressure => {
                let (copy, view) = (pick(stage, self.copies.len()), pick(stage, stage.setup.view_count));
                self.copies[copy].evict(stage, view);
            }
            Fault::Failover => self.fail_over(stage),
            _ => return false,
        }
        true
    }

    /// A process ends at once, and starts again with what was durable.
    fn kill(&mut self, stage: &mut Stage<'_>, wake: u64) {
        match pick(stage, 4) {
            0 => {
                let relay = pick(stage, self.relays.len());
                self.relays[relay].kill(stage, &mut self.log, wake);
            }
            1 => {
                let copy = pick(stage, self.copies.len());
                self.restart_copy(stage, copy, wake);
            }
            2 => {
                let copy = pick(stage, self.copies.len());
                self.restart_feed(stage, copy, wake);
            }
            _ if self.group.is_empty() => {}
            _ => self.restart_group(stage, wake),
        }
    }

    fn pause(&mut self, stage: &mut Stage<'_>, wake: u64) {
        let relay = pick(stage, self.relays.len());
        let copy = pick(stage, self.copies.len());
        match pick(stage, 3) {
            0 => self.relays[relay].wake = self.relays[relay].wake.max(wake),
            1 => self.feeds[copy].iter_mut().for_each(|lane| lane.wake = lane.wake.max(wake)),
            _ => self.group.iter_mut().for_each(|lane| lane.wake = lane.wake.max(wake)),
        }
    }

    /// A copy's process starts again: another copy, with nothing in it.
    pub(super) fn restart_copy(&mut self, stage: &mut Stage<'_>, copy: usize, wake: u64) {
        let number = self.copies[copy].number;
        self.readers.iter_mut().for_each(|reader| reader.hang_up(number));
        stage.tell(|| format!("copy {number}     is killed"));
        // Nothing is expected of it any more.
        stage.judge.subscribed(number, None, Nanos::MAX);
        self.copies[copy].end_lease(stage);
        self.copies[copy] = Copy::new(stage, self.numbers);
        self.numbers += 1;
        self.feeds[copy].clear();
        self.boots[copy] = Some(Boot::Positions(wake));
    }

    /// Only the consumer of a copy starts again; what is cached stays.
    pub(super) fn restart_feed(&mut self, stage: &mut Stage<'_>, copy: usize, wake: u64) {
        let number = self.copies[copy].number;
        stage.tell(|| format!("consumer {number}   is killed"));
        self.feeds[copy].clear();
        self.boots[copy] = Some(Boot::Positions(wake));
    }

    /// The group's processes start again.
    pub(super) fn restart_group(&mut self, stage: &mut Stage<'_>, wake: u64) {
        stage.tell(|| "group      is killed".to_owned());
        self.group.clear();
        for partition in 0..stage.setup.partitions {
            let lane = self.group_lane(stage, partition, wake);
            self.group.push(lane);
        }
    }

    /// A partition goes to another of the group; the old owner does not know yet.
    pub(super) fn rebalance(&mut self, stage: &mut Stage<'_>, partition: usize) {
        self.group.iter_mut().filter(|lane| lane.partition == partition).for_each(|lane| lane.zombie = true);
        let lane = self.group_lane(stage, partition, 0);
        self.group.push(lane);
        stage.tell(|| format!("group      partition {partition} changes hands"));
    }

    /// The oldest records of a partition are gone but for so many.
    pub(super) fn truncate(&mut self, stage: &mut Stage<'_>, partition: usize, keep: usize) {
        self.log.truncate(partition, keep);
        stage.tell(|| format!("log        partition {partition} keeps {keep} records"));
    }

    /// A dump of the projection is taken, or comes back.
    fn old_dump(&mut self, stage: &mut Stage<'_>, wake: u64) -> bool {
        if stage.setup.projection != Some(Positions::Own) {
            return false;
        }
        let Some(dump) = self.dump.take() else {
            self.dump = Some(self.kept.projection);
            return false;
        };
        self.restore(stage, &dump, wake);
        true
    }

    /// The projection comes back from this dump, and whoever keeps it starts again.
    pub(super) fn restore(&mut self, stage: &mut Stage<'_>, dump: &Projection, wake: u64) {
        self.kept.projection.restore(stage, dump);
        self.restart_group(stage, wake);
    }

    /// The source's primary is lost: so is whoever was connected to it.
    pub(super) fn fail_over(&mut self, stage: &mut Stage<'_>) {
        for relay in &mut self.relays {
            relay.kill(stage, &mut self.log, stage.now);
        }
        self.source.fail_over(stage);
    }
}
