//! A process with a cache of its own (L1): the shipped floors and rules, and answers that come from the shared level or
//! from the source.

use std::fmt;
use std::time::Duration;

use tidings_core::fence::landing::{Ticket, verdict};
use tidings_core::fence::{Fingerprint, Floors, Held, Limits, Tick};
use tidings_core::shared::{Answer, AsOf, Passage, promotes};
use tidings_core::{Stamp, Timeline};

use super::source::Event;
use super::{ENTITIES, KEYS, Told, Value, entities_of};
use crate::mutant::Mutant;

/// How long floors are kept at least.
const KEEP: Duration = Duration::from_nanos(400);

#[derive(Debug, Clone, Copy)]
struct Entry {
    answer: Answer<Value>,
    since: Tick,
    epoch: u32,
}

/// What a fill captured before it asked anybody.
#[derive(Debug, Clone, Copy)]
pub(super) struct Captured {
    ticket: Ticket,
    passage: Passage,
    /// Which life of the process it belongs to.
    pub(super) life: usize,
}

impl Captured {
    /// The mutant: the ticket of a later moment, in the same life.
    pub(super) const fn with_ticket_of(self, late: &Self) -> Self {
        if self.life == late.life { Self { ticket: late.ticket, ..self } } else { self }
    }
}

#[derive(Debug)]
pub(super) struct Copy {
    floors: Floors,
    tick: u64,
    entries: [Option<Entry>; KEYS],
    passage: Passage,
    /// The newest state seen in a fill that was kept.
    kept: AsOf,
    epoch: u32,
    timeline: Timeline,
    /// Its number at the witness; a restart makes it another copy.
    pub(super) number: usize,
    /// Where in the log it reads next.
    pub(super) next: usize,
    /// How many times it forgot a floor for want of memory.
    pub(super) forgot: u64,
}

impl Copy {
    /// A process that begins to follow the log at `next`, where the source's news had come to `least`.
    pub(super) fn started(number: usize, next: usize, least: AsOf, raised: usize) -> Self {
        Self {
            floors: Floors::new(Limits { raised, learned: ENTITIES, keep: KEEP }),
            tick: 0,
            entries: [None; KEYS],
            passage: Passage { least, heard: least },
            kept: least,
            epoch: 0,
            timeline: least.timeline,
            number,
            next,
            forgot: 0,
        }
    }

    fn advance(&mut self) -> Tick {
        self.tick += 1;
        Tick(self.tick)
    }

    /// Applies an event; true if it opened an epoch.
    pub(super) fn apply(&mut self, event: &Event, now: u64) -> bool {
        let tick = self.advance();
        if let Some(entity) = event.entity {
            let known = self.known();
            self.floors.raise(fingerprint(entity), event.stamp, tick, Duration::from_nanos(now));
            self.remember(known);
        }
        self.passage.heard = self.passage.heard.max(event.as_of);
        let opens = event.as_of.timeline > self.timeline;
        if opens {
            self.timeline = event.as_of.timeline;
            self.passage.least = self.passage.least.max(event.as_of);
            self.epoch += 1;
            self.entries = [None; KEYS];
        }
        opens
    }

    fn known(&self) -> [bool; ENTITIES] {
        std::array::from_fn(|entity| self.floors.standing(fingerprint(entity)).is_some())
    }

    /// A floor that has been forgotten no longer says what is too old: the as-of of what comes in must.
    fn remember(&mut self, known: [bool; ENTITIES]) {
        if known.into_iter().zip(self.known()).any(|(before, after)| before && !after) {
            self.passage.least = self.passage.least.max(self.passage.heard).max(self.kept);
            self.forgot += 1;
        }
    }

    /// What may be served from memory.
    pub(super) fn served(&self, key: usize) -> Option<Answer<Value>> {
        let entry = self.entries[key].filter(|entry| entry.epoch == self.epoch)?;
        let stands = |(entity, held)| self.floors.check_entry(fingerprint(entity), held, entry.since).is_ok();
        holds(key, &entry.answer).all(stands).then_some(entry.answer)
    }

    pub(super) fn capture(&self, now: u64) -> Captured {
        let ticket = Ticket { tick: Tick(self.tick), epoch: self.epoch, started: Duration::from_nanos(now) };
        Captured { ticket, passage: self.passage, life: self.number }
    }

    /// Lands a fill. What is not kept is not shown either.
    pub(super) fn land(
        &mut self,
        key: usize,
        captured: &Captured,
        answer: Answer<Value>,
        promoted: bool,
        now: u64,
        mutant: Option<Mutant>,
    ) -> bool {
        let Captured { ticket, mut passage, .. } = *captured;
        // What was forgotten or kept during the load counts as well.
        passage.least = passage.least.max(self.passage.least);
        passage.heard = passage.heard.max(self.kept);
        let now = Duration::from_nanos(now);
        let lacks = |guard| promoted && mutant == Some(guard);
        if !lacks(Mutant::PromotionFill) {
            if !lacks(Mutant::PromotionAsOf) && promotes(answer.stamp, answer.as_of, passage).is_err() {
                return false;
            }
            let admitted = holds(key, &answer).try_fold(ticket.tick, |tick, (entity, held)| {
                self.floors.check_fill(fingerprint(entity), held, ticket.tick, now).map(|()| tick)
            });
            if verdict(admitted, &ticket, self.epoch, now, KEEP).is_err() {
                return false;
            }
        }
        if let Some(stamp) = answer.stamp {
            let (known, tick) = (self.known(), self.advance());
            self.floors.learn(fingerprint(key), stamp, tick, now);
            self.remember(known);
        }
        self.kept = self.kept.max(answer.as_of);
        self.entries[key] = Some(Entry { answer, since: ticket.tick, epoch: self.epoch });
        true
    }

    pub(super) fn evict(&mut self, key: usize) -> bool {
        self.entries[key].take().is_some()
    }
}

/// What an answer depends on, and how each was read.
fn holds(key: usize, answer: &Answer<Value>) -> impl Iterator<Item = (usize, Held)> {
    let held = |stamp: Option<Stamp>| stamp.map_or(Held::Unmoved, Held::At);
    let stamp = answer.stamp;
    entities_of(key).map(move |entity| (entity, held(stamp)))
}

const fn fingerprint(entity: usize) -> Fingerprint {
    Fingerprint(entity as u64)
}

impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "copy {} has heard {}, covers from {}:",
            self.number, self.passage.heard, self.passage.least
        )?;
        for key in 0..KEYS {
            if let Some(answer) = self.served(key) {
                write!(f, " {}", Told(key, &answer))?;
            }
        }
        Ok(())
    }
}
