//! The versions of one entity: when each was committed, when it was outdated, and who has it.

use tidings_core::{Outcome, Stamp, Version};

use super::Commit;
use crate::history::Nanos;

/// One version.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) stamp: Stamp,
    pub(super) began: Nanos,
    /// `Nanos::MAX` if it was never acknowledged.
    pub(super) ended: Nanos,
    /// When this version or a newer one was first acknowledged. It rises with the version: what is older is stale from
    /// here on, even if the answer to the very next commit was late.
    pub(super) outdates_from: Nanos,
    /// The copies that applied exactly this version, as bits.
    pub(super) applied: u64,
    pub(super) parked: u64,
    /// 0 if it is not known.
    pub(super) digest: u64,
    pub(super) deleted: bool,
    /// A baseline was never an event.
    is_event: bool,
}

impl Entry {
    /// An unacknowledged commit may never have happened: its event is welcome, but not expected.
    pub(super) const fn is_expected(&self, from: Nanos) -> bool {
        self.is_event && self.ended != Nanos::MAX && self.began >= from
    }
}

/// Whether a version was ever committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Here.
    At(usize),
    /// Before everything that is still known: it existed, or it is "not created yet".
    Before,
    /// Not as far as is known.
    Never,
}

/// What most answers are compared with.
#[derive(Debug, Default)]
struct Newest {
    stamp: Stamp,
    began: Nanos,
    digest: u64,
}

#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Versions {
    /// Of the last entry; without one, that of "not created yet".
    newest: Newest,
    entries: Vec<Entry>,
    /// Up to here versions are known to have existed, but not when: pruned, or older than the baseline.
    forgotten: Option<Stamp>,
    /// The newest delete among them, and when it was outdated.
    forgotten_delete: Option<(Stamp, Nanos)>,
    has_deletes: bool,
}

impl Versions {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.newest = Newest::default();
        (self.forgotten, self.forgotten_delete, self.has_deletes) = (None, None, false);
    }

    pub(super) const fn entries(&self) -> &[Entry] {
        self.entries.as_slice()
    }

    pub(super) fn baseline(&mut self, stamp: Stamp) {
        self.forgotten = self.forgotten.max(Some(stamp));
        let (began, ended, deleted, digest) = (0, 0, false, 0);
        self.insert(Entry {
            stamp,
            began,
            ended,
            outdates_from: 0,
            applied: 0,
            parked: 0,
            digest,
            deleted,
            is_event: false,
        });
    }

    /// False if it is older than what is remembered.
    pub(super) fn commit(&mut self, commit: &Commit) -> bool {
        let Commit { stamp, began, ended, deleted, digest, .. } = *commit;
        if self.forgotten.is_some_and(|forgotten| stamp <= forgotten) {
            return false;
        }
        self.has_deletes |= deleted;
        let entry = Entry {
            stamp,
            began,
            ended,
            outdates_from: ended,
            applied: 0,
            parked: 0,
            digest,
            deleted,
            is_event: true,
        };
        self.insert(entry);
        true
    }

    fn insert(&mut self, mut new: Entry) {
        let at = match self.entries.last() {
            Some(last) if last.stamp >= new.stamp => {
                self.entries.partition_point(|entry| entry.stamp < new.stamp)
            }
            _ => self.entries.len(),
        };
        match self.entries.get_mut(at) {
            Some(known) if known.stamp == new.stamp => {
                known.began = known.began.min(new.began);
                known.ended = known.ended.min(new.ended);
                known.outdates_from = known.outdates_from.min(known.ended);
                known.deleted |= new.deleted;
                known.digest = if known.digest == 0 { new.digest } else { known.digest };
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
        if let Some(Entry { stamp, began, digest, .. }) = self.entries.last() {
            self.newest = Newest { stamp: *stamp, began: *began, digest: *digest };
        }
    }

    /// Whether an answer that ended then shows the newest version, with the right content as far as that is known: then
    /// it can be neither invented nor outdated.
    pub(super) fn is_newest(&self, stamp: Stamp, digest: Option<u64>, ended: Nanos) -> bool {
        let newest = &self.newest;
        let is_torn = newest.digest != 0 && digest.is_some_and(|digest| digest != newest.digest);
        let may_be_gone = self.has_deletes && digest.is_some();
        newest.stamp == stamp && newest.began <= ended && !is_torn && !may_be_gone
    }

    /// Where this version is, and when it was outdated: `Nanos::MAX` if it never was.
    pub(super) fn look(&self, stamp: Stamp) -> (Place, Nanos) {
        // Most answers show the newest version.
        if self.newest.stamp == stamp && !self.entries.is_empty() {
            return (Place::At(self.entries.len() - 1), Nanos::MAX);
        }
        let at = self.entries.partition_point(|entry| entry.stamp < stamp);
        let from = |at: usize| self.entries.get(at).map_or(Nanos::MAX, |entry| entry.outdates_from);
        if self.entries.get(at).is_some_and(|entry| entry.stamp == stamp) {
            return (Place::At(at), from(at + 1));
        }
        let existed =
            stamp.version == Version::ZERO || self.forgotten.is_some_and(|forgotten| stamp <= forgotten);
        (if existed { Place::Before } else { Place::Never }, from(at))
    }

    pub(super) fn find(&self, stamp: Stamp) -> Option<&Entry> {
        match self.look(stamp).0 {
            Place::At(at) => self.entries.get(at),
            _ => None,
        }
    }

    /// Notes what a copy did with the version in this place, and says when it began. Its word that a version was
    /// superseded proves nothing by itself.
    pub(super) fn applied(&mut self, at: usize, copy: u64, outcome: Outcome) -> Nanos {
        let Some(entry) = self.entries.get_mut(at) else { return 0 };
        match outcome {
            Outcome::Applied => entry.applied |= copy,
            Outcome::Parked => entry.parked |= copy,
            Outcome::Superseded => {}
        }
        entry.began
    }

    /// The version whose acknowledgement outdated this one.
    pub(super) fn successor(&self, stamp: Stamp) -> Option<&Entry> {
        let mut newer = self.entries.iter().skip_while(|entry| entry.stamp <= stamp).peekable();
        let from = newer.peek()?.outdates_from;
        newer.find(|entry| entry.ended == from)
    }

    /// The newest version that was acknowledged before then.
    pub(super) fn newest_before(&self, time: Nanos) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.ended < time)
    }

    /// The newest state in which the entity was absent that had begun by `ended` and was not outdated before `start`.
    pub(super) fn newest_absent(&self, start: Nanos, ended: Nanos) -> Option<Stamp> {
        self.absent(start).find(|(_, began)| *began <= ended).map(|(stamp, _)| stamp)
    }

    /// The oldest of these states that is not older than `floor`.
    pub(super) fn oldest_absent(&self, start: Nanos, ended: Nanos, floor: Option<Stamp>) -> Option<Stamp> {
        let among = self.absent(start).take_while(|(stamp, _)| floor.is_none_or(|floor| *stamp >= floor));
        among.filter(|(_, began)| *began <= ended).last().map(|(stamp, _)| stamp)
    }

    /// The states of absence that were not outdated before `start`, from the newest, and when each began.
    fn absent(&self, start: Nanos) -> impl Iterator<Item = (Stamp, Nanos)> {
        let looked_at = if self.has_deletes { self.entries.as_slice() } else { &[] };
        let mut outdated = Nanos::MAX;
        let deletes = looked_at.iter().rev().map_while(move |entry| {
            let lasted = outdated >= start;
            outdated = entry.outdates_from;
            lasted.then_some(entry)
        });
        let first = self.entries.first().map_or(Nanos::MAX, |entry| entry.outdates_from);
        // Version zero: before anything that was committed.
        let never = (first >= start).then_some((Stamp::default(), 0));
        let forgotten = self.forgotten_delete.filter(|(_, outdated)| *outdated >= start);
        let deletes = deletes.filter(|entry| entry.deleted).map(|entry| (entry.stamp, entry.began));
        deletes.chain(forgotten.map(|(stamp, _)| (stamp, 0))).chain(never)
    }

    /// When the newest version of an older timeline began that began before this timeline did.
    pub(super) fn last_of_older_timelines(&self, stamp: Stamp) -> Option<Nanos> {
        let split = self.entries.partition_point(|entry| entry.stamp.timeline < stamp.timeline);
        let (older, newer) = self.entries.split_at_checked(split)?;
        let first = newer.iter().map(|entry| entry.began).min().unwrap_or(Nanos::MAX);
        older.iter().map(|entry| entry.began).filter(|began| *began < first).max()
    }

    /// Removes the versions that had been outdated before `time` as far as they are accounted for, oldest first.
    pub(super) fn forget_before(
        &mut self,
        time: Nanos,
        is_open: impl Fn(&Entry) -> bool,
        mut account: impl FnMut(&Entry),
    ) {
        let current = self.entries.partition_point(|entry| entry.outdates_from < time).saturating_sub(1);
        let forgettable = self.entries.iter().take(current).position(is_open).unwrap_or(current);
        for (entry, next) in self.entries.iter().zip(self.entries.iter().skip(1)).take(forgettable) {
            account(entry);
            self.forgotten = Some(entry.stamp);
            if entry.deleted {
                self.forgotten_delete = Some((entry.stamp, next.outdates_from));
            }
        }
        self.entries.drain(..forgettable);
    }
}
