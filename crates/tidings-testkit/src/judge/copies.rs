//! What every copy said of itself, and the commits that its marks must cover.

use std::collections::HashMap;

use tidings_core::{Stamp, Timeline};

use super::MOST_COPIES;
use super::pending::Word;
use crate::checker::Account;
use crate::checker::hash::FastHash;
use crate::history::Nanos;

#[derive(Debug, Default)]
pub(super) struct CopyState {
    /// The last one.
    pub(super) epoch: Option<Nanos>,
    /// Of each kind, the times from which it was to account for what is committed, in order.
    subscriptions: Vec<(Option<u16>, Nanos)>,
    /// Of each kind, since when which timeline was heard of.
    heard: Vec<(u16, Timeline, Nanos)>,
    foretold: Vec<Foretold>,
    /// The newest of each kind.
    pub(super) leases: Vec<Word>,
    /// How far each kind's marks have come in the acknowledged commits.
    marks: Vec<(Option<u16>, u64)>,
    pub(super) account: Account,
}

/// A mark of a time that was still to come, and what is needed to know what the copy had when it spoke.
#[derive(Debug)]
pub(super) struct Foretold {
    pub(super) word: Word,
    /// Its last epoch then.
    pub(super) epoch: Option<Nanos>,
    /// From where on in the acknowledged commits it is to be judged.
    pub(super) place: u64,
    /// What was newest then of the entities of which it took something in since.
    newest: HashMap<u32, Stamp, FastHash>,
    /// What it set aside since.
    parked: Vec<(u32, Stamp)>,
}

impl Foretold {
    /// What was newest at the copy then.
    pub(super) fn newest(&self, entity: u32, now: Stamp) -> Stamp {
        self.newest.get(&entity).copied().unwrap_or(now)
    }

    pub(super) fn is_parked_since(&self, entity: u32, stamp: Stamp) -> bool {
        self.parked.contains(&(entity, stamp))
    }
}

/// By number; none beyond the limit.
#[derive(Debug, Default)]
pub(super) struct Copies {
    all: Vec<CopyState>,
    used: usize,
    pub(super) are_too_many: bool,
}

impl CopyState {
    /// From when on a commit of this kind must be accounted for, in the end.
    pub(super) fn expects(&self, kind: u16) -> Option<Nanos> {
        self.expects_at(kind, Nanos::MAX)
    }

    /// The same, as far as it had subscribed by then. Of two subscriptions that cover the kind, the earlier stands; of
    /// one that was made again, the last.
    pub(super) fn expects_at(&self, kind: u16, at: Nanos) -> Option<Nanos> {
        let last = |of: Option<u16>| {
            let made = self.subscriptions.iter().filter(|(known, from)| *known == of && *from <= at);
            made.map(|(_, from)| *from).max()
        };
        match (last(None), last(Some(kind))) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Whether an older timeline of this kind had been heard of before then.
    pub(super) fn knew_older(&self, kind: u16, timeline: Timeline, at: Nanos) -> bool {
        self.heard.iter().any(|(of, older, since)| *of == kind && *older < timeline && *since < at)
    }

    /// Keeps what it had when it spoke of a time to come.
    pub(super) fn foretell(&mut self, word: Word, start: u64) {
        let (epoch, place) = (self.epoch, *self.place(word.kind, start));
        let (newest, parked) = (HashMap::default(), Vec::new());
        self.foretold.push(Foretold { word, epoch, place, newest, parked });
    }

    pub(super) fn take_foretold(&mut self, word: &Word) -> Option<Foretold> {
        let at = self.foretold.iter().position(|foretold| foretold.word == *word)?;
        Some(self.foretold.swap_remove(at))
    }

    pub(super) fn has_foretold(&self, acknowledged: Nanos) -> bool {
        self.foretold.iter().any(|foretold| acknowledged < foretold.word.time)
    }

    /// It takes in more than it had when it spoke.
    pub(super) fn takes_in(&mut self, entity: u32, newest: Stamp, parks: Option<Stamp>) {
        for foretold in &mut self.foretold {
            foretold.newest.entry(entity).or_insert(newest);
            foretold.parked.extend(parks.map(|stamp| (entity, stamp)));
        }
    }

    /// Whether its marks have come beyond the commit with this number, of this kind.
    pub(super) fn has_passed(&self, place: u64, kind: u16) -> bool {
        self.marks.iter().any(|(of, passed)| of.is_none_or(|of| of == kind) && *passed > place)
    }

    /// The place of a kind's marks, kept from one mark to the next.
    pub(super) fn place(&mut self, kind: Option<u16>, start: u64) -> &mut u64 {
        let at = self.marks.iter().position(|(of, _)| *of == kind).unwrap_or_else(|| {
            self.marks.push((kind, start));
            self.marks.len() - 1
        });
        &mut self.marks[at].1
    }
}

impl Copies {
    pub(super) fn clear(&mut self) {
        for copy in self.all.iter_mut().take(self.used) {
            copy.epoch = None;
            copy.subscriptions.clear();
            copy.heard.clear();
            copy.foretold.clear();
            copy.leases.clear();
            copy.marks.clear();
            copy.account = Account::default();
        }
        (self.used, self.are_too_many) = (0, false);
    }

    /// The copy with this number.
    pub(super) fn at(&mut self, number: u32) -> Option<&mut CopyState> {
        if number >= MOST_COPIES {
            self.are_too_many = true;
            return None;
        }
        let at = number as usize;
        self.used = self.used.max(at + 1);
        if self.all.len() <= at {
            self.all.resize_with(at + 1, CopyState::default);
        }
        self.all.get_mut(at)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &CopyState)> {
        (0..).zip(self.all.iter().take(self.used))
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (u32, &mut CopyState)> {
        (0..).zip(self.all.iter_mut().take(self.used))
    }

    pub(super) fn epoch(&mut self, copy: u32, at: Nanos) {
        if let Some(copy) = self.at(copy) {
            copy.epoch = copy.epoch.max(Some(at));
        }
    }

    pub(super) fn subscribe(&mut self, copy: u32, kind: Option<u16>, from: Nanos) {
        let Some(copy) = self.at(copy) else { return };
        if !copy.subscriptions.contains(&(kind, from)) {
            copy.subscriptions.push((kind, from));
        }
    }

    /// The copy was told of a change in this timeline.
    pub(super) fn hear(&mut self, copy: u32, kind: u16, timeline: Timeline, at: Nanos) {
        let Some(copy) = self.at(copy) else { return };
        match copy.heard.iter_mut().find(|(of, known, _)| *of == kind && *known == timeline) {
            Some((.., since)) => *since = at.min(*since),
            None => copy.heard.push((kind, timeline, at)),
        }
    }

    pub(super) fn lease(&mut self, word: Word) {
        let Some(copy) = self.at(word.copy) else { return };
        match copy.leases.iter_mut().find(|known| known.kind == word.kind) {
            // Of two said at once, the longer counts.
            Some(known) if known.at == word.at => known.time = known.time.max(word.time),
            Some(known) => *known = word,
            None => copy.leases.push(word),
        }
    }
}

/// An acknowledged commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ack {
    pub(super) ended: Nanos,
    pub(super) began: Nanos,
    pub(super) entity: u32,
    pub(super) stamp: Stamp,
}

/// The acknowledged commits in the order of their acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Acked {
    list: Vec<Ack>,
    /// The number of the first in the list, counted since the beginning.
    pub(super) start: u64,
    unsettled: Vec<Ack>,
    is_unsorted: bool,
}

impl Acked {
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.unsettled.clear();
        (self.start, self.is_unsorted) = (0, false);
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.list.len() + self.unsettled.len()
    }

    pub(super) fn add(&mut self, ack: Ack) {
        self.is_unsorted |= self.unsettled.last().is_some_and(|last| last.ended > ack.ended);
        self.unsettled.push(ack);
    }

    /// Takes in what was acknowledged before then.
    pub(super) fn settle(&mut self, up_to: Nanos) {
        if std::mem::take(&mut self.is_unsorted) {
            self.unsettled.sort_by_key(|ack| ack.ended);
        }
        let is_settled = |ack: &Ack| up_to == Nanos::MAX || ack.ended < up_to;
        let settled = self.unsettled.partition_point(is_settled);
        self.list.extend(self.unsettled.drain(..settled));
    }

    /// Removes the first commits, as long as this is true of them.
    pub(super) fn forget_while(&mut self, is_over: impl Fn(u64, &Ack) -> bool) {
        let over = (self.start..).zip(&self.list).take_while(|(place, ack)| is_over(*place, ack)).count();
        self.list.drain(..over);
        self.start += over as u64;
    }

    /// The commit with this number.
    pub(super) fn at(&self, place: u64) -> Option<&Ack> {
        self.list.get(place.checked_sub(self.start)? as usize)
    }
}
