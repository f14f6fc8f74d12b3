//! Reading the table: everything that has become visible since a snapshot. No gap, no order of sequences, no mark per row.

use tidings_core::Result;
use tidings_core::port::Cursor;

use super::control::{ANSWER_BYTES, Batch, Control, Reading};
use super::snapshot::Snapshot;
use super::window::{Resume, Window};

/// Rows in the first answer, before anything is known of their size.
const FIRST: usize = 64;
/// Rows in an answer at most: the server looks at the size of so many.
const MOST: usize = 1024;

/// How far the table has been read into the window.
#[derive(Debug)]
pub(super) struct Claim {
    done: Snapshot,
    /// Rows of transactions that began after `done` are after this place: it was taken before.
    low: i64,
    /// What is being read: what this sees that `done` does not see.
    next: Option<Snapshot>,
    /// Whether `next` lists everybody who ran, so that a place to begin behind can be told for it.
    is_listed: bool,
    /// How far that has been read.
    at: i64,
    /// Rows to ask for at once.
    rows: usize,
}

impl Claim {
    pub(super) fn new(resume: &Resume) -> Self {
        let at = if resume.next.is_some() { resume.seq } else { 0 };
        Self {
            done: resume.done.clone(),
            low: resume.seq,
            next: resume.next.clone(),
            is_listed: true,
            at,
            rows: FIRST,
        }
    }

    /// Reads until there are `limit` rows after `after`, the window is full, or everything that was visible at some time
    /// after the call began has been read: true.
    pub(super) async fn fill(
        &mut self,
        control: &Control,
        window: &mut Window,
        reading: &Reading,
        after: Cursor,
        limit: usize,
    ) -> Result<bool> {
        let mut began_now = false;
        while window.count_after(after) < limit && !window.is_full() {
            if self.next.is_some() {
                self.read(control, window, reading).await?;
            } else if began_now {
                return Ok(true);
            } else {
                began_now = true;
                self.begin(control).await?;
            }
        }
        Ok(began_now && self.next.is_none())
    }

    async fn begin(&mut self, control: &Control) -> Result<()> {
        if let Some((now, last)) = control.fresh(&self.done).await? {
            if last < self.low {
                // The sequence was set back, or somebody wrote a place by hand: there is none to begin behind.
                self.low = 0;
            }
            let (next, is_listed) = now.listed();
            (self.next, self.is_listed, self.at) = (Some(next), is_listed, 0);
        }
        Ok(())
    }

    async fn read(&mut self, control: &Control, window: &mut Window, reading: &Reading) -> Result<()> {
        let Some(next) = &self.next else { return Ok(()) };
        let places = (self.at, self.low);
        let batch = control.batch((&self.done, next), places, self.rows, reading).await?;
        self.take(batch, window);
        Ok(())
    }

    fn take(&mut self, batch: Batch, window: &mut Window) {
        let (count, asked) = (batch.rows.len(), self.rows);
        for row in batch.rows {
            self.at = row.seq;
            window.push(row);
            window.mark(self.resume());
        }
        if !batch.more {
            self.end();
            window.mark(self.resume());
        }
        self.rows = match batch.bytes {
            b if b >= ANSWER_BYTES => count.max(1),
            b if b < ANSWER_BYTES / 4 => (asked * 2).min(MOST),
            _ => asked,
        };
    }

    fn end(&mut self) {
        let reached = self.reached();
        if let Some(next) = self.next.take() {
            self.done = next;
            self.low = if self.is_listed { reached } else { 0 };
        }
        self.at = 0;
    }

    /// A place that was taken before now.
    pub(super) fn reached(&self) -> i64 {
        self.low.max(self.at)
    }

    /// Whether the table has rows that have not been read.
    pub(super) async fn is_behind(&self, control: &Control) -> Result<bool> {
        if self.next.is_some() { Ok(true) } else { control.is_waiting(&self.done).await }
    }

    /// One place is kept. As long as what is being read has not come to `low`, or there is no such place for what comes
    /// after it, it is begun again.
    fn resume(&self) -> Resume {
        let next = self.next.clone().filter(|_| self.is_listed && self.at >= self.low);
        let seq = if next.is_some() { self.at } else { self.low };
        Resume { done: self.done.clone(), next, seq, lsn: None }
    }
}
