//! The relay: from a source's outbox to the log, in commit order, losing nothing.
//!
//! One resume truth, the outbox's acknowledged cursor, and it moves only over what is durable in the log. Anything that
//! fails is tried again, so the log may hold an event twice; the fence makes that harmless.
//!
//! The machine is sequential: each input answers the last action, and the machine answers with the next one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::entity::Entity;
use crate::envelope::{Limits, check};
use crate::error::{Error, Policy};
use crate::event::{Data, Event};
use crate::port::{Append, Cursor, Pending, Record, Scan};
use crate::position::{Mark, Partition, Topic};
use crate::retry::Backoff;

/// How a relay works.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The most rows in one append.
    pub batch: usize,
    /// The longest time between two marks.
    pub mark_every: Duration,
    /// The longest time that published rows stay unacknowledged; a crash sends at most so much again.
    pub acknowledge_every: Duration,
    /// What a reader takes. Of an event whose data is beyond it, consumers get the news without the body.
    pub limits: Limits,
    /// How failures are waited out.
    pub backoff: Backoff,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: 1024,
            mark_every: Duration::from_millis(100),
            acknowledge_every: Duration::from_millis(100),
            limits: Limits::default(),
            backoff: Backoff::default(),
        }
    }
}

/// What to do next.
#[derive(Debug, Clone)]
pub enum Action {
    /// Read the outbox's acknowledged cursor.
    Start,
    /// Read rows after the cursor.
    Scan {
        /// Where to go on.
        after: Cursor,
        /// The most rows.
        limit: usize,
    },
    /// Set a row aside, durably.
    Park {
        /// The row.
        cursor: Cursor,
        /// Why.
        reason: Arc<Error>,
    },
    /// Append [`Relay::batch`] to the log.
    Append,
    /// Record that everything up to here is in the log.
    Acknowledge(Cursor),
    /// Wait for rows after the cursor, but not longer than this.
    Wait {
        /// Where to go on.
        after: Cursor,
        /// When a mark or an acknowledgement is due.
        at_most: Duration,
    },
    /// Something failed, and waiting may help: sleep this long.
    Backoff(Duration),
    /// All is published and acknowledged, as asked.
    Drained,
    /// It makes no sense to go on.
    Stop(Error),
}

/// The answer to an action.
#[derive(Debug)]
pub enum Input {
    /// To [`Action::Start`].
    Started(Cursor),
    /// To [`Action::Scan`].
    Scanned(Scan),
    /// To [`Action::Park`], [`Action::Append`], [`Action::Acknowledge`], [`Action::Wait`] or [`Action::Backoff`].
    Done,
    /// The action failed (or its answer was lost).
    Failed(Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Scanning,
    Parking,
    Appending,
    Acknowledging,
    Waiting,
    BackingOff,
}

/// The state of one relay.
#[derive(Debug)]
pub struct Relay {
    settings: Settings,
    topic: Topic,
    partitions: u32,
    state: State,
    /// What to do again after a backoff.
    again: State,
    attempt: u32,
    read: Cursor,
    published: Cursor,
    acknowledged: Cursor,
    caught_up: bool,
    batch: Vec<Append>,
    parking: VecDeque<(Cursor, Arc<Error>)>,
    marked: Option<Duration>,
    /// There were rows since the last mark.
    unmarked: bool,
    acknowledged_at: Duration,
    draining: bool,
    /// The scan under way began before the drain was asked for.
    stale: bool,
}

impl Relay {
    /// A relay into this topic, and its first action, [`Action::Start`].
    #[must_use]
    pub fn new(topic: Topic, partitions: u32, settings: Settings) -> Self {
        Self {
            settings,
            topic,
            partitions: partitions.max(1),
            state: State::Starting,
            again: State::Starting,
            attempt: 0,
            read: Cursor(0),
            published: Cursor(0),
            acknowledged: Cursor(0),
            caught_up: false,
            batch: Vec::new(),
            parking: VecDeque::new(),
            marked: None,
            unmarked: false,
            acknowledged_at: Duration::ZERO,
            draining: false,
            stale: false,
        }
    }

    /// What [`Action::Append`] asks to append.
    #[must_use]
    pub fn batch(&self) -> &[Append] {
        &self.batch
    }

    /// Stop once everything committed by now is published and acknowledged.
    pub fn drain(&mut self) {
        self.draining = true;
        self.caught_up = false;
        self.stale = self.state == State::Scanning;
    }

    /// Whether it was asked to.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    /// The answer to the last action comes in, the next action goes out. `now` is monotonic; `random` spreads retries.
    pub fn on(&mut self, now: Duration, random: u64, input: Input) -> Action {
        match (self.state, input) {
            (_, Input::Failed(error)) => return self.failed(error, now, random),
            (State::BackingOff, _) => {
                self.state = self.again;
                return self.act(now);
            }
            (State::Starting, Input::Started(cursor)) => {
                (self.read, self.published, self.acknowledged) = (cursor, cursor, cursor);
                self.acknowledged_at = now;
                self.state = State::Scanning;
            }
            (State::Scanning, Input::Scanned(scan)) => self.scanned(now, scan),
            (State::Parking, _) => self.parked(),
            (State::Appending, _) => self.appended(now),
            (State::Acknowledging, _) => {
                self.acknowledged = self.published;
                self.acknowledged_at = now;
                self.state = self.rest();
            }
            (State::Waiting, _) => self.state = State::Scanning,
            (State::Starting | State::Scanning, _) => {}
        }
        self.attempt = 0;
        self.act(now)
    }

    fn act(&mut self, now: Duration) -> Action {
        if self.state == State::Waiting && self.acknowledgement_due(now) {
            self.state = State::Acknowledging;
        }
        match self.state {
            State::Starting | State::BackingOff => Action::Start,
            State::Scanning => Action::Scan { after: self.read, limit: self.settings.batch },
            State::Parking => match self.parking.front() {
                Some((cursor, reason)) => Action::Park { cursor: *cursor, reason: reason.clone() },
                None => Action::Scan { after: self.read, limit: self.settings.batch },
            },
            State::Appending => Action::Append,
            State::Acknowledging => Action::Acknowledge(self.published),
            State::Waiting if self.draining => Action::Drained,
            State::Waiting => Action::Wait { after: self.read, at_most: self.until_due(now) },
        }
    }

    fn scanned(&mut self, now: Duration, scan: Scan) {
        self.caught_up = scan.complete && !std::mem::take(&mut self.stale);
        self.batch.clear();
        let rows = scan.rows.len();
        for Pending { cursor, event } in scan.rows {
            self.read = cursor;
            match event {
                Ok(event) => self.add(cursor, event),
                Err(reason) => self.give_up(cursor, reason),
            }
        }
        self.unmarked |= rows > 0;
        let mark_due = self.marked.is_none_or(|at| now.saturating_sub(at) >= self.settings.mark_every);
        // Not with each row: marks go to every partition, and the next row would wait for them all. The last rows have theirs.
        if scan.complete && (mark_due || (self.draining && self.unmarked)) {
            (self.marked, self.unmarked) = (Some(now), false);
            self.everywhere(&Record::Mark(Mark { time: scan.time, head: self.read.0 }));
        }
        self.state = match (self.parking.is_empty(), self.batch.is_empty()) {
            (false, _) => State::Parking,
            (true, false) => State::Appending,
            (true, true) => self.rest(),
        };
    }

    fn everywhere(&mut self, record: &Record) {
        for index in 0..self.partitions {
            let partition = Partition { topic: self.topic.clone(), index };
            self.batch.push(Append { partition, record: record.clone() });
        }
    }

    fn add(&mut self, cursor: Cursor, event: Arc<Event>) {
        let event = match check(&event, &self.settings.limits) {
            Ok(()) => event,
            Err(reason) => {
                // The news still goes out in its order; only the body stays behind.
                let news = Event { data: Data::Empty, ..Event::clone(&event) };
                if check(&news, &self.settings.limits).is_err() {
                    return self.give_up(cursor, Arc::new(reason));
                }
                let reason =
                    reason.at(format_args!("{} {} version {}", event.kind, event.entity, event.stamp));
                self.parking.push_back((cursor, Arc::new(reason)));
                Arc::new(news)
            }
        };
        let index = partition_of(&event.entity, self.partitions);
        let partition = Partition { topic: self.topic.clone(), index };
        self.batch.push(Append { partition, record: Record::Event(event) });
    }

    /// Nobody can say what the row names: consumers must know that they do not know.
    fn give_up(&mut self, cursor: Cursor, reason: Arc<Error>) {
        self.everywhere(&Record::Gap(reason.to_string().into()));
        self.parking.push_back((cursor, reason));
    }

    fn parked(&mut self) {
        self.parking.pop_front();
        if self.parking.is_empty() {
            self.state = State::Appending;
        }
    }

    fn appended(&mut self, now: Duration) {
        self.batch.clear();
        self.published = self.read;
        self.state = if self.acknowledgement_due(now) { State::Acknowledging } else { self.rest() };
    }

    fn rest(&self) -> State {
        if self.caught_up { State::Waiting } else { State::Scanning }
    }

    fn acknowledgement_due(&self, now: Duration) -> bool {
        self.published > self.acknowledged
            && (now.saturating_sub(self.acknowledged_at) >= self.settings.acknowledge_every
                || (self.draining && self.caught_up))
    }

    fn until_due(&self, now: Duration) -> Duration {
        let mark = self.marked.map_or(now, |at| at.saturating_add(self.settings.mark_every));
        let due = match self.published > self.acknowledged {
            true => mark.min(self.acknowledged_at.saturating_add(self.settings.acknowledge_every)),
            false => mark,
        };
        due.saturating_sub(now)
    }

    fn failed(&mut self, error: Error, now: Duration, random: u64) -> Action {
        match error.kind().policy() {
            // Nothing depends on it now: marks and events must not wait for a lock that somebody holds.
            Policy::Backoff if self.state == State::Acknowledging && !self.draining => {
                self.acknowledged_at = now;
                self.state = self.rest();
                self.act(now)
            }
            // Only the outbox's own rows can be set aside; a log that refuses what was checked here is a defect.
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
}

/// The partition that keeps the order of an entity: FNV-1a of its text. Fixed for good, since a change would let an
/// entity's events overtake one another.
#[must_use]
pub fn partition_of(entity: &Entity, partitions: u32) -> u32 {
    let hash = entity.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    u32::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests;
