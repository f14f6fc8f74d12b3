//! From names to the numbers that the judge works with, and back.

use std::sync::Arc;

use tidings_core::{Entity, Result};

use super::seat::{Batch, Numbered, Seat};
use super::table::Table;
use super::{Account, KEPT, Verdict, Violation, verdict};
use crate::history::{Applied, Commit, Name, Nanos, Raw, RawCommit, RawRead, Read, Record, Shown, State};
use crate::judge::{self, Brief, Found, Held, Names, Part, Place, Proof};

/// Every name met so far.
#[derive(Debug, Default)]
pub(crate) struct Book {
    entities: Table<Entity>,
    kinds: Table<Arc<str>>,
    copies: Table<Arc<str>>,
    views: Table<Arc<str>>,
    /// By view.
    keys: Vec<Keys>,
    /// The view and the key's number in it.
    noted: Vec<(u32, u32)>,
}

/// The keys of one view.
#[derive(Debug, Default)]
struct Keys {
    names: Table<Arc<str>>,
    /// By their numbers, the place where view and key are noted.
    notes: Vec<u32>,
}

impl Book {
    /// Adds a record by its numbers.
    ///
    /// # Errors
    /// If an entity's name is none.
    pub(crate) fn number<E: Name<Entity>, W: Name<Arc<str>>>(
        &mut self,
        raw: Raw<E, W>,
        shows: impl Iterator<Item = (E, State)>,
        to: &mut Batch,
    ) -> Result<()> {
        let record = match raw {
            Raw::Baseline { entity, stamp, deleted, digest } => {
                let entity = self.entity(entity, to)?;
                Numbered::Baseline(judge::Baseline { entity, stamp, deleted, digest: digest.unwrap_or(0) })
            }
            Raw::Commit(RawCommit { entity, stamp, began, ended, deleted, digest, window, revokes }) => {
                let entity = self.entity(entity, to)?;
                let (ended, digest) = (ended.unwrap_or(Nanos::MAX), digest.unwrap_or(0));
                let commit = judge::Commit { entity, stamp, began, ended, deleted, digest, window, revokes };
                Numbered::Commit(commit)
            }
            Raw::Applied { copy, entity, stamp, outcome, at } => {
                let (copy, entity) = (self.copy(copy)?, self.entity(entity, to)?);
                Numbered::Applied(judge::Applied { copy, entity, stamp, outcome, at })
            }
            Raw::Read(read) => {
                let first = to.shows.len();
                for (entity, state) in shows {
                    let entity = self.entity(entity, to)?;
                    to.shows.push(judge::Shown { entity, state });
                }
                let part = self.read(&read, first, to)?;
                Numbered::Read(part, to.shows.len() - first)
            }
            Raw::Subscribed { copy, kind, from } => {
                Numbered::Subscribed { copy: self.copy(copy)?, kind: self.maybe_kind(kind)?, from }
            }
            Raw::Marked { copy, kind, upto, at } => {
                Numbered::Marked { copy: self.copy(copy)?, kind: self.maybe_kind(kind)?, upto, at }
            }
            Raw::Epoch { copy, at } => Numbered::Epoch { copy: self.copy(copy)?, at },
            Raw::Held { copy, entity, state, upto, at } => {
                let (copy, entity) = (self.copy(copy)?, self.entity(entity, to)?);
                Numbered::Held(Held { copy, shown: judge::Shown { entity, state }, upto, at })
            }
            Raw::Lease { copy, kind, until, at } => {
                Numbered::Lease { copy: self.copy(copy)?, kind: self.maybe_kind(kind)?, until, at }
            }
        };
        to.records.push(record);
        Ok(())
    }

    /// A read whose shown states are the last of the batch, from this place on.
    fn read<E: Name<Entity>, W: Name<Arc<str>>>(
        &mut self,
        read: &RawRead<E, W>,
        first: usize,
        to: &mut Batch,
    ) -> Result<Part> {
        let RawRead { copy, session, view, key, token, began, ended, freshness, path, bound } = *read;
        let token = match token {
            Some((entity, stamp)) => Some((self.entity(entity, to)?, stamp)),
            None => None,
        };
        let shown = to.shows.get(first..).unwrap_or_default();
        let token = token.filter(|(entity, _)| shown.iter().any(|shown| shown.entity == *entity));
        let (copy, note) = (self.copy(copy)?, self.note(view, key)?);
        let read = judge::Read { copy, session: 0, token, began, ended, freshness, path, bound };
        Ok(Part { read, session, note, counts: true })
    }

    fn entity(&mut self, entity: impl Name<Entity>, to: &mut Batch) -> Result<u32> {
        let (number, is_new) = self.entities.number(entity)?;
        if is_new {
            let kind = entity.text().split_once('/').map_or("", |(kind, _)| kind);
            to.records.push(Numbered::Entity { entity: number, kind: self.kind(kind)? });
        }
        Ok(number)
    }

    fn kind(&mut self, kind: impl Name<Arc<str>>) -> Result<u16> {
        Ok(u16::try_from(self.kinds.number(kind)?.0).unwrap_or(u16::MAX))
    }

    fn maybe_kind(&mut self, kind: Option<impl Name<Arc<str>>>) -> Result<Option<u16>> {
        kind.map(|kind| self.kind(kind)).transpose()
    }

    fn copy(&mut self, copy: impl Name<Arc<str>>) -> Result<u32> {
        Ok(self.copies.number(copy)?.0)
    }

    /// The number of a view and key.
    fn note(&mut self, view: impl Name<Arc<str>>, key: impl Name<Arc<str>>) -> Result<u32> {
        let (view, is_new) = self.views.number(view)?;
        if is_new {
            self.keys.push(Keys::default());
        }
        let Some(keys) = self.keys.get_mut(view as usize) else { return Ok(0) };
        let (key, is_new) = keys.names.number(key)?;
        if is_new {
            keys.notes.push(self.noted.len() as u32);
            self.noted.push((view, key));
        }
        Ok(keys.notes.get(key as usize).copied().unwrap_or(0))
    }

    /// The verdict of all who judged, once they have heard everything.
    pub(crate) fn verdict(&self, seats: &mut [Seat]) -> Result<Verdict> {
        seats.iter_mut().for_each(|seat| seat.judge.finish());
        if seats.iter().any(|seat| seat.judge.has_too_many_copies()) {
            return Err(verdict::too_many_copies());
        }
        if let Some((entity, stamp)) = seats.iter().filter_map(Seat::contradiction).min() {
            let entity = self.entities.name(entity).map_or("", Entity::as_str);
            return Err(verdict::contradiction(entity, stamp));
        }
        let parts = seats.iter().map(|seat| {
            let accounts = seat.judge.accounts();
            let accounts =
                accounts.map(|(copy, account)| Account { copy: self.copy_name(copy), ..account }).collect();
            Verdict { counts: *seat.judge.counts(), accounts, violations: Vec::new() }
        });
        let whole = Verdict::merge(parts.collect());
        Ok(Verdict { violations: self.violations(seats), ..whole })
    }

    /// What the judges have found, in words. Which of many are told does not depend on how many judges there were.
    pub(super) fn violations(&self, seats: &[Seat]) -> Vec<Violation> {
        let of_seat = |seat| {
            let here = Here { book: self, seat };
            seat.judge.found().iter().map(move |found| (here.place(found), here, found))
        };
        let mut all: Vec<_> = seats.iter().flat_map(of_seat).collect();
        all.sort_by_key(|(place, ..)| *place);
        let tell = |(_, here, found): &(Place, Here<'_>, &Found)| Violation {
            invariant: found.invariant,
            what: found.fact.tell(here),
            at: found.at,
            records: found.proof.iter().filter_map(|proof| here.record(proof)).collect(),
        };
        let mut violations: Vec<_> = all.iter().take(KEPT).map(tell).collect();
        verdict::sort(&mut violations);
        violations
    }

    fn copy_name(&self, copy: u32) -> Arc<str> {
        self.copies.name(copy).cloned().unwrap_or_default()
    }

    fn kind_name(&self, kind: Option<u16>) -> Option<Arc<str>> {
        self.kinds.name(u32::from(kind?)).cloned()
    }
}

/// The names of what a seat's judge knows by number.
#[derive(Clone, Copy)]
struct Here<'a> {
    book: &'a Book,
    seat: &'a Seat,
}

impl Here<'_> {
    /// The same for all seats.
    fn place(&self, found: &Found) -> Place {
        Place { entity: self.seat.global(found.place.entity), ..found.place }
    }

    fn entity_name(&self, entity: u32) -> Option<Entity> {
        self.book.entities.name(self.seat.global(entity)).cloned()
    }

    fn copy_name(&self, copy: u32) -> Arc<str> {
        self.book.copy_name(copy)
    }

    fn kind_name(&self, kind: Option<u16>) -> Option<Arc<str>> {
        self.book.kind_name(kind)
    }

    fn shown(&self, shown: judge::Shown) -> Option<Shown> {
        Some(Shown { entity: self.entity_name(shown.entity)?, state: shown.state })
    }

    /// The record that proves something; a read with nothing but the entity that matters.
    fn record(&self, proof: &Proof) -> Option<Record> {
        Some(match *proof {
            Proof::Commit(commit) => Record::Commit(Commit {
                entity: self.entity_name(commit.entity)?,
                stamp: commit.stamp,
                began: commit.began,
                ended: (commit.ended != Nanos::MAX).then_some(commit.ended),
                deleted: commit.deleted,
                digest: (commit.digest != 0).then_some(commit.digest),
                window: commit.window,
                revokes: commit.revokes,
            }),
            Proof::Applied(judge::Applied { copy, entity, stamp, outcome, at }) => {
                let (copy, entity) = (self.copy_name(copy), self.entity_name(entity)?);
                Record::Applied(Applied { copy, entity, stamp, outcome, at })
            }
            Proof::Read(brief, bound, token, shown) => {
                let Brief { began, ended, session, freshness, copy, note, path, .. } = brief;
                let (view, key) = *self.book.noted.get(note as usize)?;
                let keys = &self.book.keys.get(view as usize)?.names;
                let token = token.and_then(|(entity, stamp)| Some((self.entity_name(entity)?, stamp)));
                Record::Read(Read {
                    copy: self.copy_name(copy),
                    session,
                    view: self.book.views.name(view)?.clone(),
                    key: keys.name(key)?.clone(),
                    shows: vec![self.shown(shown)?],
                    token,
                    began,
                    ended,
                    freshness,
                    path,
                    bound,
                })
            }
            Proof::Marked { copy, kind, upto, at } => {
                Record::Marked { copy: self.copy_name(copy), kind: self.kind_name(kind), upto, at }
            }
            Proof::Epoch { copy, at } => Record::Epoch { copy: self.copy_name(copy), at },
            Proof::Lease { copy, kind, until, at } => {
                Record::Lease { copy: self.copy_name(copy), kind: self.kind_name(kind), until, at }
            }
            Proof::Held { copy, shown, upto, at } => {
                Record::Held { copy: self.copy_name(copy), shown: self.shown(shown)?, upto, at }
            }
        })
    }
}

impl Names for Here<'_> {
    fn copy(&self, number: u32) -> String {
        self.copy_name(number).to_string()
    }

    fn entity(&self, number: u32) -> String {
        self.entity_name(number).map_or_else(String::new, |entity| entity.to_string())
    }
}
