//! What a copy, or a session, was shown of an entity, as chains of ever newer versions.

use tidings_core::{Freshness, Path, Stamp};

use super::Read;
use crate::history::Nanos;

/// A chain's end; `Chain::default()` is an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    last: u32,
    /// The last step's version, so that most answers need not look at it.
    pub(super) newest: Stamp,
}

const NONE: u32 = u32::MAX;

impl Default for Chain {
    fn default() -> Self {
        Self { last: NONE, newest: Stamp::default() }
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
pub(super) struct Steps(Vec<Step>);

impl Steps {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn last(&self, chain: Chain) -> Option<&Step> {
        self.at(chain.last)
    }

    fn at(&self, place: u32) -> Option<&Step> {
        self.0.get(place as usize)
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

    /// Reads come in the order in which they ended; one that comes late is no step.
    pub(super) fn add(&mut self, chain: &mut Chain, stamp: Stamp, read: impl FnOnce() -> Brief) {
        if chain.newest >= stamp {
            return;
        }
        let read = read();
        if self.last(*chain).is_some_and(|last| last.read.ended > read.ended) {
            return;
        }
        let Ok(at) = u32::try_from(self.0.len()) else { return };
        self.0.push(Step { stamp, read, before: chain.last });
        *chain = Chain { last: at, newest: stamp };
    }

    /// Copies of a chain what reads that begin at `time` or later are held to.
    pub(super) fn keep(&self, chain: &mut Chain, time: Nanos, kept: &mut Self) {
        let Some(last) = self.last(*chain) else { return };
        if last.read.ended < time {
            let step = *last;
            *chain = Chain::default();
            return kept.add(chain, step.stamp, || step.read);
        }
        let mut newest_first = vec![*last];
        let mut at = last;
        while at.read.ended >= time
            && let Some(before) = self.at(at.before)
        {
            newest_first.push(*before);
            at = before;
        }
        *chain = Chain::default();
        for step in newest_first.into_iter().rev() {
            kept.add(chain, step.stamp, || step.read);
        }
    }
}
