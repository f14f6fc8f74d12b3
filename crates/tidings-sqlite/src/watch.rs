//! Learning that something was committed: at once in this process, by polling from another.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tidings_core::Result;
use tokio::sync::Notify;

/// Between two looks while changes keep coming.
const BUSY: Duration = Duration::from_millis(1);
/// Between two looks after a quiet while; the longest that another process's commit stays unseen.
const IDLE: Duration = Duration::from_millis(20);

/// Those who wait for a change.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    notify: Notify,
    waiting: AtomicUsize,
}

impl Watch {
    /// Wakes everybody who waits.
    pub(crate) fn wake(&self) {
        self.notify.notify_waiters();
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Resolves at once if `ready` says so, else at the next wake-up. The registration precedes the question, so a
    /// change between the two is not missed.
    pub(crate) async fn until(&self, ready: impl Future<Output = Result<bool>>) -> Result<()> {
        let mut notified = pin!(self.notify.notified());
        notified.as_mut().enable();
        let _waiter = Waiter::enter(&self.waiting);
        if !ready.await? {
            notified.await;
        }
        Ok(())
    }
}

/// Counts one waiter for as long as its future lives.
struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Looks at `PRAGMA data_version`, which moves when any *other* connection commits: often while it moves, seldom while
/// it does not.
#[derive(Debug)]
pub(crate) struct Poll {
    seen: Option<i64>,
    interval: Duration,
    due: Instant,
}

impl Poll {
    pub(crate) fn new() -> Self {
        Self { seen: None, interval: BUSY, due: Instant::now() }
    }

    /// How long until the next look.
    pub(crate) fn pause(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// Looks if it is time to, and wakes the waiters if something changed. A failed look counts as a change: whoever
    /// waits then reads, and meets the failure where it can be reported.
    pub(crate) fn look(&mut self, connection: &Connection, watch: &Watch) {
        if !self.pause().is_zero() {
            return;
        }
        let version = connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .ok();
        if version.is_none() || version != self.seen {
            self.seen = version;
            self.interval = BUSY;
            watch.wake();
        } else {
            self.interval = (self.interval * 2).min(IDLE);
        }
        self.due = Instant::now() + self.interval;
    }
}
