//! Judging a history from its file: as it streams by, on as many cores as wanted.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use tidings_core::{Code, Error, Result};

use super::{Reader, Said};
use crate::checker::{Checker, Verdict};

/// So many lines go from thread to thread at once.
const BATCH: usize = 1024;
/// So many batches wait for a shard.
const WAITING: usize = 16;

type Batch = Arc<Vec<Said>>;

/// Judges a history. The verdict is that of a checker that was fed live, whatever the number of shards; memory does not
/// grow with the length of the history.
///
/// # Errors
/// [`Code::HISTORY_UNREADABLE`] and [`Code::HISTORY_INCOMPLETE`] with the line; nothing is judged by halves. What
/// [`Checker::verdict`] refuses.
pub fn check<R: BufRead>(reader: Reader<R>, shards: usize) -> Result<Verdict> {
    match u32::try_from(shards).unwrap_or(u32::MAX) {
        0 | 1 => {
            let mut checker = Checker::new();
            for said in reader {
                hear(&mut checker, &said?);
            }
            checker.verdict()
        }
        shards => std::thread::scope(|scope| check_in_parts(scope, reader, shards)),
    }
}

fn hear(checker: &mut Checker, said: &Said) {
    match said {
        Said::Record(record) => checker.add(record),
        Said::Settled(time) => checker.advance(*time),
    }
}

fn check_in_parts<'scope, R: BufRead>(
    scope: &'scope Scope<'scope, '_>,
    reader: Reader<R>,
    shards: u32,
) -> Result<Verdict> {
    let mut lines = Vec::new();
    let mut judges: Vec<ScopedJoinHandle<'scope, Result<Verdict>>> = Vec::new();
    for number in 0..shards {
        let (sender, receiver) = sync_channel(WAITING);
        let judge = std::thread::Builder::new().spawn_scoped(scope, move || judge(number, shards, &receiver));
        let failed = |e| Error::new(Code::OVERLOADED, "no thread could be started").because(e);
        judges.push(judge.map_err(failed)?);
        lines.push(sender);
    }
    let read = hand_out(reader, &lines);
    drop(lines);
    let verdicts = judges
        .into_iter()
        .map(|judge| judge.join().unwrap_or_else(|_| Err(Error::new(Code::DEFECT, "the checker panicked"))));
    let verdicts: Vec<_> = verdicts.collect();
    // The line that could not be read is the cause of whatever else failed.
    read?;
    Verdict::merge(verdicts.into_iter().collect::<Result<_>>()?).of_something()
}

fn hand_out<R: BufRead>(reader: Reader<R>, lines: &[SyncSender<Batch>]) -> Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    let send = |batch: &mut Vec<Said>| {
        let full: Batch = Arc::new(std::mem::replace(batch, Vec::with_capacity(BATCH)));
        // One that is gone has panicked, which is noticed when it is joined.
        lines.iter().for_each(|line| drop(line.send(full.clone())));
    };
    for said in reader {
        batch.push(said?);
        if batch.len() == BATCH {
            send(&mut batch);
        }
    }
    send(&mut batch);
    Ok(())
}

fn judge(number: u32, shards: u32, lines: &Receiver<Batch>) -> Result<Verdict> {
    let mut checker = Checker::shard(number, shards);
    for batch in lines {
        batch.iter().for_each(|said| hear(&mut checker, said));
    }
    checker.verdict()
}
