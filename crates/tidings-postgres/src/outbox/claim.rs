//! Reading the table: everything that has become visible since a snapshot. No gap, no order of sequences, no mark per row.

use tidings_core::Result;
use tidings_core::port::Cursor;

use super::control::{Control, Reading};
use super::snapshot::Snapshot;
use super::window::{Resume, Window};

/// One answer should be about this large, and never be much larger, however large the rows are.
const ANSWER_BYTES: usize = 2 << 20;
/// Rows in the first answer, before anything is known of their size.
const FIRST: usize = 64;
/// Rows in an answer at most.
const MOST: usize = 4096;

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
        let (rows, snapshot) = control.fresh(&self.done, self.rows, reading).await?;
        let Some(snapshot) = snapshot else { return Ok(()) };
        self.next = Some(snapshot);
        self.take(rows, window);
        Ok(())
    }

    async fn rest(&mut self, control: &Control, window: &mut Window, reading: &Reading) -> Result<()> {
        let Some(next) = self.next.clone() else { return Ok(()) };
        let rows = control.rest(&self.done, &next, self.seq, self.rows, reading).await?;
        self.take(rows, window);
        Ok(())
    }

    fn take(&mut self, rows: Vec<crate::row::Row>, window: &mut Window) {
        let (count, asked) = (rows.len(), self.rows);
        let bytes = rows.iter().map(|row| row.bytes).sum::<usize>();
        for row in rows {
            self.seq = row.seq;
            window.push(row);
            window.mark(self.resume());
        }
        if count < asked {
            if let Some(next) = self.next.take() {
                self.done = next;
            }
            self.seq = 0;
            window.mark(self.resume());
        }
        self.rows = match bytes {
            b if b > ANSWER_BYTES => (asked / 2).max(1),
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
