//! The rows between what is acknowledged and what has been read, numbered in the order in which they are delivered.

use std::collections::VecDeque;
use std::sync::Arc;

use tidings_core::port::{Cursor, Pending};

use super::snapshot::Snapshot;
use crate::row::Row;

/// A scan returns no more than about so many bytes, whatever its limit in rows.
const SCAN_BYTES: usize = 4 << 20;

/// Where a relay goes on if everything up to here is acknowledged: what the table `tidings.relay` holds.
#[derive(Debug, Clone)]
pub(super) struct Resume {
    pub(super) done: Snapshot,
    pub(super) next: Option<Snapshot>,
    /// Besides, every row up to here that `next` sees is acknowledged. Without `next`: rows of transactions that began after
    /// `done` are after this place.
    pub(super) seq: i64,
    pub(super) lsn: Option<u64>,
}

#[derive(Debug)]
struct Held {
    cursor: u64,
    seq: i64,
    bytes: usize,
    event: Result<Arc<tidings_core::Event>, Arc<tidings_core::Error>>,
}

/// Rows are numbered here and nowhere else. A number means a row only as long as the session lasts: after a broken
/// connection everything that was not acknowledged is delivered again, under higher numbers. So a row can be sent twice,
/// and never be taken for another one that was sent.
#[derive(Debug)]
pub(super) struct Window {
    held: VecDeque<Held>,
    bytes: usize,
    budget: usize,
    /// The last number given.
    top: u64,
    /// The last row that was let go before it was acknowledged, to stay within the budget.
    dropped: u64,
    /// Where to resume once all up to a number is acknowledged.
    trail: VecDeque<(u64, Resume)>,
}

impl Window {
    pub(super) fn new(budget: usize) -> Self {
        Self { held: VecDeque::new(), bytes: 0, budget, top: 0, dropped: 0, trail: VecDeque::new() }
    }

    /// Everything is to be delivered again, above all numbers there were, and above `position`.
    pub(super) fn restart(&mut self, position: u64) {
        *self = Self { top: self.top.max(position), ..Self::new(self.budget) };
    }

    pub(super) fn top(&self) -> u64 {
        self.top
    }

    /// Takes a row in, and returns its number.
    pub(super) fn push(&mut self, row: Row) {
        self.top += 1;
        self.bytes += row.bytes;
        self.held.push_back(Held { cursor: self.top, seq: row.seq, bytes: row.bytes, event: row.event });
    }

    /// Where to resume once everything taken in so far is acknowledged.
    pub(super) fn mark(&mut self, resume: Resume) {
        match self.trail.back_mut() {
            Some((cursor, last)) if *cursor == self.top => *last = resume,
            _ => self.trail.push_back((self.top, resume)),
        }
    }

    /// Makes room for rows after `after`: lets go of what is before it, as far as the budget demands.
    pub(super) fn make_room(&mut self, after: Cursor) {
        while self.is_full() && self.held.front().is_some_and(|row| row.cursor <= after.0) {
            if let Some(row) = self.held.pop_front() {
                self.bytes -= row.bytes;
                self.dropped = row.cursor;
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes > self.budget
    }

    /// Whether rows after this one were let go: they can only be had by delivering everything again.
    pub(super) fn has_dropped(&self, after: Cursor) -> bool {
        self.dropped > after.0
    }

    /// How many rows there are after `after`.
    pub(super) fn count_after(&self, after: Cursor) -> usize {
        self.held.len() - self.up_to(after)
    }

    /// How many of the rows held are up to this one: their numbers have no gaps.
    fn up_to(&self, cursor: Cursor) -> usize {
        let before = self.held.front().map_or(0, |row| row.cursor - 1);
        usize::try_from(cursor.0.saturating_sub(before))
            .map_or(self.held.len(), |count| count.min(self.held.len()))
    }

    /// The rows after `after`, and whether those are all.
    pub(super) fn after(&self, after: Cursor, limit: usize) -> (Vec<Pending>, bool) {
        let from = self.up_to(after);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for held in self.held.range(from..) {
            if rows.len() == limit || bytes >= SCAN_BYTES {
                return (rows, false);
            }
            bytes += held.bytes;
            rows.push(Pending { cursor: Cursor(held.cursor), event: held.event.clone() });
        }
        (rows, true)
    }

    /// The place of a row in the table, as long as it is held.
    pub(super) fn seq(&self, cursor: Cursor) -> Option<i64> {
        let at = self.held.binary_search_by_key(&cursor.0, |row| row.cursor).ok()?;
        self.held.get(at).map(|row| row.seq)
    }

    /// Where to resume if everything up to `cursor` is acknowledged, and the number there.
    pub(super) fn resume_at(&self, cursor: Cursor) -> Option<(u64, Resume)> {
        let to = self.trail.partition_point(|(at, _)| *at <= cursor.0);
        self.trail.get(to.checked_sub(1)?).cloned()
    }

    /// Everything up to `cursor` is acknowledged: let go of it.
    pub(super) fn forget(&mut self, cursor: Cursor) {
        while self.held.front().is_some_and(|row| row.cursor <= cursor.0) {
            if let Some(row) = self.held.pop_front() {
                self.bytes -= row.bytes;
            }
        }
        let to = self.trail.partition_point(|(at, _)| *at <= cursor.0);
        self.trail.drain(..to);
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::{Code, Error};

    use super::*;

    fn window(rows: i64) -> Window {
        let mut window = Window::new(250);
        for seq in 1..=rows {
            let event = Err(Arc::new(Error::new(Code::DEFECT, "a test")));
            window.push(Row { seq: seq * 10, xid: 1, event, bytes: 100 });
            let done = Snapshot::parse("1:1:").unwrap();
            window.mark(Resume { done, next: None, seq, lsn: None });
        }
        window
    }

    fn cursors(window: &Window, after: u64) -> Vec<u64> {
        window.after(Cursor(after), 9).0.iter().map(|row| row.cursor.0).collect()
    }

    #[test]
    fn what_was_let_go_unacknowledged_is_known() {
        let mut window = window(4);
        assert!(window.is_full());
        window.make_room(Cursor(3));
        assert_eq!(
            (cursors(&window, 0), window.has_dropped(Cursor(1)), window.has_dropped(Cursor(2))),
            (vec![3, 4], true, false)
        );
        window.make_room(Cursor(0));
        assert_eq!(cursors(&window, 3), [4], "what was not handed out yet stays");
        assert_eq!((window.seq(Cursor(4)), window.seq(Cursor(1))), (Some(40), None));
    }

    #[test]
    fn acknowledging_resumes_at_the_last_mark_before() {
        let mut window = window(3);
        assert!(window.resume_at(Cursor(0)).is_none());
        assert_eq!(window.resume_at(Cursor(2)).map(|(at, resume)| (at, resume.seq)), Some((2, 2)));
        window.forget(Cursor(2));
        assert_eq!((cursors(&window, 0), window.has_dropped(Cursor(0))), (vec![3], false));
        window.restart(0);
        assert_eq!((window.top(), window.count_after(Cursor(0))), (3, 0), "numbers are never given twice");
    }
}
