//! The consumer: from the log to the stores, in order, each position committed only after its effect.
//!
//! - [`plan`](mod@plan): a batch of records becomes few actions, and an outcome for every event;
//! - [`Consumer`]: what to do next, per partition, whatever fails.
//!
//! What cannot be understood still invalidates what it names: such an event is parked, its entity's floor is raised,
//! and the partition moves on. What cannot even be named is a gap: everything held becomes unverified.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::decision::{Decide, Decision, Outcome};
use crate::error::{Error, Policy, Result};
use crate::event::Event;
use crate::port::{Read, Stored};
use crate::position::Offset;
use crate::retry::Backoff;

pub mod plan;

pub use plan::{Planned, plan};

/// How a consumer works.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long positions stay uncommitted at most; a crash applies at most so much again.
    pub commit_every: Duration,
    /// How failures are waited out.
    pub backoff: Backoff,
}

impl Default for Settings {
    fn default() -> Self {
        Self { commit_every: Duration::from_millis(200), backoff: Backoff::default() }
    }
}

/// What to do next.
#[derive(Debug)]
pub enum Action {
    /// Find out where to begin.
    Start,
    /// Read records from here.
    Read(Offset),
    /// Tell every store that something was missed.
    OpenEpoch(String),
    /// Set [`Planned::parked`] aside, durably.
    Park,
    /// Make [`Consumer::planned`] take effect in every store.
    Apply,
    /// Record this position for the group.
    Commit(Offset),
    /// Wait for records at this offset; no longer than this, if an acknowledgement is due.
    Wait(Offset, Option<Duration>),
    /// Something failed, and waiting may help: sleep this long.
    Backoff(Duration),
    /// Everything applied is committed, as asked.
    Drained,
    /// It makes no sense to go on.
    Stop(Error),
}

/// The answer to an action.
#[derive(Debug)]
pub enum Input {
    /// To [`Action::Start`]: the next offset to read.
    Started(Offset),
    /// To [`Action::Read`].
    Read(Read),
    /// To every other action.
    Done,
    /// The action failed (or its answer was lost).
    Failed(Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Reading,
    OpeningEpoch,
    Parking,
    Applying,
    Committing,
    Waiting,
    BackingOff,
}

/// The state of one consumer on one partition.
#[derive(Debug)]
pub struct Consumer {
    settings: Settings,
    /// Whether positions are committed: a copy that starts empty at the head keeps none.
    durable: bool,
    state: State,
    again: State,
    attempt: u32,
    next: Offset,
    committed: Offset,
    committed_at: Duration,
    /// The records behind `planned`.
    records: Vec<Stored>,
    /// Records read but not yet planned: a batch that is taken one by one.
    rest: VecDeque<Stored>,
    planned: Planned,
    /// Whether a store has refused the one record that is planned.
    refused: bool,
    finished: Vec<(Arc<Event>, Outcome)>,
    gap: Option<String>,
    draining: bool,
    leaving: bool,
    /// The read under way began before the drain was asked for.
    stale: bool,
}

impl Consumer {
    /// A consumer, and its first action, [`Action::Start`].
    #[must_use]
    pub fn new(durable: bool, settings: Settings) -> Self {
        Self {
            settings,
            durable,
            state: State::Starting,
            again: State::Starting,
            attempt: 0,
            next: Offset(0),
            committed: Offset(0),
            committed_at: Duration::ZERO,
            records: Vec::new(),
            rest: VecDeque::new(),
            planned: Planned::default(),
            refused: false,
            finished: Vec::new(),
            gap: None,
            draining: false,
            leaving: false,
            stale: false,
        }
    }

    /// What [`Action::Park`] and [`Action::Apply`] are about.
    #[must_use]
    pub const fn planned(&self) -> &Planned {
        &self.planned
    }

    /// What has become of the events whose effects are done, since this was last asked.
    #[must_use]
    pub fn outcomes(&mut self) -> Vec<(Arc<Event>, Outcome)> {
        std::mem::take(&mut self.finished)
    }

    /// Stop once everything now in the log is applied and committed.
    pub fn drain(&mut self) {
        self.draining = true;
        self.stale = self.state == State::Reading;
    }

    /// Stop once what is planned is applied and committed, however much more there is: others wait for the partition.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whether it was asked to leave.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether it was asked to drain.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    /// The answer to the last action comes in, the next action goes out. `now` is monotonic; `random` spreads retries.
    pub fn on(&mut self, now: Duration, random: u64, decide: &dyn Decide, input: Input) -> Action {
        match (self.state, input) {
            (_, Input::Failed(error)) => return self.failed(error, now, random, decide),
            (State::BackingOff, _) => {
                self.state = self.again;
                return self.act(now);
            }
            (State::Starting, Input::Started(offset)) => {
                (self.next, self.committed, self.committed_at) = (offset, offset, now);
                self.state = State::Reading;
            }
            // What is read but not planned is left to whoever comes next.
            (State::Reading, Input::Read(_)) if self.leaving => {}
            (State::Reading, Input::Read(read)) => self.read(read, decide),
            (State::OpeningEpoch, _) => {
                self.gap = None;
                self.state = self.begin();
            }
            (State::Parking, _) => self.state = State::Applying,
            (State::Applying, _) => self.applied(now, decide),
            (State::Committing, _) => {
                (self.committed, self.committed_at) = (self.next, now);
                self.state = State::Reading;
            }
            (State::Waiting, _) => self.state = State::Reading,
            (State::Starting | State::Reading, _) => {}
        }
        self.attempt = 0;
        self.act(now)
    }

    fn act(&mut self, now: Duration) -> Action {
        if self.state == State::Waiting && self.commit_due(now) {
            self.state = State::Committing;
        }
        if self.leaving && matches!(self.state, State::Starting | State::Reading | State::Waiting) {
            if !self.is_ahead() {
                return Action::Drained;
            }
            self.state = State::Committing;
        }
        match self.state {
            State::Starting | State::BackingOff => Action::Start,
            State::Reading => Action::Read(self.next),
            State::OpeningEpoch => Action::OpenEpoch(self.gap.clone().unwrap_or_default()),
            State::Parking => Action::Park,
            State::Applying => Action::Apply,
            State::Committing => Action::Commit(self.next),
            State::Waiting if self.draining => Action::Drained,
            State::Waiting => {
                let due = self.is_ahead().then(|| {
                    self.committed_at.saturating_add(self.settings.commit_every).saturating_sub(now)
                });
                Action::Wait(self.next, due)
            }
        }
    }

    fn read(&mut self, read: Read, decide: &dyn Decide) {
        let stale = std::mem::take(&mut self.stale);
        match read {
            Read::Gap { resume } => {
                self.gap = Some(format!("records from {} to {resume} are gone", self.next));
                self.next = resume;
                self.planned = Planned::default();
                self.state = State::OpeningEpoch;
            }
            Read::Records(records) if records.is_empty() => {
                self.state = if stale { State::Reading } else { State::Waiting };
            }
            Read::Records(records) => self.take(records, decide),
        }
    }

    fn take(&mut self, records: Vec<Stored>, decide: &dyn Decide) {
        self.planned = plan(&records, decide);
        self.records = records;
        self.gap = self.planned.gap.take();
        self.state = if self.gap.is_some() { State::OpeningEpoch } else { self.begin() };
    }

    /// Where a planned batch begins, once any gap has been declared.
    fn begin(&self) -> State {
        match &self.planned.next {
            None => State::Reading,
            Some(_) if self.planned.parked.is_empty() => State::Applying,
            Some(_) => State::Parking,
        }
    }

    fn applied(&mut self, now: Duration, decide: &dyn Decide) {
        self.next = self.planned.next.take().unwrap_or(self.next);
        self.finished.append(&mut self.planned.outcomes);
        self.refused = false;
        if self.leaving {
            self.rest.clear();
        }
        match self.rest.pop_front() {
            Some(first) => self.take(vec![first], decide),
            None if self.commit_due(now) => self.state = State::Committing,
            None => self.state = State::Reading,
        }
    }

    fn commit_due(&self, now: Duration) -> bool {
        let elapsed = now.saturating_sub(self.committed_at) >= self.settings.commit_every;
        self.is_ahead() && (elapsed || (self.draining && self.state == State::Waiting))
    }

    /// Whether there is something to commit. After a gap that can be an earlier position: in a log that was made anew,
    /// the old one would pass over what has not been read.
    fn is_ahead(&self) -> bool {
        self.durable && self.next != self.committed
    }

    fn failed(&mut self, error: Error, now: Duration, random: u64, decide: &dyn Decide) -> Action {
        match error.kind().policy() {
            // A record whose event is set aside asks for a fence and nothing else: a store that refuses that is broken.
            Policy::Park if self.state == State::Applying && !self.refused => {
                self.isolate(&error, decide);
                self.attempt = 0;
                self.act(now)
            }
            Policy::Stop | Policy::Park => Action::Stop(error),
            Policy::Backoff => {
                self.attempt = self.attempt.saturating_add(1);
                if self.state != State::BackingOff {
                    self.again = self.state;
                }
                self.state = State::BackingOff;
                Action::Backoff(self.settings.backoff.wait(self.attempt, random))
            }
        }
    }

    /// A store refused the batch because of what is in it: take it record by record, and park the one it refuses.
    fn isolate(&mut self, error: &Error, decide: &dyn Decide) {
        let mut records = VecDeque::from(std::mem::take(&mut self.records));
        if records.len() > 1 {
            records.append(&mut self.rest);
            self.rest = records;
            if let Some(first) = self.rest.pop_front() {
                self.take(vec![first], decide);
            }
        } else {
            self.records = records.into();
            self.planned = plan(&self.records, &Refused { error, decide });
            self.state = self.begin();
            self.refused = true;
        }
    }
}

/// Parks every event for the same reason.
struct Refused<'a> {
    error: &'a Error,
    decide: &'a dyn Decide,
}

impl Decide for Refused<'_> {
    fn decide(&self, _: &Event) -> Result<Vec<Decision>> {
        Err(self.error.clone())
    }

    fn when_parked(&self, event: &Event) -> Vec<Decision> {
        self.decide.when_parked(event)
    }
}

#[cfg(test)]
mod tests;
