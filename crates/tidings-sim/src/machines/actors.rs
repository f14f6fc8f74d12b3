//! Everybody who takes part in a history, and what each of them does when it is its turn.

use super::consumer::{Kept, Lane, Target};
use super::copy::Copy;
use super::draw::{COPIES, PARTITIONS, Positions};
use super::log::Log;
use super::projection::{NUMBER, Projection};
use super::reader::Reader;
use super::relay::Relay;
use super::source::Source;
use super::stage::Stage;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    Writer,
    Relay(usize),
    /// The consumer of a copy.
    Feed(usize),
    /// The group's consumers.
    Group,
    /// The loads of a copy.
    Loads(usize),
    Reader(usize),
    /// What goes wrong by itself.
    Mishap,
}

/// The consumer of a copy: how far it has come since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boot {
    /// It has to find where to begin; not before this time.
    Positions(u64),
    /// It has to tell its copy that it begins.
    Begin([u64; PARTITIONS]),
    Running,
}

#[derive(Default)]
pub(super) struct Actors {
    pub(super) source: Source,
    pub(super) log: Log,
    pub(super) relays: Vec<Relay>,
    pub(super) copies: Vec<Copy>,
    pub(super) boots: [Option<Boot>; COPIES],
    /// By copy, then by partition.
    pub(super) feeds: [Vec<Lane>; COPIES],
    pub(super) group: Vec<Lane>,
    pub(super) kept: Kept,
    pub(super) dump: Option<Projection>,
    pub(super) readers: Vec<Reader>,
    /// The number of the next copy.
    pub(super) numbers: u32,
}

impl Actors {
    /// Takes its memory for a new history.
    pub(super) fn reset(&mut self, stage: &mut Stage<'_>) {
        self.source.reset(stage.setup);
        self.log.reset();
        self.relays.clear();
        self.relays.extend((0..stage.setup.relays).map(|number| Relay::new(stage, number)));
        self.copies.clear();
        self.feeds.iter_mut().for_each(Vec::clear);
        (self.boots, self.numbers) = ([None; COPIES], 0);
        for copy in 0..stage.setup.copies {
            self.copies.push(Copy::new(stage, self.numbers));
            self.boots[copy] = Some(Boot::Positions(stage.now + stage.setup.late));
            self.numbers += 1;
        }
        self.group.clear();
        self.kept = Kept { parked: std::mem::take(&mut self.kept.parked), ..Kept::default() };
        self.kept.parked.clear();
        self.kept.projection.reconcile(&self.source, stage.now);
        self.dump = None;
        if stage.setup.projection.is_some() {
            stage.judge.subscribed(NUMBER, None, stage.nanos());
            for partition in 0..stage.setup.partitions {
                let lane = self.group_lane(stage, partition, 0);
                self.group.push(lane);
            }
        }
        for copy in 0..if stage.setup.follows { stage.setup.copies } else { 0 } {
            self.feed(stage, copy);
            self.feed(stage, copy);
        }
        self.readers.clear();
        self.readers
            .extend((0..stage.setup.readers).map(|number| Reader::new(u32::try_from(number).unwrap_or(0))));
    }

    /// Somebody of the group takes over a partition.
    pub(super) fn group_lane(&self, stage: &Stage<'_>, partition: usize, wake: u64) -> Lane {
        let durable = stage.setup.projection == Some(Positions::Group);
        let start = match durable {
            true => self.log.committed(partition),
            false => self.kept.projection.position(partition),
        };
        Lane::new(partition, start, durable, wake)
    }

    /// Whether nobody has anything left to change or to ask. What a projection holds is seen only at the end: there, it
    /// is never too late for something to go wrong.
    pub(super) fn is_over(&self, stage: &Stage<'_>) -> bool {
        stage.setup.projection.is_none()
            && self.source.is_idle(stage.setup.commits)
            && self.readers.iter().map(|reader| reader.done).sum::<u32>() >= stage.setup.reads
            && !self.readers.iter().any(Reader::is_busy)
    }

    /// Whether this actor can do something now.
    pub(super) fn is_ready(&self, stage: &Stage<'_>, actor: Actor) -> bool {
        let awake = |lane: &Lane| !lane.is_asleep(stage, &self.log);
        match actor {
            Actor::Writer => !self.source.is_idle(stage.setup.commits),
            Actor::Relay(relay) => !self.relays[relay].is_asleep(&self.source, stage),
            Actor::Feed(copy) => match self.boots[copy] {
                None => false,
                Some(Boot::Positions(wake)) => wake <= stage.now,
                Some(Boot::Begin(_)) => true,
                Some(Boot::Running) => self.feeds[copy].iter().any(awake),
            },
            Actor::Group => self.group.iter().any(awake),
            Actor::Loads(copy) => !self.copies[copy].flights.is_empty(),
            Actor::Reader(reader) => {
                let reads: u32 = self.readers.iter().map(|reader| reader.done).sum();
                let reader = &self.readers[reader];
                !reader.is_waiting() && (reader.is_busy() || reads < stage.setup.reads)
            }
            Actor::Mishap => true,
        }
    }

    /// One step of this actor.
    pub(super) fn step(&mut self, stage: &mut Stage<'_>, actor: Actor) {
        match actor {
            Actor::Writer => self.source.step(stage),
            Actor::Relay(relay) => self.relays[relay].step(stage, &mut self.source, &mut self.log),
            Actor::Feed(copy) => self.feed(stage, copy),
            Actor::Group => self.step_group(stage),
            Actor::Loads(copy) => {
                let flights = u32::try_from(self.copies[copy].flights.len()).unwrap_or(1);
                let which = if flights == 1 { 0 } else { stage.choices.below(flights) as usize };
                self.fly(stage, copy, which);
            }
            Actor::Reader(reader) => self.readers[reader].step(stage, &self.source, &mut self.copies),
            Actor::Mishap => self.mishap(stage),
        }
    }

    /// One step of a load, and those who wait for it hear of its end.
    pub(super) fn fly(&mut self, stage: &mut Stage<'_>, copy: usize, which: usize) {
        let Some((id, landing)) = self.copies[copy].fly(stage, &self.source, which) else { return };
        let number = self.copies[copy].number;
        self.readers.iter_mut().for_each(|reader| reader.hear(number, id, &landing));
    }

    fn feed(&mut self, stage: &mut Stage<'_>, copy: usize) {
        match self.boots[copy] {
            Some(Boot::Positions(_)) => {
                let mut heads = [0; PARTITIONS];
                for (partition, head) in heads.iter_mut().enumerate().take(stage.setup.partitions) {
                    *head = self.log.head(partition).0;
                }
                self.boots[copy] = Some(Boot::Begin(heads));
                let number = self.copies[copy].number;
                stage.judge.subscribed(number, None, stage.nanos());
                stage.trace.step(0x800);
                stage.tell(|| format!("copy {number}     finds the head at {heads:?}"));
            }
            Some(Boot::Begin(heads)) => {
                self.copies[copy].begin(stage, &self.source);
                let lane =
                    |partition: usize| Lane::new(partition, tidings_core::Offset(heads[partition]), false, 0);
                self.feeds[copy].extend((0..stage.setup.partitions).map(lane));
                self.boots[copy] = Some(Boot::Running);
                stage.trace.step(0x801);
            }
            Some(Boot::Running) => {
                let lanes = &self.feeds[copy];
                let from = pick(stage, lanes.len());
                let awake = (0..lanes.len())
                    .map(|lane| (from + lane) % lanes.len())
                    .find(|lane| !lanes[*lane].is_asleep(stage, &self.log));
                if let Some(lane) = awake {
                    let target = Target::Copy(&mut self.copies[copy]);
                    self.feeds[copy][lane].step(stage, &self.source, &mut self.log, target);
                }
            }
            None => {}
        }
    }

    fn step_group(&mut self, stage: &mut Stage<'_>) {
        let from = pick(stage, self.group.len());
        let lanes = &self.group;
        let awake = (0..lanes.len())
            .map(|lane| (from + lane) % lanes.len())
            .find(|lane| !lanes[*lane].is_asleep(stage, &self.log));
        let Some(lane) = awake else { return };
        // Sooner or later an old owner hears that it is one.
        if self.group[lane].zombie && (stage.healing || stage.choices.chance(250)) {
            self.group.swap_remove(lane);
            return;
        }
        let target = Target::Projection(&mut self.kept);
        self.group[lane].step(stage, &self.source, &mut self.log, target);
    }
}

/// One of so many; nothing is drawn if there is no choice.
pub(super) fn pick(stage: &mut Stage<'_>, of: usize) -> usize {
    if of < 2 { 0 } else { stage.choices.below(u32::try_from(of).unwrap_or(1)) as usize }
}
