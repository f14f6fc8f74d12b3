//! The versions of one entity: when each was committed, when it was outdated, and who has it.

use tidings_core::{Entity, Outcome, Stamp};

use super::account::{Expected, bit};
use super::{Account, Version};
use crate::history::{Commit, Nanos};

/// Whether a version was ever committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Committed { began: Nanos },
    Never,
}

#[derive(Debug)]
struct Entry {
    stamp: Stamp,
    began: Nanos,
    /// `Nanos::MAX` if it was never acknowledged.
    ended: Nanos,
    /// When this version or a newer one was first acknowledged. It rises with the version: what is older is stale from
    /// here on, even if the answer to the very next commit was late.
    outdates_from: Nanos,
    /// The copies that applied exactly this version, as bits.
    applied: u64,
    parked: u64,
    /// A baseline was never an event.
    is_event: bool,
}

#[derive(Debug, Default)]
pub(super) struct Versions {
    entries: Vec<Entry>,
    /// Up to here versions are known to have existed, but not when: pruned, or older than the baseline.
    forgotten: Option<Stamp>,
}

impl Versions {
    pub(super) fn baseline(&mut self, stamp: Stamp) {
        self.forgotten = self.forgotten.max(Some(stamp));
        self.insert(Entry {
            stamp,
            began: 0,
            ended: 0,
            outdates_from: 0,
            applied: 0,
            parked: 0,
            is_event: false,
        });
    }

    pub(super) fn commit(&mut self, commit: &Commit) {
        if self.forgotten.is_some_and(|forgotten| commit.stamp <= forgotten) {
            return;
        }
        let ended = commit.ended.unwrap_or(Nanos::MAX);
        self.insert(Entry {
            stamp: commit.stamp,
            began: commit.began,
            ended,
            outdates_from: ended,
            applied: 0,
            parked: 0,
            is_event: true,
        });
    }

    fn insert(&mut self, mut new: Entry) {
        let at = self.entries.partition_point(|entry| entry.stamp < new.stamp);
        match self.entries.get_mut(at) {
            Some(known) if known.stamp == new.stamp => {
                known.began = known.began.min(new.began);
                known.ended = known.ended.min(new.ended);
                known.outdates_from = known.outdates_from.min(known.ended);
            }
            next => {
                new.outdates_from = new.ended.min(next.map_or(Nanos::MAX, |next| next.outdates_from));
                self.entries.insert(at, new);
            }
        }
        let from = self.entries.get(at).map_or(Nanos::MAX, |entry| entry.outdates_from);
        for older in self.entries.iter_mut().take(at).rev().take_while(|older| older.outdates_from > from) {
            older.outdates_from = from;
        }
    }

    fn find(&self, stamp: Stamp) -> Option<usize> {
        // Most reads show the newest version.
        match self.entries.last() {
            Some(newest) if newest.stamp == stamp => Some(self.entries.len() - 1),
            _ => self.entries.binary_search_by(|entry| entry.stamp.cmp(&stamp)).ok(),
        }
    }

    pub(super) fn known(&self, stamp: Stamp) -> Known {
        if let Some(entry) = self.find(stamp).and_then(|at| self.entries.get(at)) {
            return Known::Committed { began: entry.began };
        }
        let never_existed = stamp.version == Version::ZERO;
        if never_existed || self.forgotten.is_some_and(|forgotten| stamp <= forgotten) {
            return Known::Committed { began: 0 };
        }
        Known::Never
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The version after this one, and when it or a newer one was first acknowledged.
    pub(super) fn successor(&self, stamp: Stamp) -> Option<(Stamp, Nanos)> {
        if self.entries.last().is_none_or(|newest| newest.stamp <= stamp) {
            return None;
        }
        let at = self.entries.partition_point(|entry| entry.stamp <= stamp);
        let next = self.entries.get(at)?;
        let first = self.entries.iter().skip(at).find(|entry| entry.ended == next.outdates_from);
        Some((first.map_or(next.stamp, |first| first.stamp), next.outdates_from))
    }

    pub(super) fn commit_of(&self, entity: &Entity, stamp: Stamp) -> Option<Commit> {
        let entry = self.entries.get(self.find(stamp)?)?;
        Some(entry.commit(entity))
    }

    /// Notes what a copy did with a version. Its word that a version was superseded proves nothing by itself.
    pub(super) fn applied(&mut self, stamp: Stamp, copy: u64, outcome: Outcome) -> Known {
        if let Some(entry) = self.find(stamp).and_then(|at| self.entries.get_mut(at)) {
            match outcome {
                Outcome::Applied => entry.applied |= copy,
                Outcome::Parked => entry.parked |= copy,
                Outcome::Superseded => {}
            }
        }
        self.known(stamp)
    }

    /// Adds every event that is expected to the accounts of its copies, and returns those that are lost.
    pub(super) fn account(
        &self,
        entity: &Entity,
        expected: &[Expected],
        accounts: &mut Vec<Account>,
    ) -> Vec<(usize, Commit)> {
        let mut lost = Vec::new();
        let mut covered = 0;
        for entry in self.entries.iter().rev() {
            covered |= entry.applied;
            for (copy, _) in expected.iter().filter(|(_, from)| entry.is_expected(*from)) {
                if entry.add_to(accounts, *copy, covered) {
                    lost.push((*copy, entry.commit(entity)));
                }
            }
        }
        lost
    }

    /// Removes the versions that had been outdated before `time` and that every copy has accounted for.
    pub(super) fn forget_before(&mut self, time: Nanos, expected: &[Expected], accounts: &mut Vec<Account>) {
        let current = self.entries.partition_point(|entry| entry.outdates_from < time).saturating_sub(1);
        let mut forgettable = current;
        let mut covered = self.entries.iter().skip(current).fold(0, |covered, e| covered | e.applied);
        let mut done = Vec::with_capacity(current);
        for (at, entry) in self.entries.iter().enumerate().take(current).rev() {
            covered |= entry.applied;
            done.push(covered);
            let open = |(copy, from): &Expected| {
                entry.is_expected(*from) && (covered | entry.parked) & bit(*copy) == 0
            };
            if expected.iter().any(open) {
                forgettable = at;
            }
        }
        for (entry, covered) in self.entries.drain(..forgettable).zip(done.into_iter().rev()) {
            for (copy, _) in expected.iter().filter(|(_, from)| entry.is_expected(*from)) {
                entry.add_to(accounts, *copy, covered);
            }
            self.forgotten = Some(entry.stamp);
        }
    }
}

impl Entry {
    /// An unacknowledged commit may never have happened: its event is welcome, but not expected.
    const fn is_expected(&self, from: Nanos) -> bool {
        self.is_event && self.ended != Nanos::MAX && self.began >= from
    }

    /// Adds this event to a copy's account; true if it is lost. `covered`: who applied it or a newer version.
    fn add_to(&self, accounts: &mut Vec<Account>, copy: usize, covered: u64) -> bool {
        if accounts.len() <= copy {
            accounts.resize_with(copy + 1, Account::default);
        }
        let Some(account) = accounts.get_mut(copy) else { return false };
        let bit = bit(copy);
        account.expected += 1;
        let (count, lost) = if self.applied & bit != 0 {
            (&mut account.applied, false)
        } else if covered & bit != 0 {
            (&mut account.superseded, false)
        } else if self.parked & bit != 0 {
            (&mut account.parked, false)
        } else {
            (&mut account.lost, true)
        };
        *count += 1;
        lost
    }

    fn commit(&self, entity: &Entity) -> Commit {
        let ended = (self.ended != Nanos::MAX).then_some(self.ended);
        Commit { entity: entity.clone(), stamp: self.stamp, began: self.began, ended }
    }
}
