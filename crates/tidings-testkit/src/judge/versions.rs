//! The versions of one entity: when each was committed, when it was outdated, and who has it.

use tidings_core::{Outcome, Stamp, Timeline, Version};

use super::{Baseline, Commit};
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
    /// When this version or a newer one was first begun. It rises with the version too, so that what had begun by some
    /// time need not be searched for.
    begun_from: Nanos,
    /// The copies that applied exactly this version, as bits.
    pub(super) applied: u64,
    pub(super) parked: u64,
    /// 0 if it is not known.
    pub(super) digest: u64,
    pub(super) deleted: bool,
    /// Whether it said when its content is in force; else that is from its begin on.
    pub(super) has_window: bool,
    /// A baseline was never an event.
    pub(super) is_event: bool,
}

impl Entry {
    /// Takes in the content of the same version, as another record says it; true if both cannot be. A commit that was
    /// never acknowledged may not have happened, and its version may have gone to another.
    fn takes_content(&mut self, new: &Self) -> bool {
        let is_sure = |entry: &Self| entry.ended != Nanos::MAX;
        match (is_sure(self), is_sure(new)) {
            (false, true) => (self.digest, self.deleted) = (new.digest, new.deleted),
            (true, false) => {}
            (sure, _) => {
                let is_other_kind = self.is_event && new.is_event && self.deleted != new.deleted;
                self.deleted |= new.deleted;
                return (self.has_other_content(new.digest) || is_other_kind) && sure;
            }
        }
        false
    }

    /// The same of the digest alone.
    fn has_other_content(&mut self, digest: u64) -> bool {
        let is_other = self.digest != 0 && digest != 0 && self.digest != digest;
        if self.digest == 0 {
            self.digest = digest;
        }
        is_other
    }

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

/// What a record added to what was known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Added {
    /// False if it is older than what is remembered: then it adds nothing.
    pub(super) is_news: bool,
    pub(super) is_new: bool,
    /// Whether it is acknowledged, and was not known to be so early.
    pub(super) is_acknowledged: bool,
    /// Whether its version was known with other content.
    pub(super) contradicts: bool,
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
    /// The newest delete among them: when it began, and was outdated.
    forgotten_delete: Option<(Stamp, Nanos, Nanos)>,
    /// When its first version was acknowledged.
    existed_from: Option<Nanos>,
    /// Of the newest timeline among them, when the last acknowledged version began.
    forgotten_timeline: Option<(Timeline, Nanos)>,
    /// The same of all older ones.
    older_timelines: Option<Nanos>,
    /// The versions that are deletes, in order.
    deletes: Vec<Stamp>,
}

impl Versions {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.deletes.clear();
        self.newest = Newest::default();
        (self.forgotten, self.forgotten_delete, self.forgotten_timeline) = (None, None, None);
        (self.existed_from, self.older_timelines) = (None, None);
    }

    pub(super) const fn entries(&self) -> &[Entry] {
        self.entries.as_slice()
    }

    /// What was committed before it is no news, whichever was recorded first.
    pub(super) fn baseline(&mut self, baseline: &Baseline) -> Added {
        let Baseline { stamp, deleted, digest, .. } = *baseline;
        if self.forgotten.is_some_and(|forgotten| stamp < forgotten) {
            return Added::default();
        }
        self.forgotten = Some(stamp);
        let older = self.entries.partition_point(|entry| entry.stamp < stamp);
        self.entries.drain(..older);
        self.deletes.retain(|delete| *delete >= stamp);
        self.insert(Entry {
            stamp,
            began: 0,
            ended: 0,
            outdates_from: 0,
            begun_from: 0,
            applied: 0,
            parked: 0,
            digest,
            deleted,
            has_window: false,
            is_event: false,
        })
    }

    pub(super) fn commit(&mut self, commit: &Commit) -> Added {
        let Commit { stamp, began, ended, deleted, digest, window, .. } = *commit;
        if self.forgotten.is_some_and(|forgotten| stamp <= forgotten) {
            let at = self.entries.partition_point(|entry| entry.stamp < stamp);
            let known = self.entries.get_mut(at).filter(|entry| entry.stamp == stamp);
            let contradicts = known.is_some_and(|known| known.has_other_content(digest));
            self.note_newest();
            return Added { contradicts, ..Added::default() };
        }
        self.insert(Entry {
            stamp,
            began,
            ended,
            outdates_from: ended,
            begun_from: began,
            applied: 0,
            parked: 0,
            digest,
            deleted,
            has_window: window.is_some(),
            is_event: true,
        })
    }

    fn insert(&mut self, mut new: Entry) -> Added {
        let at = match self.entries.last() {
            Some(last) if last.stamp >= new.stamp => {
                self.entries.partition_point(|entry| entry.stamp < new.stamp)
            }
            _ => self.entries.len(),
        };
        if self.existed_from.is_none_or(|from| from > new.ended) {
            self.existed_from = Some(new.ended);
        }
        let is_acknowledged = new.ended != Nanos::MAX;
        let mut added = Added { is_news: true, is_new: true, is_acknowledged, contradicts: false };
        match self.entries.get_mut(at) {
            Some(known) if known.stamp == new.stamp => {
                added.is_new = false;
                added.contradicts = known.takes_content(&new);
                added.is_acknowledged = known.is_event && new.ended < known.ended;
                known.began = known.began.min(new.began);
                known.ended = known.ended.min(new.ended);
                known.outdates_from = known.outdates_from.min(known.ended);
                known.begun_from = known.begun_from.min(known.began);
                known.has_window |= new.has_window;
                known.is_event &= new.is_event;
                let (stamp, deleted) = (known.stamp, known.deleted);
                self.note_delete(stamp, deleted);
            }
            next => {
                let (outdated, begun) =
                    next.map_or((Nanos::MAX, Nanos::MAX), |next| (next.outdates_from, next.begun_from));
                (new.outdates_from, new.begun_from) = (new.ended.min(outdated), new.began.min(begun));
                if new.deleted {
                    self.note_delete(new.stamp, true);
                }
                self.entries.insert(at, new);
            }
        }
        let (outdated, begun) = self
            .entries
            .get(at)
            .map_or((Nanos::MAX, Nanos::MAX), |entry| (entry.outdates_from, entry.begun_from));
        let is_later = |older: &&mut Entry| older.outdates_from > outdated || older.begun_from > begun;
        for older in self.entries.iter_mut().take(at).rev().take_while(is_later) {
            older.outdates_from = older.outdates_from.min(outdated);
            older.begun_from = older.begun_from.min(begun);
        }
        self.note_newest();
        added
    }

    fn note_newest(&mut self) {
        if let Some(Entry { stamp, began, digest, .. }) = self.entries.last() {
            self.newest = Newest { stamp: *stamp, began: *began, digest: *digest };
        }
    }

    fn note_delete(&mut self, stamp: Stamp, is_one: bool) {
        let at = self.deletes.partition_point(|delete| *delete < stamp);
        let is_known = self.deletes.get(at) == Some(&stamp);
        if is_one && !is_known {
            self.deletes.insert(at, stamp);
        } else if is_known && !is_one {
            self.deletes.remove(at);
        }
    }

    /// Whether an answer that ended then shows the newest version, with the right content as far as that is known: then
    /// it can be neither invented nor outdated.
    pub(super) fn is_newest(&self, stamp: Stamp, digest: Option<u64>, ended: Nanos) -> bool {
        let newest = &self.newest;
        let is_torn = newest.digest != 0 && digest.is_some_and(|digest| digest != newest.digest);
        let may_be_gone = !self.deletes.is_empty() && digest.is_some();
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
        let outdated = if stamp == Stamp::default() { self.existed_from() } else { from(at) };
        (if existed { Place::Before } else { Place::Never }, outdated)
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
        let newer = self.entries.partition_point(|entry| entry.stamp <= stamp);
        let newer = self.entries.get(newer..)?;
        let from = newer.first()?.outdates_from;
        newer.iter().find(|entry| entry.ended == from)
    }

    /// The newest version that was acknowledged before then: of those that were outdated by then or are the first to
    /// be, the last.
    pub(super) fn newest_before(&self, time: Nanos) -> Option<&Entry> {
        let until = self.entries.partition_point(|entry| entry.outdates_from < time);
        self.entries.get(until.checked_sub(1)?)
    }

    /// The newest state in which the entity was absent that had begun by `ended` and was not outdated before `start`.
    pub(super) fn newest_absent(&self, start: Nanos, ended: Nanos) -> Option<Stamp> {
        let begun = |delete: &&Entry| delete.began <= ended;
        let delete = self.deletes_between(start, ended).rev().find(begun).map(|delete| delete.stamp);
        delete.or_else(|| self.older_absence(start, ended).next())
    }

    /// The oldest of these states that is not older than `floor`.
    pub(super) fn oldest_absent(&self, start: Nanos, ended: Nanos, floor: Option<Stamp>) -> Option<Stamp> {
        let is_in = |stamp: &Stamp| floor.is_none_or(|floor| *stamp >= floor);
        self.older_absence(start, ended).filter(is_in).last().or_else(|| {
            let mut deletes = self.deletes_between(start, ended).skip_while(|delete| !is_in(&delete.stamp));
            deletes.find(|delete| delete.began <= ended).map(|delete| delete.stamp)
        })
    }

    /// This version and what is older.
    pub(super) fn up_to(&self, stamp: Stamp) -> &[Entry] {
        let end = self.entries.partition_point(|entry| entry.stamp <= stamp);
        self.entries.get(..end).unwrap_or_default()
    }

    /// The deletes among them.
    pub(super) fn deletes_up_to(&self, stamp: Stamp) -> impl DoubleEndedIterator<Item = &Entry> {
        let end = self.deletes.partition_point(|delete| *delete <= stamp);
        self.deletes.iter().take(end).filter_map(|delete| self.find(*delete))
    }

    /// The deletes, the oldest first, that were not outdated before `start`, as far as one of them or of what is newer
    /// had begun by `ended`.
    fn deletes_between(&self, start: Nanos, ended: Nanos) -> impl DoubleEndedIterator<Item = &Entry> {
        let deletes = if self.deletes.is_empty() { &[] } else { self.deletes_in(start, ended) };
        deletes.iter().filter_map(|delete| self.find(*delete))
    }

    fn deletes_in(&self, start: Nanos, ended: Nanos) -> &[Stamp] {
        // A version lasts until the next one outdates it.
        let first = self.entries.partition_point(|entry| entry.outdates_from < start).saturating_sub(1);
        let end = self.entries.partition_point(|entry| entry.begun_from <= ended);
        let Some(known) = self.entries.get(first..end) else { return &[] };
        let (Some(oldest), Some(newest)) = (known.first(), known.last()) else { return &[] };
        let from = self.deletes.partition_point(|delete| *delete < oldest.stamp);
        let until = self.deletes.partition_point(|delete| *delete <= newest.stamp);
        self.deletes.get(from..until).unwrap_or_default()
    }

    /// What else an absence can be, the newest first: a delete that is forgotten, or "not created yet".
    fn older_absence(&self, start: Nanos, ended: Nanos) -> impl Iterator<Item = Stamp> {
        let fits = |(_, began, outdated): &(Stamp, Nanos, Nanos)| *began <= ended && *outdated >= start;
        let forgotten = self.forgotten_delete.filter(fits).map(|(stamp, ..)| stamp);
        // Version zero: before anything that was committed.
        let never = (self.existed_from() >= start).then_some(Stamp::default());
        forgotten.into_iter().chain(never)
    }

    fn existed_from(&self) -> Nanos {
        self.existed_from.unwrap_or(Nanos::MAX)
    }

    /// When the last acknowledged version of an older timeline began that began before this timeline did. One that was
    /// never acknowledged may be the old timeline's last breath, long after its end.
    pub(super) fn last_of_older_timelines(&self, stamp: Stamp) -> Option<Nanos> {
        let split = self.entries.partition_point(|entry| entry.stamp.timeline < stamp.timeline);
        let (older, newer) = self.entries.split_at_checked(split)?;
        let first = newer.iter().map(|entry| entry.began).min().unwrap_or(Nanos::MAX);
        let acknowledged = older.iter().filter(|entry| entry.ended != Nanos::MAX).map(|entry| entry.began);
        let forgotten = match self.forgotten_timeline {
            Some((timeline, began)) if timeline < stamp.timeline => Some(began),
            _ => self.older_timelines,
        };
        acknowledged.chain(forgotten).filter(|began| *began < first).max()
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
        if forgettable == 0 {
            return;
        }
        for (entry, next) in self.entries.iter().zip(self.entries.iter().skip(1)).take(forgettable) {
            account(entry);
            self.forgotten = Some(entry.stamp);
            if entry.deleted {
                self.forgotten_delete = Some((entry.stamp, entry.began, next.outdates_from));
            }
            if entry.ended != Nanos::MAX {
                let timeline = entry.stamp.timeline;
                let began = match self.forgotten_timeline {
                    Some((known, began)) if known == timeline => began.max(entry.began),
                    older => {
                        self.older_timelines = self.older_timelines.max(older.map(|(_, began)| began));
                        entry.began
                    }
                };
                self.forgotten_timeline = Some((timeline, began));
            }
        }
        self.entries.drain(..forgettable);
        let forgotten = self.forgotten;
        let gone = self.deletes.partition_point(|delete| Some(*delete) <= forgotten);
        self.deletes.drain(..gone);
    }
}
