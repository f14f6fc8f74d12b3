//! What the world saw, told to the judge: what each copy has applied, and what it shows.
//!
//! A copy here is a cache and a kind of key: the shared level's answers of one entity and its composites are judged
//! apart, and so are those of each life of a process. Each answer is read with the token of the newest version that its
//! copy had applied before the read began: an answer from before that is what every guard is there to prevent.

use std::time::Duration;

use tidings_core::{Freshness, Outcome, Path, Stamp};
use tidings_testkit::history::State;
use tidings_testkit::judge::{Applied, Commit, Judge, Read, Shown};

use super::{COMPOSITE, ENTITIES, Value, entities_of};
use crate::world::Broken;

/// The most copies that a history may have.
pub(super) const MOST_COPIES: usize = 24;

#[derive(Debug, Default)]
pub(super) struct Witness {
    judge: Judge,
    applied: [Value; MOST_COPIES],
    pub(super) now: u64,
    pub(super) reads: u64,
    pub(super) commits: u64,
}

impl Witness {
    pub(super) fn reset(&mut self) {
        self.judge.reset();
        self.applied = Default::default();
        (self.now, self.reads, self.commits) = (0, 0, 0);
        for _ in 0..ENTITIES {
            let entity = self.judge.entity(0);
            self.judge.baseline(entity, Stamp::default());
        }
    }

    /// A commit can be read, and its writer has been told.
    pub(super) fn committed(&mut self, entity: usize, stamp: Stamp, began: u64, ended: u64) {
        self.commits += 1;
        self.judge.commit(&Commit {
            entity: entity as u32,
            stamp,
            began,
            ended,
            deleted: false,
            digest: 0,
            window: None,
            revokes: None,
        });
    }

    pub(super) fn applied(&mut self, copy: usize, key: usize, entity: usize, stamp: Stamp) {
        let copy = copy + usize::from(key == COMPOSITE);
        let newest = &mut self.applied[copy][entity];
        *newest = (*newest).max(stamp);
        let (copy, entity, at) = (copy as u32, entity as u32, self.now);
        self.judge.applied(&Applied { copy, entity, stamp, outcome: Outcome::Applied, at });
    }

    pub(super) fn epoch(&mut self, copy: usize) {
        self.judge.epoch(copy as u32, self.now);
        self.judge.epoch(copy as u32 + 1, self.now);
    }

    /// What a copy had applied when a read began.
    pub(super) fn newest(&self, copy: usize, key: usize) -> Value {
        self.applied[copy + usize::from(key == COMPOSITE)]
    }

    /// A copy answered.
    pub(super) fn shown(&mut self, copy: usize, key: usize, began: u64, least: Value, value: &Value) {
        let copy = (copy + usize::from(key == COMPOSITE)) as u32;
        for entity in entities_of(key) {
            self.reads += 1;
            let shown = shown(entity, value);
            let read = Read {
                copy,
                session: 0,
                token: Some((shown.entity, least[entity])),
                began,
                ended: self.now,
                freshness: Freshness::Within(Duration::from_secs(1)),
                path: Path::L1,
                bound: None,
            };
            self.judge.read(read, &[shown]);
        }
    }

    /// Everything is at rest: what a copy still serves is the truth.
    pub(super) fn held(&mut self, copy: usize, key: usize, value: &Value) {
        let (copy, now) = ((copy + usize::from(key == COMPOSITE)) as u32, self.now);
        for entity in entities_of(key) {
            self.judge.held(copy, shown(entity, value), now, now);
        }
    }

    pub(super) fn verdict(&mut self) -> Option<Broken> {
        self.judge.finish();
        let found = self.judge.found().first()?;
        Some(Broken { invariant: Some(found.invariant), what: found.what.clone() })
    }
}

const fn shown(entity: usize, value: &Value) -> Shown {
    let state = State::At { stamp: value[entity], digest: None, in_force: None };
    Shown { entity: entity as u32, state }
}
