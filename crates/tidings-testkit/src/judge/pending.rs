//! What waits until its time is settled. Everything is judged in the order of its time, whatever order it came in.

use tidings_core::Stamp;

use super::{Applied, Read, Shown};
use crate::history::{Nanos, State};

/// A read, or the part of it that one shard judges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) read: Read,
    pub(crate) session: u64,
    /// What the caller calls its view and key.
    pub(crate) note: u32,
    /// Whether this part is counted as the read.
    pub(crate) counts: bool,
}

/// What a copy said it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) copy: u32,
    pub(crate) shown: Shown,
    pub(crate) upto: Nanos,
    pub(crate) at: Nanos,
}

/// What a copy said of a kind of entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) copy: u32,
    pub(crate) kind: Option<u16>,
    /// The mark's, or the lease's end.
    pub(crate) time: Nanos,
    pub(crate) at: Nanos,
}

/// What is judged at one moment. Of those at the same moment, in this order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    Epoch {
        copy: u32,
        at: Nanos,
    },
    Applied(Applied),
    Lease(Word),
    Marked(Word),
    /// A mark of a time that is still to come; it is judged then, by what the copy had when it spoke.
    Foretold(Word),
    /// By its place.
    Held(u32),
    /// The time by which no copy may answer from before this revocation.
    Deadline {
        entity: u32,
        stamp: Stamp,
        at: Nanos,
    },
    /// By its place.
    Read(u32),
}

impl Due {
    const fn rank(&self) -> u8 {
        match self {
            Self::Epoch { .. } => 0,
            Self::Applied(_) => 1,
            Self::Lease(_) => 2,
            Self::Marked(_) => 3,
            Self::Foretold(_) => 4,
            Self::Held(_) => 5,
            Self::Deadline { .. } => 6,
            Self::Read(_) => 7,
        }
    }
}

/// A claim about what is still to come is judged when it has.
const fn later(time: Nanos, at: Nanos) -> Nanos {
    if time > at { time } else { at }
}

/// One part of a read, and where what it shows is.
#[derive(Debug, Clone, Copy)]
struct Answers {
    part: Part,
    from: usize,
    until: usize,
}

/// What is shown, without what hardly any answer says.
#[derive(Debug, Clone, Copy)]
enum Brief {
    Version {
        entity: u32,
        stamp: Stamp,
    },
    /// By its place.
    More(u32),
}

/// What waits, in the order in which it came.
#[derive(Debug, Default)]
struct Store {
    dues: Vec<Due>,
    answers: Vec<Answers>,
    shows: Vec<Brief>,
    more: Vec<Shown>,
    helds: Vec<Held>,
}

impl Store {
    fn clear(&mut self) {
        self.dues.clear();
        self.answers.clear();
        self.shows.clear();
        self.more.clear();
        self.helds.clear();
    }

    fn add_read(&mut self, part: Part, shows: impl Iterator<Item = Shown>) -> Due {
        let from = self.shows.len();
        for shown in shows {
            let Shown { entity, state } = shown;
            if let State::At { stamp, digest: None, in_force: None } = state {
                self.shows.push(Brief::Version { entity, stamp });
            } else {
                self.shows.push(Brief::More(self.more.len() as u32));
                self.more.push(shown);
            }
        }
        self.answers.push(Answers { part, from, until: self.shows.len() });
        Due::Read((self.answers.len() - 1) as u32)
    }

    fn add_held(&mut self, held: Held) -> Due {
        self.helds.push(held);
        Due::Held((self.helds.len() - 1) as u32)
    }
}

/// What a read shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shows<'a> {
    briefs: &'a [Brief],
    more: &'a [Shown],
}

impl<'a> Shows<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = Shown> + 'a {
        self.briefs.iter().filter_map(move |brief| match *brief {
            Brief::Version { entity, stamp } => Some(Shown { entity, state: State::at(stamp) }),
            Brief::More(place) => self.more.get(place as usize).copied(),
        })
    }
}

/// What is judged now, with all that belongs to it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Now<'a> {
    Held(&'a Held),
    Read(&'a Part, Shows<'a>),
    Other(&'a Due),
}

/// So far back a late comer's place is looked for at once.
const NEAR: usize = 16;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Time, rank and place in the store, from the highest bits: one comparison orders them.
    keys: Vec<u128>,
    is_unsorted: bool,
    store: Store,
    /// For the next time that the store is cleaned up.
    spare: Store,
    /// So many of the keys are done with.
    over: usize,
}

impl Pending {
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.store.clear();
        (self.is_unsorted, self.over) = (false, 0);
    }

    pub(super) fn read(&mut self, part: Part, shows: &[Shown]) {
        let due = self.store.add_read(part, shows.iter().copied());
        self.push(due, part.read.ended);
    }

    pub(super) fn held(&mut self, held: Held) {
        let due = self.store.add_held(held);
        self.push(due, later(held.upto, held.at));
    }

    pub(super) fn applied(&mut self, applied: Applied) {
        self.push(Due::Applied(applied), applied.at);
    }

    pub(super) fn marked(&mut self, word: Word) {
        if word.time > word.at {
            self.push(Due::Foretold(word), word.at);
        }
        self.push(Due::Marked(word), later(word.time, word.at));
    }

    pub(super) fn lease(&mut self, word: Word) {
        self.push(Due::Lease(word), word.at);
    }

    pub(super) fn epoch(&mut self, copy: u32, at: Nanos) {
        self.push(Due::Epoch { copy, at }, at);
    }

    pub(super) fn deadline(&mut self, entity: u32, stamp: Stamp, at: Nanos) {
        self.push(Due::Deadline { entity, stamp, at }, at);
    }

    fn push(&mut self, due: Due, time: Nanos) {
        let key = u128::from(time) << 64 | u128::from(due.rank()) << 32 | self.store.dues.len() as u128;
        self.store.dues.push(due);
        if self.is_unsorted || self.keys.last().is_none_or(|last| *last < key) {
            return self.keys.push(key);
        }
        let near = self.keys.iter().rev().take(NEAR);
        let later = near.take_while(|other| **other > key).count();
        if later < NEAR {
            self.keys.insert(self.keys.len() - later, key);
        } else {
            self.is_unsorted = true;
            self.keys.push(key);
        }
    }

    /// Those whose time is before `up_to`, in the order of their times: of that moment itself there may be more to come.
    /// [`Nanos::MAX`] is the end of all time.
    pub(super) fn until(&mut self, up_to: Nanos) -> impl Iterator<Item = Now<'_>> {
        if std::mem::take(&mut self.is_unsorted) {
            self.keys.sort();
        }
        let is_due = |key: &u128| up_to == Nanos::MAX || ((*key >> 64) as u64) < up_to;
        let end = match self.keys.last() {
            Some(last) if is_due(last) => self.keys.len(),
            _ => self.keys.partition_point(is_due),
        };
        self.over = end;
        let Store { dues, answers, shows, more, helds } = &self.store;
        self.keys.iter().take(end).filter_map(|key| {
            Some(match dues.get(*key as u32 as usize)? {
                Due::Held(place) => Now::Held(helds.get(*place as usize)?),
                Due::Read(place) => {
                    let Answers { part, from, until } = answers.get(*place as usize)?;
                    Now::Read(part, Shows { briefs: shows.get(*from..*until)?, more })
                }
                other => Now::Other(other),
            })
        })
    }

    /// Removes those that [`Pending::until`] gave.
    pub(super) fn remove(&mut self) {
        if self.over == self.keys.len() {
            return self.clear();
        }
        self.keys.drain(..std::mem::take(&mut self.over));
        // Whoever settles often has most of it still to come: no more is moved than was removed.
        if self.keys.len() <= self.store.dues.len() / 2 {
            self.clean_up();
        }
    }

    /// Moves what still waits to the front.
    fn clean_up(&mut self) {
        self.spare.clear();
        for key in &mut self.keys {
            let Some(due) = self.store.dues.get(*key as u32 as usize) else { continue };
            let moved = match *due {
                Due::Held(place) => {
                    self.store.helds.get(place as usize).map(|held| self.spare.add_held(*held))
                }
                Due::Read(place) => self.store.answers.get(place as usize).map(|answers| {
                    let briefs = self.store.shows.get(answers.from..answers.until).unwrap_or_default();
                    let shows = Shows { briefs, more: &self.store.more };
                    self.spare.add_read(answers.part, shows.iter())
                }),
                other => Some(other),
            };
            *key = *key >> 32 << 32 | self.spare.dues.len() as u128;
            self.spare.dues.extend(moved);
        }
        std::mem::swap(&mut self.store, &mut self.spare);
    }
}
