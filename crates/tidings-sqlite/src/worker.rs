//! A thread that owns a connection and does what it is asked, one thing after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tidings_core::{Code, Error, Result};
use tokio::sync::oneshot;

use crate::watch::{Poll, Watch};

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The handle; the thread ends, and the connection closes, when it is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread. While somebody waits on `watch` it also looks out for commits of other connections.
    pub(crate) fn spawn(name: &str, connection: Connection, watch: Arc<Watch>) -> Result<Self> {
        let (jobs, queue) = channel();
        let thread = spawn(name, move || run(connection, &queue, &watch))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has `job` done and returns its result. Dropping the future does not stop a job that was handed over.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Nobody is left to be told if the caller's future was dropped.
            let _ = reply.send(job(connection));
        });
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(ended());
        }
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

impl Worker {
    /// Has the thread look up from waiting for jobs.
    pub(crate) fn nudge(&self) -> Result<()> {
        let nothing: Job = Box::new(|_| {});
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(nothing).is_ok());
        if sent { Ok(()) } else { Err(ended()) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        join(self.thread.take());
    }
}

/// Starts a named thread.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|e| Error::new(Code::OVERLOADED, "no thread could be started").because(e))
}

/// Waits for a thread to end, so that its file is closed afterwards; a thread does not wait for itself.
pub(crate) fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread.filter(|t| t.thread().id() != thread::current().id()) {
        // A panic was reported when it happened.
        let _ = thread.join();
    }
}

/// The thread has ended, or the job panicked: both are defects.
pub(crate) fn ended() -> Error {
    Error::new(Code::DEFECT, "the database thread gave no answer")
}

fn run(mut connection: Connection, queue: &Receiver<Job>, watch: &Watch) {
    let mut poll = Poll::new();
    loop {
        let job = if watch.must_look() {
            match queue.recv_timeout(poll.pause()) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        } else {
            match queue.recv() {
                Ok(job) => Some(job),
                Err(_) => return,
            }
        };
        if let Some(job) = job {
            // The user's code runs here (projections): its panic fails that one call. An open transaction was rolled
            // back while unwinding, so the connection is as before.
            let _ = catch_unwind(AssertUnwindSafe(|| job(&mut connection)));
        }
        if watch.is_watched() {
            poll.look(&connection, watch, || {});
        }
    }
}
