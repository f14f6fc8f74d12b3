//! Reading the table: everything that has become visible since a snapshot. No gap, no order of sequences, no mark per row.

use tidings_core::port::Cursor;
use tidings_core::{Result, Time};

use super::control::{ANSWER_BYTES, Asked, Batch, Control, Reading};
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
    /// What comes after `at`: the server reads on while what it told before is sent.
    asked: Option<Asked>,
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
            asked: None,
        }
    }

    /// Reads until there are `limit` rows after `after`, the window is full, or everything that was visible at some time
    /// after the call began has been read: that time.
    pub(super) async fn fill(
        &mut self,
        control: &Control,
        window: &mut Window,
        reading: &Reading,
        after: Cursor,
        limit: usize,
    ) -> Result<Option<Time>> {
        let mut began = None;
        while window.count_after(after) < limit && !window.is_full() {
            if self.next.is_some() {
                self.read(control, window, reading).await?;
            } else if began.is_some() {
                break;
            } else {
                began = Some(self.begin(control).await?);
            }
        }
        Ok(began.filter(|_| self.next.is_none()))
    }

    /// Looks what is visible, and returns the source's clock before that.
    async fn begin(&mut self, control: &Control) -> Result<Time> {
        let (time, fresh) = control.fresh(&self.done).await?;
        if let Some((now, last)) = fresh {
            if last < self.low {
                // The sequence was set back, or somebody wrote a place by hand: there is none to begin behind.
                self.low = 0;
            }
            let (next, is_listed) = now.listed();
            (self.next, self.is_listed, self.at) = (Some(next), is_listed, 0);
        }
        Ok(time)
    }

    async fn read(&mut self, control: &Control, window: &mut Window, reading: &Reading) -> Result<()> {
        let asked = self.asked.take().or_else(|| self.ask(control, self.at));
        let Some(asked) = asked else { return Ok(()) };
        let batch = asked.batch().await?;
        self.rows = match batch.bytes() {
            b if b >= ANSWER_BYTES => batch.count().max(1),
            b if b < ANSWER_BYTES / 4 => (self.rows * 2).min(MOST),
            _ => self.rows,
        };
        if batch.more {
            self.asked = batch.last().and_then(|last| self.ask(control, last));
        }
        self.take(batch, window, reading);
        Ok(())
    }

    /// Asks for what comes after the place `at`.
    fn ask(&self, control: &Control, at: i64) -> Option<Asked> {
        let next = self.next.as_ref()?;
        Some(control.ask((&self.done, next), (at, self.low), self.rows))
    }

    fn take(&mut self, batch: Batch, window: &mut Window, reading: &Reading) {
        let more = batch.more;
        for row in batch.rows(reading) {
            self.at = row.seq;
            window.push(row);
            window.mark(self.resume());
        }
        if !more {
            self.end();
            window.mark(self.resume());
        }
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
