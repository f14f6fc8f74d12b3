//! Records on their way from one process of a run to the one that judges them: a history, written to a pipe.
//!
//! A process may be stopped and go on, or be killed at any moment. It says up to when its records are complete only after
//! it has run without a break for a while; of one that was killed, what it did not send was never seen by anybody.

use std::io::{BufRead, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidings_core::{Code, Error, Result};
use tidings_testkit::history::{Nanos, Reader, Record, Said, Writer};

use crate::dev::clock::RunClock;
use crate::dev::recorder::{Feed, Take};

/// How many records may wait to be sent.
const ROOM: usize = 20_000;
/// How often what has come is sent.
const SEND_EVERY: Duration = Duration::from_millis(50);
/// A record is handed in this much after what it tells of, at the latest, in a process that runs.
const LATER: Duration = Duration::from_secs(1);
/// Who was not heard of for so long was stopped, or starved.
const BREAK: Duration = Duration::from_millis(400);

/// The sending end.
pub(crate) struct Pipe(Arc<Sending>);

struct Sending {
    clock: RunClock,
    queue: Mutex<Queue>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct Queue {
    records: Vec<Record>,
    /// How many have a record in their hands and wait for room.
    waiting: usize,
    ended: bool,
    /// Nobody reads any more.
    deaf: bool,
}

/// The thread that sends.
pub(crate) struct Sender {
    sending: Arc<Sending>,
    thread: JoinHandle<Result<()>>,
}

impl Pipe {
    /// Sends to `to`.
    pub(crate) fn open<W: Write + Send + 'static>(to: W, clock: RunClock) -> Result<(Self, Sender)> {
        let (queue, filled, emptied) = (Mutex::default(), Condvar::new(), Condvar::new());
        let sending = Arc::new(Sending { clock, queue, filled, emptied });
        let theirs = sending.clone();
        let writer = Writer::new(to)?;
        let thread = std::thread::Builder::new().name("tidings-records".into()).spawn(move || {
            let done = theirs.run(writer);
            lock(&theirs.queue).deaf = true;
            theirs.emptied.notify_all();
            done
        });
        let thread =
            thread.map_err(|e| Error::new(Code::OVERLOADED, "no thread could be started").because(e))?;
        Ok((Self(sending.clone()), Sender { sending, thread }))
    }
}

impl Take for Pipe {
    fn take(&self, record: Record) {
        let mut queue = lock(&self.0.queue);
        if queue.records.len() >= ROOM && !queue.deaf {
            queue.waiting += 1;
            drop(queue);
            tokio::task::block_in_place(|| self.0.wait_for_room());
            queue = lock(&self.0.queue);
            queue.waiting -= 1;
        }
        // Whoever judged is gone, and this process will be soon.
        if !queue.deaf {
            queue.records.push(record);
            if queue.records.len() == 1 {
                self.0.filled.notify_one();
            }
        }
    }
}

impl Sender {
    /// Whether it has ended, though nobody asked: what is taken from now on, nobody is told.
    pub(crate) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Sends the rest, and the word that this was all.
    pub(crate) fn finish(self) -> Result<()> {
        lock(&self.sending.queue).ended = true;
        self.sending.filled.notify_one();
        let defect = |_| Error::new(Code::DEFECT, "the records' thread panicked");
        self.thread.join().map_err(defect)?
    }
}

impl Sending {
    fn wait_for_room(&self) {
        let mut queue = lock(&self.queue);
        while queue.records.len() >= ROOM && !queue.deaf {
            queue = self.emptied.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run<W: Write>(&self, mut writer: Writer<W>) -> Result<()> {
        let mut heartbeat = Heartbeat::begin();
        let mut sent = Instant::now();
        loop {
            let queue = lock(&self.queue);
            let nothing = |queue: &mut Queue| queue.records.is_empty() && !queue.ended;
            let waited = self.filled.wait_timeout_while(queue, SEND_EVERY, nothing);
            let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let whole_until = (queue.waiting == 0).then(|| self.clock.now());
            let (records, ended) = (std::mem::take(&mut queue.records), queue.ended);
            drop(queue);
            self.emptied.notify_all();
            for record in &records {
                writer.record(record)?;
            }
            if ended {
                return writer.finish().map(drop);
            }
            let is_steady = heartbeat.beats(Instant::now());
            if sent.elapsed() >= SEND_EVERY {
                sent = Instant::now();
                if let Some(whole_until) = whole_until.filter(|_| is_steady) {
                    writer.settled(whole_until.saturating_sub(nanos(LATER)))?;
                }
                writer.flush()?;
            }
        }
    }
}

/// Notices that this process did not run for a while.
struct Heartbeat {
    last: Instant,
    steady_since: Instant,
}

impl Heartbeat {
    fn begin() -> Self {
        let now = Instant::now();
        Self { last: now, steady_since: now }
    }

    /// Whether it has run without a break for longer than a record takes to be handed in.
    fn beats(&mut self, now: Instant) -> bool {
        if now.duration_since(self.last) > BREAK {
            self.steady_since = now;
        }
        self.last = now;
        now.duration_since(self.steady_since) > LATER
    }
}

/// Takes everything that another process sends, until it ends. Whether it said that this was all.
pub(crate) fn receive(from: impl BufRead, feed: &Feed) -> bool {
    for said in Reader::new(from) {
        match said {
            Ok(Said::Record(record)) => feed.take(record),
            Ok(Said::Settled(up_to)) => feed.settled(up_to),
            // It was killed, perhaps within a line.
            Err(_) => return false,
        }
    }
    true
}

fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(Nanos::MAX)
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_break_nothing_is_called_complete_for_a_while() {
        let mut heartbeat = Heartbeat::begin();
        let began = heartbeat.last;
        let mut at = began;
        let mut beat = |step: u64| {
            at += Duration::from_millis(step);
            heartbeat.beats(at)
        };
        assert!((0..10).all(|_| !beat(100)), "the first second");
        assert!(beat(100));
        assert!(!beat(3000), "it was stopped");
        assert!((0..10).all(|_| !beat(100)));
        assert!(beat(100));
    }
}
