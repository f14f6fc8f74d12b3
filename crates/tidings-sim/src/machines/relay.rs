//! A relay: the shipped machine, and the driver's part of it.

use std::time::Duration;

use tidings_core::port::{Append, Record};
use tidings_core::relay::{Action, Input, Relay as Machine, Settings};
use tidings_core::retry::Backoff;
use tidings_core::{Code, Error};

use super::log::Log;
use super::source::Source;
use super::stage::Stage;
use crate::fault::Fault;
use crate::mutant::Mutant;

#[derive(Debug)]
pub(super) struct Relay {
    number: usize,
    machine: Machine,
    action: Action,
    /// Not before: asleep, delayed, or gone until it is started again.
    pub(super) wake: u64,
    /// What it last appended: the log's client may send it once more.
    last: Vec<Append>,
    /// Why it gave up, if it did.
    pub(super) stopped: bool,
}

impl Relay {
    pub(super) fn new(stage: &Stage<'_>, number: usize) -> Self {
        Self {
            number,
            machine: machine(stage),
            action: Action::Start,
            wake: 0,
            last: Vec::new(),
            stopped: false,
        }
    }

    /// It ends at once; what was under way to the log may still arrive there. It starts again at `wake`.
    pub(super) fn kill(&mut self, stage: &mut Stage<'_>, log: &mut Log, wake: u64) {
        if matches!(self.action, Action::Append) && stage.choices.chance(500) {
            log.append(stage, self.machine.batch());
        }
        self.machine = machine(stage);
        (self.action, self.wake) = (Action::Start, wake);
        let number = self.number;
        stage.tell(|| format!("relay {number}    is killed"));
        stage.trace.step(0x200 + number as u64);
    }

    /// Whether nothing is left to do but to send marks.
    pub(super) fn is_idle(&self, source: &Source, stage: &Stage<'_>) -> bool {
        match self.action {
            Action::Wait { after, .. } => !source.has_rows_after(after, stage),
            _ => self.stopped,
        }
    }

    /// Whether it would only sleep on.
    pub(super) fn is_asleep(&self, source: &Source, stage: &Stage<'_>) -> bool {
        match self.action {
            Action::Wait { after, .. } => self.wake > stage.now && !source.has_rows_after(after, stage),
            _ => self.wake > stage.now || self.stopped,
        }
    }

    /// One call of a port, and what the machine makes of its answer.
    pub(super) fn step(&mut self, stage: &mut Stage<'_>, source: &mut Source, log: &mut Log) {
        if stage.strikes(Fault::Delay) {
            self.wake = stage.now + 1 + u64::from(stage.choices.below(10));
            return;
        }
        self.wakes_up(stage, source);
        let lost = stage.strikes(Fault::Loss);
        let input = if lost { failed() } else { self.perform(stage, source, log) };
        let input = match input {
            Input::Done if stage.strikes(Fault::LostAnswer) => failed(),
            input => input,
        };
        self.told(stage, &input);
        let (now, random) = (stage.elapsed(), stage.random_if(matches!(input, Input::Failed(_))));
        self.action = self.machine.on(now, random, input);
        self.sleep(stage);
    }

    /// Waiting, and finding out where to begin, is nothing that others could come between.
    fn wakes_up(&mut self, stage: &mut Stage<'_>, source: &Source) {
        while matches!(self.action, Action::Start | Action::Wait { .. } | Action::Backoff(_)) {
            let started = matches!(self.action, Action::Start);
            let input = if started { Input::Started(source.acknowledged()) } else { Input::Done };
            self.action = self.machine.on(stage.elapsed(), 0, input);
        }
    }

    fn sleep(&mut self, stage: &Stage<'_>) {
        let pause = match &self.action {
            Action::Wait { at_most, .. } => *at_most,
            Action::Backoff(pause) => *pause,
            Action::Drained | Action::Stop(_) => {
                self.stopped = true;
                Duration::ZERO
            }
            _ => Duration::ZERO,
        };
        self.wake = stage.now + u64::try_from(pause.as_micros()).unwrap_or(0);
    }

    fn perform(&mut self, stage: &mut Stage<'_>, source: &mut Source, log: &mut Log) -> Input {
        match &self.action {
            Action::Scan { after, limit } => {
                let scan = source.scan(stage, *after, *limit);
                if let Some(last) = scan.rows.last()
                    && stage.lacks(Mutant::AppendBeforeAcknowledge)
                {
                    source.acknowledge(last.cursor);
                }
                Input::Scanned(scan)
            }
            Action::Append => {
                self.append(stage, log);
                Input::Done
            }
            Action::Acknowledge(cursor) => {
                source.acknowledge(*cursor);
                Input::Done
            }
            Action::Start
            | Action::Park { .. }
            | Action::Wait { .. }
            | Action::Backoff(_)
            | Action::Drained
            | Action::Stop(_) => Input::Done,
        }
    }

    fn append(&mut self, stage: &mut Stage<'_>, log: &mut Log) {
        let batch = self.machine.batch();
        let reorder = stage.lacks(Mutant::MarkAfterBatch);
        if reorder || stage.lacks(Mutant::UnreadableRowIsGap) {
            let is_mark = |append: &&Append| matches!(append.record, Record::Mark(_));
            let mut changed: Vec<_> = batch.to_vec();
            if reorder {
                changed = batch.iter().filter(is_mark).cloned().collect();
                changed.extend(batch.iter().filter(|append| !is_mark(append)).cloned());
            } else {
                changed.retain(|append| !matches!(append.record, Record::Gap(_)));
            }
            log.append(stage, &changed);
        } else {
            log.append(stage, batch);
            if stage.setup.rate(Fault::Double) > 0 {
                if stage.strikes(Fault::Double) {
                    log.append(stage, batch);
                }
                if !self.last.is_empty() && stage.strikes(Fault::Double) {
                    log.append(stage, &self.last);
                }
                self.last.clear();
                self.last.extend_from_slice(batch);
            }
        }
    }

    fn told(&self, stage: &mut Stage<'_>, input: &Input) {
        let (kind, name) = match &self.action {
            Action::Start => (0, "starts"),
            Action::Scan { .. } => (1, "scans"),
            Action::Park { .. } => (2, "parks a row"),
            Action::Append => (3, "appends"),
            Action::Acknowledge(_) => (4, "acknowledges"),
            Action::Wait { .. } => (5, "waits"),
            Action::Backoff(_) => (6, "tries again"),
            Action::Drained | Action::Stop(_) => (7, "stops"),
        };
        let failed = matches!(input, Input::Failed(_));
        stage.trace.step(0x210 + (self.number as u64) * 16 + kind * 2 + u64::from(failed));
        let (number, machine) = (self.number, &self.machine);
        stage.tell(|| {
            let what = if kind == 3 { words(machine.batch()) } else { String::new() };
            let result = match input {
                Input::Scanned(scan) => format!(": {} rows, complete: {}", scan.rows.len(), scan.complete),
                Input::Failed(_) => ": an error".to_owned(),
                Input::Started(cursor) => format!(" after row {}", cursor.0),
                Input::Done => String::new(),
            };
            format!("relay {number}    {name}{what}{result}")
        });
    }
}

fn words(batch: &[Append]) -> String {
    let word = |append: &Append| match &append.record {
        Record::Event(event) => format!(" {}@{}", event.entity, event.stamp),
        Record::Mark(mark) => format!(" mark {}/{}", append.partition.index, mark.time.micros() - 1_000),
        Record::Gap(_) => " gap".to_owned(),
        Record::Unreadable(_) => " ?".to_owned(),
    };
    batch.iter().map(word).collect()
}

fn machine(stage: &Stage<'_>) -> Machine {
    let settings = Settings {
        batch: stage.setup.batch,
        mark_every: Duration::from_micros(6),
        acknowledge_every: Duration::from_micros(4),
        backoff: BACKOFF,
        ..Settings::default()
    };
    let partitions = u32::try_from(stage.setup.partitions).unwrap_or(1);
    Machine::new(stage.pool.topic.clone(), partitions, settings)
}

/// How every machine here waits out failures.
pub(super) const BACKOFF: Backoff =
    Backoff { first: Duration::from_micros(2), longest: Duration::from_micros(8) };

fn failed() -> Input {
    Input::Failed(Error::new(Code::BUSY, String::new()))
}
