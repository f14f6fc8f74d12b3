//! From names to the numbers that the judge works with, and back.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use tidings_core::Entity;

use super::hash::FastHash;
use crate::history::{Applied, Commit, Nanos, Read, Record, Shown};
use crate::judge::{self, Brief, Names, Proof};

/// Every name met so far.
#[derive(Debug, Default)]
pub(super) struct Book {
    entities: Table<Entity>,
    kinds: Table<Arc<str>>,
    copies: Table<Arc<str>>,
    views: Vec<(Arc<str>, Table<Arc<str>>)>,
    /// The view and the key's number in it.
    notes: HashMap<(u32, u32), u32, FastHash>,
    noted: Vec<(u32, u32)>,
}

/// Names in the order in which they were met.
#[derive(Debug)]
struct Table<T> {
    numbers: HashMap<T, u32, FastHash>,
    names: Vec<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { numbers: HashMap::default(), names: Vec::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    /// The number, and whether it is new.
    fn number(&mut self, name: &T) -> (u32, bool) {
        if let Some(number) = self.numbers.get(name) {
            return (*number, false);
        }
        let number = self.names.len() as u32;
        self.numbers.insert(name.clone(), number);
        self.names.push(name.clone());
        (number, true)
    }

    fn name(&self, number: u32) -> Option<&T> {
        self.names.get(number as usize)
    }
}

/// Which of so many shards an entity belongs to.
pub(super) fn shard_of(entity: &Entity, shards: u32) -> u32 {
    // The upper bits: the lower ones choose the place in a table.
    let hash = FastHash::default().hash_one(entity);
    (((hash >> 32) * u64::from(shards)) >> 32) as u32
}

impl Book {
    pub(super) fn entity(&mut self, entity: &Entity, judge: &mut judge::Judge) -> u32 {
        let (number, is_new) = self.entities.number(entity);
        if is_new {
            let kind = self.kind(&entity.kind().into());
            judge.entity(kind);
        }
        number
    }

    pub(super) fn kind(&mut self, kind: &Arc<str>) -> u16 {
        u16::try_from(self.kinds.number(kind).0).unwrap_or(u16::MAX)
    }

    pub(super) fn copy(&mut self, copy: &Arc<str>) -> u32 {
        // The same few copies, most of the time by the same pointer.
        let same = self.copies.names.iter().take(8).position(|known| Arc::ptr_eq(known, copy));
        same.map_or_else(|| self.copies.number(copy).0, |at| at as u32)
    }

    /// The number of a view and key.
    pub(super) fn note(&mut self, view: &Arc<str>, key: &Arc<str>) -> u32 {
        let same = |known: &Arc<str>| Arc::ptr_eq(known, view) || known == view;
        let at = self.views.iter().position(|(known, _)| same(known)).unwrap_or_else(|| {
            self.views.push((view.clone(), Table::default()));
            self.views.len() - 1
        });
        let Some((_, keys)) = self.views.get_mut(at) else { return 0 };
        let note = (at as u32, keys.number(key).0);
        *self.notes.entry(note).or_insert_with(|| {
            self.noted.push(note);
            self.noted.len() as u32 - 1
        })
    }

    pub(super) fn copy_name(&self, copy: u32) -> Arc<str> {
        self.copies.name(copy).cloned().unwrap_or_default()
    }

    fn entity_name(&self, entity: u32) -> Option<Entity> {
        self.entities.name(entity).cloned()
    }

    fn kind_name(&self, kind: Option<u16>) -> Option<Arc<str>> {
        self.kinds.name(u32::from(kind?)).cloned()
    }

    fn shown(&self, shown: judge::Shown) -> Option<Shown> {
        Some(Shown { entity: self.entity_name(shown.entity)?, state: shown.state })
    }

    /// The record that proves something; a read with nothing but the entity that matters.
    pub(super) fn record(&self, proof: &Proof) -> Option<Record> {
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
                let (view, key) = *self.noted.get(note as usize)?;
                let (view, keys) = self.views.get(view as usize)?;
                let token = token.and_then(|(entity, stamp)| Some((self.entity_name(entity)?, stamp)));
                Record::Read(Read {
                    copy: self.copy_name(copy),
                    session,
                    view: view.clone(),
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

impl Names for Book {
    fn copy(&self, number: u32) -> String {
        self.copy_name(number).to_string()
    }

    fn entity(&self, number: u32) -> String {
        self.entity_name(number).map_or_else(String::new, |entity| entity.to_string())
    }
}
