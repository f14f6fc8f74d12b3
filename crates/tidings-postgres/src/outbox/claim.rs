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
    /// The batch under way, and how far.
    next: Option<Snapshot>,
    seq: i64,
    /// Rows to ask for at once.
    rows: usize,
}

impl Claim {
    pub(super) fn new(resume: &Resume) -> Self {
        Self { done: resume.done.clone(), next: resume.next.clone(), seq: resume.seq, rows: FIRST }
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
                self.rest(control, window, reading).await?;
            } else if began_now {
                return Ok(true);
            } else {
                began_now = true;
                self.fresh(control, window, reading).await?;
            }
        }
        Ok(began_now && self.next.is_none())
    }

    async fn fresh(&mut self, control: &Control, window: &mut Window, reading: &Reading) -> Result<()> {
        let (batch, snapshot) = control.fresh(&self.done, self.rows, reading).await?;
        let Some(snapshot) = snapshot else { return Ok(()) };
        self.next = Some(snapshot);
        self.take(batch, window);
        Ok(())
    }

    async fn rest(&mut self, control: &Control, window: &mut Window, reading: &Reading) -> Result<()> {
        let Some(next) = self.next.clone() else { return Ok(()) };
        let batch = control.rest(&self.done, &next, self.seq, self.rows, reading).await?;
        self.take(batch, window);
        Ok(())
    }

    fn take(&mut self, batch: Batch, window: &mut Window) {
        let (count, asked) = (batch.rows.len(), self.rows);
        for row in batch.rows {
            self.seq = row.seq;
            window.push(row);
            window.mark(self.resume());
        }
        if !batch.more {
            if let Some(next) = self.next.take() {
                self.done = next;
            }
            self.seq = 0;
            window.mark(self.resume());
        }
        self.rows = match batch.bytes {
            b if b >= ANSWER_BYTES => count.max(1),
            b if b < ANSWER_BYTES / 4 => (asked * 2).min(MOST),
            _ => asked,
        };
    }

    /// Whether the table has rows that have not been read.
    pub(super) async fn is_behind(&self, control: &Control) -> Result<bool> {
        if self.next.is_some() { Ok(true) } else { control.is_waiting(&self.done).await }
    }

    fn resume(&self) -> Resume {
        Resume { done: self.done.clone(), next: self.next.clone(), seq: self.seq, lsn: None }
    }
}
