//! A consumer's lane on one partition: the shipped machine, and the driver's part of it.

use std::time::Duration;

use tidings_core::consumer::{Action, Consumer as Machine, Input, Planned, Settings};
use tidings_core::port::{Read, Record};
use tidings_core::{Action as Effect, Code, Error, Offset, Outcome, Stamp};
use tidings_testkit::judge::Applied;

use super::copy::{Copy, entity_of};
use super::draw::Setup;
use super::log::Log;
use super::pool::Pool;
use super::projection::{self, Projection};
use super::relay::BACKOFF;
use super::rules::Rules;
use super::source::Source;
use super::stage::Stage;
use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::tally::Sometimes;

/// What a lane keeps honest.
pub(super) enum Target<'a> {
    Copy(&'a mut Copy),
    Projection(&'a mut Kept),
}

/// A projection and what belongs to it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) projection: Projection,
    /// What is set aside, until it is redriven.
    pub(super) parked: Vec<(usize, Stamp)>,
    /// It missed something; a reconciler has to look.
    pub(super) repair: bool,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) partition: usize,
    machine: Machine,
    action: Action,
    start: Offset,
    /// Positions are committed to the log.
    durable: bool,
    pub(super) wake: u64,
    /// Half of a batch has taken effect.
    half: bool,
    /// Somebody else has this partition by now, and this lane does not know.
    pub(super) zombie: bool,
    pub(super) stopped: bool,
}

impl Lane {
    pub(super) fn new(partition: usize, start: Offset, durable: bool, wake: u64) -> Self {
        let settings = Settings { commit_every: Duration::from_micros(6), backoff: BACKOFF };
        Self {
            partition,
            machine: Machine::new(durable, settings),
            action: Action::Start,
            start,
            durable,
            wake,
            half: false,
            zombie: false,
            stopped: false,
        }
    }

    /// Whether it would only sleep on.
    pub(super) fn is_asleep(&self, stage: &Stage<'_>, log: &Log) -> bool {
        match self.action {
            Action::Wait(at, due) => {
                !log.has_news(self.partition, at) && (due.is_none() || self.wake > stage.now)
            }
            _ => self.wake > stage.now || self.stopped,
        }
    }

    /// Whether everything in the log is applied and committed.
    pub(super) fn is_idle(&self, log: &Log) -> bool {
        matches!(self.action, Action::Wait(at, None) if !log.has_news(self.partition, at))
    }

    /// One call of a port, and what the machine makes of its answer.
    pub(super) fn step(
        &mut self,
        stage: &mut Stage<'_>,
        source: &Source,
        log: &mut Log,
        mut target: Target<'_>,
    ) {
        if stage.strikes(Fault::Delay) {
            self.wake = stage.now + 1 + u64::from(stage.choices.below(10));
            return;
        }
        self.wakes_up(stage, &target);
        let lost = !self.half && stage.strikes(Fault::Loss);
        let input = if lost { failed() } else { self.perform(stage, source, log, &mut target) };
        let Some(input) = input.filter(|_| !self.half) else { return };
        let input = match input {
            Input::Done if stage.strikes(Fault::LostAnswer) => Input::Failed(busy()),
            input => input,
        };
        self.told(stage, &target, &input);
        let (now, random) = (stage.elapsed(), stage.random_if(matches!(input, Input::Failed(_))));
        let rules = rules(stage.setup, stage.pool, &target, !stage.lacks(Mutant::ParkBumps));
        self.action = self.machine.on(now, random, &rules, input);
        for (_, outcome) in self.machine.outcomes() {
            if outcome == Outcome::Parked {
                stage.happened(Sometimes::Parked);
            }
        }
        self.sleep(stage);
    }

    /// Waiting, and finding out where to begin, is nothing that others could come between.
    fn wakes_up(&mut self, stage: &mut Stage<'_>, target: &Target<'_>) {
        while matches!(self.action, Action::Start | Action::Wait(..) | Action::Backoff(_)) {
            let started = matches!(self.action, Action::Start);
            let input = if started { Input::Started(self.start) } else { Input::Done };
            let rules = rules(stage.setup, stage.pool, target, true);
            self.action = self.machine.on(stage.elapsed(), 0, &rules, input);
        }
    }

    fn sleep(&mut self, stage: &Stage<'_>) {
        let pause = match &self.action {
            Action::Wait(_, due) => due.unwrap_or_default(),
            Action::Backoff(pause) => *pause,
            Action::Drained | Action::Stop(_) => {
                self.stopped = true;
                Duration::ZERO
            }
            _ => Duration::ZERO,
        };
        self.wake = stage.now + u64::try_from(pause.as_micros()).unwrap_or(0);
    }

    fn perform(
        &mut self,
        stage: &mut Stage<'_>,
        source: &Source,
        log: &mut Log,
        target: &mut Target<'_>,
    ) -> Option<Input> {
        match &self.action {
            Action::Read(at) => {
                let read = log.read(self.partition, *at, stage.batch());
                if let (Read::Records(records), true) = (&read, stage.lacks(Mutant::ApplyBeforeCommit))
                    && let (Some(last), true) = (records.last(), self.durable)
                {
                    log.commit(self.partition, last.offset.next());
                }
                return Some(Input::Read(read));
            }
            Action::OpenEpoch(_) => open_epoch(stage, target),
            Action::Apply => self.apply(stage, source, target),
            Action::Commit(at) => log.commit(self.partition, *at),
            Action::Start
            | Action::Park
            | Action::Wait(..)
            | Action::Backoff(_)
            | Action::Drained
            | Action::Stop(_) => {}
        }
        Some(Input::Done)
    }

    /// In two steps: what the events do, and then what the marks behind them prove.
    fn apply(&mut self, stage: &mut Stage<'_>, source: &Source, target: &mut Target<'_>) {
        let planned = self.machine.planned();
        let caught_up = planned.caught_up;
        let effects_first = caught_up.is_none() || !stage.lacks(Mutant::MarkAfterEvents);
        match target {
            Target::Copy(copy) if self.half != effects_first => {
                let raises = |action: &&Effect| match action {
                    Effect::Raise { floor, .. } if stage.lacks(Mutant::ParkRaisesFloor) => {
                        !planned.parked.iter().any(|(_, event, _)| event.stamp == *floor)
                    }
                    _ => true,
                };
                if planned.parked.is_empty() || !stage.lacks(Mutant::ParkRaisesFloor) {
                    copy.act(stage, source, &planned.actions);
                } else {
                    let actions: Vec<_> = planned.actions.iter().filter(raises).cloned().collect();
                    copy.act(stage, source, &actions);
                }
                report(stage, copy.number, planned);
            }
            Target::Copy(copy) => {
                if let Some(time) = caught_up {
                    copy.catch_up(stage, self.partition, time);
                }
            }
            Target::Projection(kept) => {
                for event in &planned.events {
                    kept.projection.put(stage, source, entity_of(event), event.stamp);
                }
                for (_, event, _) in &planned.parked {
                    kept.projection.hear(stage, event.stamp);
                    kept.parked.push((entity_of(event), event.stamp));
                }
                if let Some(next) = planned.next {
                    kept.projection.advance(self.partition, next);
                }
                report(stage, projection::NUMBER, planned);
            }
        }
        let in_two = matches!(target, Target::Copy(_)) && caught_up.is_some();
        self.half = in_two && !self.half;
    }

    fn told(&self, stage: &mut Stage<'_>, target: &Target<'_>, input: &Input) {
        let (kind, name) = match &self.action {
            Action::Start => (0, "starts"),
            Action::Read(_) => (1, "reads"),
            Action::OpenEpoch(_) => (2, "declares a gap"),
            Action::Park => (3, "parks"),
            Action::Apply => (4, "applies"),
            Action::Commit(_) => (5, "commits its position"),
            Action::Wait(..) => (6, "waits"),
            Action::Backoff(_) => (7, "tries again"),
            Action::Drained | Action::Stop(_) => (8, "stops"),
        };
        let failed = matches!(input, Input::Failed(_));
        let number = number(target);
        stage.trace.step(0x400 + u64::from(number) * 32 + kind * 2 + u64::from(failed));
        let partition = self.partition;
        stage.tell(|| {
            let result = match input {
                Input::Read(Read::Gap { resume }) => format!(": nothing before {resume}"),
                Input::Read(Read::Records(records)) => records
                    .iter()
                    .map(|stored| format!(" {}={}", stored.offset, word(&stored.record)))
                    .collect(),
                Input::Failed(_) => ": an error".to_owned(),
                Input::Started(at) => format!(" at {at}"),
                Input::Done => String::new(),
            };
            format!("consumer {number}/{partition} {name}{result}")
        });
    }
}

fn word(record: &Record) -> String {
    match record {
        Record::Event(event) => format!("{}@{}", event.entity, event.stamp),
        Record::Mark(mark) => format!("mark {}", mark.time.micros() - 1_000),
        Record::Gap(_) => "gap".to_owned(),
        Record::Unreadable(_) => "unreadable".to_owned(),
    }
}

fn rules<'a>(setup: &'a Setup, pool: &'a Pool, target: &Target<'_>, bumps_when_parked: bool) -> Rules<'a> {
    Rules { setup, pool, projects: matches!(target, Target::Projection(_)), bumps_when_parked }
}

/// Something was missed; what was committed before is no longer expected of whoever says so.
fn open_epoch(stage: &mut Stage<'_>, target: &mut Target<'_>) {
    stage.happened(Sometimes::Gap);
    stage.judge.subscribed(number(target), None, stage.nanos());
    match target {
        Target::Copy(_) if stage.lacks(Mutant::GapOpensEpoch) => {}
        Target::Copy(copy) => copy.miss(stage),
        Target::Projection(kept) => {
            kept.repair = true;
            stage.judge.epoch(projection::NUMBER, stage.nanos());
        }
    }
}

/// What became of events, at the moment when it did: whoever applied them may not live to say so.
fn report(stage: &mut Stage<'_>, copy: u32, planned: &Planned) {
    for (event, outcome) in &planned.outcomes {
        let entity = u32::try_from(entity_of(event)).unwrap_or(0);
        let applied = Applied { copy, entity, stamp: event.stamp, outcome: *outcome, at: stage.nanos() };
        stage.judge.applied(&applied);
    }
}

fn number(target: &Target<'_>) -> u32 {
    match target {
        Target::Copy(copy) => copy.number,
        Target::Projection(_) => projection::NUMBER,
    }
}

fn failed() -> Option<Input> {
    Some(Input::Failed(busy()))
}

fn busy() -> Error {
    Error::new(Code::BUSY, String::new())
}
