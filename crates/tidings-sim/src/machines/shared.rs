//! The shared cache level under fire: the shipped rules of [`tidings_core::shared`], between a source that lags and fails
//! over, a store that loses whatever it likes, consumers that come twice and late, and processes that take answers from
//! it into caches of their own.
//!
//! It is a world of its own, beside that of the other machines, because it needs what they do not have (a store with two
//! nodes, states with an as-of) and does without most of what they do have. Each actor is one file.

use std::fmt;

use tidings_core::Stamp;
use tidings_core::shared::Answer;

use crate::choices::Choices;
use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::tally::{Sometimes, Tally};
use crate::trace::Trace;
use crate::world::{Broken, World};

mod consumer;
mod copy;
mod draw;
mod faults;
mod reader;
mod rest;
mod source;
mod store;
mod tell;
#[cfg(test)]
mod tests;
mod witness;

use consumer::{Member, Stepped};
use copy::Copy;
use draw::{Act, Draw};
use reader::{Around, Reader};
use source::{Event, From, Source};
use store::Store;
use witness::Witness;

/// How many entities the source has.
const ENTITIES: usize = 2;
/// The key of the answer that shows both entities; the others show the entity of the same number.
const COMPOSITE: usize = ENTITIES;
/// How many keys there are.
const KEYS: usize = ENTITIES + 1;
/// The shared level's number at the witness. Its composites, and those of every copy, have the number after.
const SHARED: usize = 0;
/// What an answer shows: the version of each entity at one moment.
type Value = [Stamp; ENTITIES];

/// The entities that a key shows.
fn entities_of(key: usize) -> std::ops::Range<usize> {
    if key == COMPOSITE { 0..ENTITIES } else { key..key + 1 }
}

/// An answer, as it is told.
struct Told<'a>(usize, &'a Answer<Value>);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key, Answer { value, as_of, .. }) = self;
        write!(f, "k{key}=")?;
        entities_of(*key).try_for_each(|entity| write!(f, "{}/", value[entity]))?;
        write!(f, "{as_of}")
    }
}

/// The world.
#[derive(Debug)]
pub struct Shared {
    draw: Draw,
    source: Source,
    store: Store,
    log: Vec<Event>,
    /// When each commit that cannot be read yet was begun.
    begun: std::collections::VecDeque<u64>,
    members: [Member; 2],
    owner: usize,
    committed: usize,
    copies: Vec<Copy>,
    /// The number of the next copy.
    next_copy: usize,
    readers: [Reader; 3],
    witness: Witness,
    /// Which of the members, copies or readers acted last.
    turn: usize,
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// An empty world.
    #[must_use]
    pub fn new() -> Self {
        Self {
            draw: Draw::default(),
            source: Source::default(),
            store: Store::new(),
            log: Vec::new(),
            begun: std::collections::VecDeque::new(),
            members: [Member::default(); 2],
            owner: 0,
            committed: 0,
            copies: Vec::new(),
            next_copy: 0,
            readers: [Reader::default(); 3],
            witness: Witness::default(),
            turn: 0,
        }
    }

    fn begin(&mut self, choices: &mut Choices, mutant: Option<Mutant>) {
        self.draw.again(choices);
        self.source.reset();
        self.store.reset(mutant);
        self.store.open_at_first();
        self.witness.reset();
        self.log.clear();
        self.begun.clear();
        (self.members, self.readers) = Default::default();
        (self.owner, self.committed, self.next_copy) = (0, 0, SHARED + 2);
        self.copies.clear();
        for _ in 0..self.draw.copies {
            let copy = self.start_copy();
            self.copies.push(copy);
        }
    }

    /// A process that begins to follow where the log ends now.
    fn start_copy(&mut self) -> Copy {
        let number = self.next_copy;
        self.next_copy += 2;
        let least = self.log.last().map(|event| event.as_of).unwrap_or_default();
        Copy::started(number, self.log.len(), least, self.draw.raised)
    }

    fn act(&mut self, act: Act, choices: &mut Choices, mutant: Option<Mutant>, tally: &mut Tally) -> u64 {
        match act {
            Act::Publish => self.publish(),
            Act::See => self.see(),
            Act::Member => {
                let member = self.draw.who(2, choices);
                if member == 1 && self.draw.has(Fault::Pause) {
                    tally.struck(Fault::Pause);
                }
                let patient = !choices.chance(300);
                self.member(member, patient, mutant, tally)
            }
            Act::Follow => {
                let copy = choices.below(self.copies.len() as u32) as usize;
                self.follow(copy)
            }
            Act::Read => self.read(choices, mutant, tally),
            Act::Commit => {
                let entity = choices.below(self.draw.entities()) as usize;
                self.source.commit(entity);
                self.begun.push_back(self.witness.now);
                if !self.draw.has(Fault::EarlyEvent) {
                    self.see();
                } else {
                    tally.struck(Fault::EarlyEvent);
                }
                1
            }
            Act::Replicate if choices.chance(300) => {
                self.store.replicate();
                2
            }
            Act::Replicate => {
                self.source.replicate();
                3
            }
            Act::Save => {
                self.store.save();
                4
            }
            Act::EvictCopy => {
                let copy = choices.below(self.copies.len() as u32) as usize;
                u64::from(self.copies[copy].evict(choices.below(KEYS as u32) as usize))
            }
            Act::Fault(fault) => {
                let struck = self.strike(fault, choices);
                if struck {
                    tally.struck(fault);
                }
                u64::from(struck)
            }
        }
    }

    fn publish(&mut self) -> u64 {
        let Some(event) = self.source.publish() else { return 0 };
        self.log.push(event);
        1
    }

    fn see(&mut self) -> u64 {
        let Some(event) = self.source.see() else { return 0 };
        let began = self.begun.pop_front().unwrap_or_default();
        if let Some(entity) = event.entity {
            self.witness.committed(entity, event.stamp, began, self.witness.now);
        }
        1
    }

    fn member(&mut self, member: usize, patient: bool, mutant: Option<Mutant>, tally: &mut Tally) -> u64 {
        let Self { members, log, source, store, witness, draw, .. } = self;
        let how = (patient, draw.carries);
        let stepped = members[member].step(log, source, store, witness, mutant, how);
        match stepped {
            Stepped::Opened => {
                tally.happened(Sometimes::SharedOpened);
                self.witness.epoch(SHARED);
            }
            Stepped::Waits | Stepped::Opens => tally.happened(Sometimes::SharedWaited),
            Stepped::Idle | Stepped::Heard => {}
        }
        self.turn = member;
        if member == self.owner {
            self.committed = self.committed.max(self.members[member].next);
        }
        stepped as u64
    }

    fn follow(&mut self, copy: usize) -> u64 {
        self.turn = copy;
        let copy = &mut self.copies[copy];
        let Some(event) = self.log.get(copy.next) else { return 0 };
        copy.next += 1;
        if copy.apply(event, self.witness.now) {
            self.witness.epoch(copy.number);
        }
        if let Some(entity) = event.entity {
            for key in [entity, COMPOSITE] {
                self.witness.applied(copy.number, key, entity, event.stamp);
            }
        }
        1
    }

    fn read(&mut self, choices: &mut Choices, mutant: Option<Mutant>, tally: &mut Tally) -> u64 {
        let which = self.draw.who(self.readers.len() as u32, choices);
        self.turn = which;
        let mut reader = self.readers[which];
        let primary = self.store.primary;
        let lagging = self.draw.has(Fault::LaggingRead);
        let apart = self.draw.has(Fault::Partition);
        let Self { copies, source, store, witness, draw, .. } = self;
        let count = copies.len() as u32;
        let (lease, told, bare) = (draw.lease, !draw.untold, draw.bare);
        let mut around = Around { copies, source, store, witness, tally, mutant, lease, told, bare };
        let what = if reader.is_idle() {
            let copy = choices.below(count) as usize;
            let key = choices.below(draw.keys) as usize;
            // Somebody who has not heard of a failover still talks to the old node.
            let stray = apart && choices.chance(200);
            if stray {
                around.tally.struck(Fault::Partition);
            }
            // The composite comes with the last of the numbers drawn, so that one key alone is the simplest history.
            reader.begin(copy, key, if stray { 1 - primary } else { primary }, &mut around)
        } else {
            let from = match choices.below(8) {
                1..=4 if lagging => From::Replica,
                5 if lagging => From::Zombie,
                _ => From::Primary,
            };
            if from != From::Primary {
                around.tally.struck(Fault::LaggingRead);
            }
            reader.step(from, &mut around)
        };
        self.readers[which] = reader;
        what
    }
}

impl World for Shared {
    fn run(
        &mut self,
        choices: &mut Choices,
        mutant: Option<Mutant>,
        trace: &mut Trace,
        tally: &mut Tally,
    ) -> Option<Broken> {
        self.begin(choices, mutant);
        for _ in 0..self.draw.steps {
            self.witness.now += 10;
            let pick = choices.below(self.draw.acts.len() as u32);
            let act = self.draw.acts[pick as usize];
            let result = self.act(act, choices, mutant, tally);
            trace.step(u64::from(pick) << 8 | result);
            trace.tell(|| self.line(act, result));
        }
        let rested = self.rest(mutant, tally);
        self.look_at_the_end();
        for _ in 0..self.copies.iter().map(|copy| copy.forgot).sum() {
            tally.struck(Fault::Pressure);
        }
        tally.histories += 1;
        tally.operations += u64::from(self.draw.steps);
        tally.commits += self.witness.commits;
        tally.reads += self.witness.reads;
        let verdict = self.witness.verdict();
        let stuck = || Broken { invariant: None, what: "did not come to rest".into() };
        verdict.or_else(|| (!rested).then(stuck))
    }

    fn can(&self) -> (&[Fault], &[Sometimes]) {
        const HAPPENS: [Sometimes; 9] = [
            Sometimes::Hit,
            Sometimes::Kept,
            Sometimes::Promoted,
            Sometimes::Bypassed,
            Sometimes::SharedHit,
            Sometimes::SharedKept,
            Sometimes::SharedRefused,
            Sometimes::SharedOpened,
            Sometimes::SharedWaited,
        ];
        (&draw::ALL, &HAPPENS)
    }
}
