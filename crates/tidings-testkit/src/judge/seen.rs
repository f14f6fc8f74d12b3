//! What a copy, or a session, was shown of an entity, as chains of ever newer versions.

use std::collections::HashMap;

use tidings_core::{Freshness, Path, Stamp, Timeline};

use super::Read;
use crate::checker::hash::FastHash;
use crate::history::Nanos;

/// A chain's end; `Chain::default()` is an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    last: u32,
    /// The last step's version, so that most answers need not look at it.
    pub(super) newest: Stamp,
    /// When a session was last shown anything of it, new or not.
    pub(super) shown: Nanos,
}

const NONE: u32 = u32::MAX;

impl Default for Chain {
    fn default() -> Self {
        Self { last: NONE, newest: Stamp::default(), shown: 0 }
    }
}

impl Chain {
    /// The timeline of what was shown last.
    pub(super) fn timeline(&self) -> Option<Timeline> {
        (self.last != NONE).then_some(self.newest.timeline)
    }
}

/// What is kept of a read as evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Brief {
    pub(crate) began: Nanos,
    pub(crate) ended: Nanos,
    pub(crate) session: u64,
    pub(crate) freshness: Freshness,
    pub(crate) copy: u32,
    pub(crate) note: u32,
    pub(crate) path: Path,
    /// Whether it showed an absence, taken for a version.
    pub(crate) is_absent: bool,
}

impl Brief {
    pub(super) const fn of(read: &Read, session: u64, note: u32, is_absent: bool) -> Self {
        let Read { copy, began, ended, freshness, path, .. } = *read;
        Self { began, ended, session, freshness, copy, note, path, is_absent }
    }
}

/// A read that showed a newer version than every read of its chain that ended before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) stamp: Stamp,
    pub(super) read: Brief,
    before: u32,
}

/// All steps of all chains.
#[derive(Debug, Default)]
pub(super) struct Steps {
    all: Vec<Step>,
    /// The places of steps that are forgotten.
    free: Vec<u32>,
}

impl Steps {
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.free.clear();
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    pub(super) fn last(&self, chain: Chain) -> Option<&Step> {
        self.at(chain.last)
    }

    fn at(&self, place: u32) -> Option<&Step> {
        self.all.get(place as usize)
    }

    /// The steps of a chain that ended before `time`, newest first.
    pub(super) fn before(&self, chain: Chain, time: Nanos) -> impl Iterator<Item = &Step> {
        let mut at = chain.last;
        std::iter::from_fn(move || {
            let step = self.at(at)?;
            at = step.before;
            Some(step)
        })
        .skip_while(move |step| step.read.ended >= time)
    }

    /// Reads come in the order in which they ended; one that comes late is no step. True if this makes a chain of one
    /// step longer: there is something to forget.
    pub(super) fn add(&mut self, chain: &mut Chain, stamp: Stamp, read: impl FnOnce() -> Brief) -> bool {
        if chain.newest >= stamp {
            return false;
        }
        let (step, last) = (Step { stamp, read: read(), before: chain.last }, self.last(*chain));
        if last.is_some_and(|last| last.read.ended > step.read.ended) {
            return false;
        }
        let was_one = last.is_some_and(|last| last.before == NONE);
        chain.newest = stamp;
        if let Some(at) = self.free.pop() {
            chain.last = at;
            if let Some(place) = self.all.get_mut(at as usize) {
                *place = step;
            }
        } else {
            // Nobody has the memory for more than that.
            chain.last = self.all.len() as u32;
            self.all.push(step);
        }
        was_one
    }

    /// Keeps of a chain what reads that begin at `time` or later are held to. True if there may be more to forget later.
    pub(super) fn forget_before(&mut self, chain: Chain, time: Nanos) -> bool {
        let mut at = chain.last;
        while let Some(step) = self.at(at)
            && step.read.ended >= time
        {
            at = step.before;
        }
        if let Some(oldest) = self.all.get_mut(at as usize) {
            let older = std::mem::replace(&mut oldest.before, NONE);
            self.forget(older);
        }
        self.last(chain).is_some_and(|last| last.before != NONE)
    }

    fn forget(&mut self, mut at: u32) {
        while let Some(step) = self.all.get(at as usize) {
            self.free.push(at);
            at = step.before;
        }
    }
}

/// So many chains of sessions are found by looking at each.
const FEW: usize = 16;

/// The chains of sessions, one per session and entity.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Empty once there are many.
    few: Vec<((u64, u32), Chain)>,
    many: HashMap<(u64, u32), Chain, FastHash>,
}

impl Sessions {
    pub(super) fn clear(&mut self) {
        self.few.clear();
        if !self.many.is_empty() {
            self.many.clear();
        }
    }

    pub(super) fn get(&self, session: u64, entity: u32) -> Option<Chain> {
        if self.many.is_empty() {
            return self.few.iter().find(|(of, _)| *of == (session, entity)).map(|(_, chain)| *chain);
        }
        self.many.get(&(session, entity)).copied()
    }

    pub(super) fn chain(&mut self, session: u64, entity: u32) -> &mut Chain {
        let key = (session, entity);
        if self.many.is_empty() {
            let known = self.few.iter().position(|(of, _)| *of == key);
            let at = known.unwrap_or(self.few.len());
            if known.is_none() && at < FEW {
                self.few.push((key, Chain::default()));
            }
            if at < FEW {
                return &mut self.few[at].1;
            }
            self.many.extend(self.few.drain(..));
        }
        self.many.entry(key).or_default()
    }

    /// Forgets what reads that begin at `time` or later are not held to, and the sessions that were over at `ends`.
    pub(super) fn forget_before(&mut self, time: Nanos, ends: Nanos, steps: &mut Steps) {
        let mut goes_on = |chain: Chain| {
            let goes_on = chain.shown >= ends;
            if goes_on {
                steps.forget_before(chain, time);
            } else {
                steps.forget(chain.last);
            }
            goes_on
        };
        self.few.retain(|(_, chain)| goes_on(*chain));
        self.many.retain(|_, chain| goes_on(*chain));
    }
}
