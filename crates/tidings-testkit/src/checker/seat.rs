//! Records by numbers, and whoever judges some of the entities among them.

use tidings_core::Stamp;

use super::{FORGET_EVERY, HORIZON};
use crate::history::Nanos;
use crate::judge::{Applied, Baseline, Commit, Held, Judge, Part, Shown};

/// A record by numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numbered {
    /// The next number is that of an entity of this kind.
    Entity {
        entity: u32,
        kind: u16,
    },
    Baseline(Baseline),
    Commit(Commit),
    Applied(Applied),
    /// So many of the batch's shown states belong to it.
    Read(Part, usize),
    Subscribed {
        copy: u32,
        kind: Option<u16>,
        from: Nanos,
    },
    Marked {
        copy: u32,
        kind: Option<u16>,
        upto: Nanos,
        at: Nanos,
    },
    Epoch {
        copy: u32,
        at: Nanos,
    },
    Held(Held),
    Lease {
        copy: u32,
        kind: Option<u16>,
        until: Nanos,
        at: Nanos,
    },
    /// See [`super::Checker::advance`].
    Settled(Nanos),
}

/// Some records, and what the reads among them show.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Numbered>,
    pub(crate) shows: Vec<Shown>,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.shows.clear();
    }
}

/// One of the judges who share the work: each hears everything, and judges every so-manieth entity.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) judge: Judge,
    number: u32,
    seats: u32,
    /// The kind of every entity; empty if all are judged here.
    kinds: Vec<u16>,
    /// What the read that is being heard shows of the entities of this seat; kept to save an allocation per read.
    shows: Vec<Shown>,
    forgot: Nanos,
}

impl Seat {
    pub(crate) fn new(number: u32, seats: u32) -> Self {
        let judge = Judge::default().of_shard(number == 0);
        Self { judge, number, seats: seats.max(1), kinds: Vec::new(), shows: Vec::new(), forgot: 0 }
    }

    pub(crate) const fn is_alone(&self) -> bool {
        self.seats == 1
    }

    /// The entity that its judge calls so.
    pub(super) const fn global(&self, entity: u32) -> u32 {
        entity * self.seats + self.number
    }

    /// The first version that it heard of with two contents.
    pub(super) fn contradiction(&self) -> Option<(u32, Stamp)> {
        self.judge.contradiction().map(|(entity, stamp)| (self.global(entity), stamp))
    }

    /// What its judge calls the entity, if it is judged here.
    fn local(&self, entity: u32) -> Option<u32> {
        if self.is_alone() {
            return Some(entity);
        }
        (entity % self.seats == self.number).then_some(entity / self.seats)
    }

    pub(crate) fn hear(&mut self, batch: &Batch) {
        let mut shows = batch.shows.as_slice();
        for record in &batch.records {
            if let Numbered::Read(part, many) = record {
                let (shown, others) = shows.split_at_checked(*many).unwrap_or_default();
                shows = others;
                self.read(part, shown);
            } else {
                self.hear_one(record);
            }
        }
    }

    fn hear_one(&mut self, record: &Numbered) {
        match *record {
            Numbered::Entity { entity, kind } => {
                if !self.is_alone() {
                    self.kinds.push(kind);
                }
                if self.local(entity).is_some() {
                    self.judge.entity(kind);
                }
            }
            Numbered::Baseline(baseline) => {
                if let Some(entity) = self.local(baseline.entity) {
                    self.judge.before(&Baseline { entity, ..baseline });
                }
            }
            Numbered::Commit(commit) => {
                let Commit { began, ended, .. } = commit;
                self.judge.pass(if ended == Nanos::MAX { began } else { ended });
                if let Some(entity) = self.local(commit.entity) {
                    self.judge.commit(&Commit { entity, ..commit });
                }
            }
            Numbered::Applied(applied) => {
                self.judge.pass(applied.at);
                if let Some(entity) = self.local(applied.entity) {
                    self.judge.applied(&Applied { entity, ..applied });
                } else if let Some(kind) = self.kinds.get(applied.entity as usize) {
                    self.judge.hear(applied.copy, *kind, &applied);
                }
            }
            Numbered::Held(held) => {
                self.judge.pass(held.at);
                if let Some(entity) = self.local(held.shown.entity) {
                    self.judge.hold(Held { shown: Shown { entity, ..held.shown }, ..held });
                }
            }
            Numbered::Subscribed { copy, kind, from } => self.judge.subscribed(copy, kind, from),
            Numbered::Marked { copy, kind, upto, at } => self.judge.marked(copy, kind, upto, at),
            Numbered::Epoch { copy, at } => self.judge.epoch(copy, at),
            Numbered::Lease { copy, kind, until, at } => self.judge.lease(copy, kind, until, at),
            Numbered::Settled(time) => self.advance(time),
            Numbered::Read(..) => {}
        }
    }

    fn read(&mut self, part: &Part, shows: &[Shown]) {
        if self.is_alone() {
            return self.judge.part(*part, shows);
        }
        self.judge.pass(part.read.ended);
        let mut own = std::mem::take(&mut self.shows);
        own.clear();
        own.extend(shows.iter().filter_map(|shown| {
            let entity = self.local(shown.entity)?;
            Some(Shown { entity, ..*shown })
        }));
        let counts = shows.first().map_or(self.number == 0, |first| self.local(first.entity).is_some());
        if counts || !own.is_empty() {
            let token = part.read.token.and_then(|(entity, stamp)| Some((self.local(entity)?, stamp)));
            let mut part = Part { counts, ..*part };
            part.read.token = token;
            self.judge.part(part, &own);
        }
        self.shows = own;
    }

    /// See [`super::Checker::advance`].
    pub(crate) fn advance(&mut self, up_to: Nanos) {
        self.judge.settle(up_to);
        let horizon = up_to.saturating_sub(HORIZON.as_nanos() as Nanos);
        if horizon >= self.forgot + FORGET_EVERY {
            self.forgot = horizon;
            self.judge.forget_before(horizon);
        }
    }
}
