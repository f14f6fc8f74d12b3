//! Judging a history from its file: as it streams by, on as many cores as wanted.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use tidings_core::{Code, Error, Result};

use super::{Heard, Reader};
use crate::checker::{Batch, Book, Checker, Numbered, Seat, Verdict};

/// So many records go from thread to thread at once.
const BATCH: usize = 512;
/// So many batches wait for a shard.
const WAITING: usize = 16;

/// Judges a history. The verdict is that of a checker that was fed live, whatever the number of shards; what is
/// remembered of entities does not grow with the length of the history.
///
/// # Errors
/// [`Code::HISTORY_UNREADABLE`] and [`Code::HISTORY_INCOMPLETE`] with the line; nothing is judged by halves. What
/// [`Checker::verdict`] refuses.
pub fn check<R: BufRead>(reader: Reader<R>, shards: usize) -> Result<Verdict> {
    match u32::try_from(shards).unwrap_or(u32::MAX) {
        0 | 1 => {
            let mut checker = Checker::new();
            reader.each(|heard| checker.hear(heard))?;
            checker.verdict()
        }
        shards => std::thread::scope(|scope| check_in_parts(scope, reader, shards)),
    }
}

fn check_in_parts<'scope, R: BufRead>(
    scope: &'scope Scope<'scope, '_>,
    reader: Reader<R>,
    shards: u32,
) -> Result<Verdict> {
    let mut lines = Vec::new();
    let mut judges: Vec<ScopedJoinHandle<'scope, Seat>> = Vec::new();
    for number in 0..shards {
        let (sender, receiver) = sync_channel(WAITING);
        let seat = Seat::new(number, shards);
        let judge = std::thread::Builder::new().spawn_scoped(scope, move || judge(seat, &receiver));
        let failed = |e| Error::new(Code::OVERLOADED, "no thread could be started").because(e);
        judges.push(judge.map_err(failed)?);
        lines.push(sender);
    }
    let mut clerk = Clerk { lines, ..Clerk::default() };
    let read = reader.each(|heard| clerk.hear(heard));
    clerk.send();
    let Clerk { book, lines, .. } = clerk;
    drop(lines);
    let panicked = |_| Error::new(Code::DEFECT, "the checker panicked");
    let seats: Vec<_> = judges.into_iter().map(|judge| judge.join().map_err(panicked)).collect();
    // The line that could not be read is the cause of whatever else failed.
    read?;
    let mut seats = seats.into_iter().collect::<Result<Vec<_>>>()?;
    book.verdict(&mut seats)?.of_something()
}

/// Hands what is read to the judges, by numbers.
#[derive(Default)]
struct Clerk {
    book: Book,
    batch: Batch,
    /// Batches that were sent, the oldest first, to be used again.
    sent: VecDeque<Arc<Batch>>,
    lines: Vec<SyncSender<Arc<Batch>>>,
}

impl Clerk {
    fn hear(&mut self, heard: Heard<'_>) -> Result<()> {
        if self.batch.records.len() >= BATCH {
            self.send();
        }
        let Self { book, batch, .. } = self;
        match heard {
            Heard::Raw(raw, shows) => return book.number(raw, shows.iter(), batch),
            Heard::Record(record) => {
                let (raw, shows) = record.raw();
                return book.number(raw, shows.iter().map(|shown| (&shown.entity, shown.state)), batch);
            }
            Heard::Settled(time) => batch.records.push(Numbered::Settled(time)),
        }
        Ok(())
    }

    fn send(&mut self) {
        let used = self.sent.pop_front().map(Arc::try_unwrap);
        let next = match used {
            Some(Ok(mut batch)) => {
                batch.clear();
                batch
            }
            Some(Err(still_read)) => {
                self.sent.push_front(still_read);
                Batch::default()
            }
            None => Batch::default(),
        };
        let full = Arc::new(std::mem::replace(&mut self.batch, next));
        // One that is gone has panicked, which is noticed when it is joined.
        self.lines.iter().for_each(|line| drop(line.send(full.clone())));
        self.sent.push_back(full);
    }
}

fn judge(mut seat: Seat, lines: &Receiver<Arc<Batch>>) -> Seat {
    for batch in lines {
        seat.hear(&batch);
    }
    seat.judge.finish();
    seat
}
