//! Learning that something was committed: at once in this process, by polling from another.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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
    changes: AtomicU64,
    polling: AtomicBool,
}

impl Watch {
    /// Wakes everybody who waits.
    pub(crate) fn wake(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    /// How many changes there have been: as long as it stays the same, there is nothing new to be seen.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// For the thread that looks out, before it waits for its next job: whether it must wake by itself to look. The order
    /// matters: it says that it will not look *before* it looks for waiters, and a waiter enters before it asks.
    pub(crate) fn must_look(&self) -> bool {
        self.polling.store(false, Ordering::SeqCst);
        let watched = self.is_watched();
        self.polling.store(watched, Ordering::SeqCst);
        watched
    }

    /// Resolves at once if `ready` says so, else after the first wake-up at which it does. The registration precedes the
    /// question, so a change between the two is not missed. `nudge` reaches the thread that is to look out for others.
    pub(crate) async fn until<F>(&self, nudge: impl Fn() -> Result<()>, ready: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<bool>>,
    {
        let _waiter = Waiter::enter(&self.waiting);
        loop {
            let mut notified = pin!(self.notify.notified());
            notified.as_mut().enable();
            if !self.polling.load(Ordering::SeqCst) {
                nudge()?;
            }
            if ready().await? {
                return Ok(());
            }
            notified.await;
        }
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

    /// Looks if it is time to, and if something changed tells `changed` and then wakes the waiters. A failed look counts as a change: whoever
    /// waits then reads, and meets the failure where it can be reported.
    pub(crate) fn look(&mut self, connection: &Connection, watch: &Watch, changed: impl FnOnce()) {
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
            changed();
            watch.wake();
        } else {
            self.interval = (self.interval * 2).min(IDLE);
        }
        self.due = Instant::now() + self.interval;
    }
}
