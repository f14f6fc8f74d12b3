//! What every copy said of itself, and the commits that its marks must cover.

use tidings_core::Stamp;

use super::MOST_COPIES;
use super::pending::Word;
use crate::checker::Account;
use crate::history::Nanos;

#[derive(Debug, Default)]
pub(super) struct CopyState {
    /// The last one.
    pub(super) epoch: Option<Nanos>,
    subscriptions: Vec<(Option<u16>, Nanos)>,
    /// The newest of each kind.
    pub(super) leases: Vec<Word>,
    /// How far each kind's marks have come in the acknowledged commits.
    marks: Vec<(Option<u16>, u64)>,
    pub(super) account: Account,
}

/// By number; none beyond the limit.
#[derive(Debug, Default)]
pub(super) struct Copies {
    all: Vec<CopyState>,
    used: usize,
    pub(super) are_too_many: bool,
}

impl CopyState {
    /// From when on a commit of this kind must be accounted for. Of two subscriptions that cover it, the earlier stands.
    pub(super) fn expects(&self, kind: u16) -> Option<Nanos> {
        let covering = self.subscriptions.iter().filter(|(of, _)| of.is_none_or(|of| of == kind));
        covering.map(|(_, from)| *from).min()
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
        match copy.subscriptions.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, known)) => *known = from.max(*known),
            None => copy.subscriptions.push((kind, from)),
        }
    }

    pub(super) fn lease(&mut self, word: Word) {
        let Some(copy) = self.at(word.copy) else { return };
        match copy.leases.iter_mut().find(|known| known.kind == word.kind) {
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

    /// Takes in what was acknowledged until then.
    pub(super) fn settle(&mut self, up_to: Nanos) {
        if std::mem::take(&mut self.is_unsorted) {
            self.unsettled.sort_by_key(|ack| ack.ended);
        }
        let settled = self.unsettled.partition_point(|ack| ack.ended <= up_to);
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
