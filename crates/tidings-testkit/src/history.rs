//! What happened, as seen from outside the caches: the only thing that the checker believes.
//!
//! All times are nanoseconds of one monotonic clock of the harness, [`History::now`]. Whoever calls an operation notes
//! the time before it begins and after it returned; what happened did so somewhere in between.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidings_core::{Entity, Freshness, Outcome, Path, Stamp};

/// Nanoseconds since the history's start.
pub type Nanos = u64;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The state of an entity when the history began. It and its older versions existed, and what shows an older one
    /// is stale; no event of any of them is expected anywhere, and none is a surprise.
    Baseline {
        /// The entity.
        entity: Entity,
        /// Its version.
        stamp: Stamp,
    },
    /// A change, or a delete, at its source.
    Commit(Commit),
    /// What a copy did with an event.
    Applied(Applied),
    /// What a read returned.
    Read(Read),
    /// A copy must account for every event of this kind of entity whose commit begins at `from` or later. Said again
    /// with a later time when a copy that starts at the head was restarted or opened an epoch: what was committed
    /// before is no longer expected of it.
    Subscribed {
        /// The copy.
        copy: Arc<str>,
        /// The kind of entity (`price`); `None` is every kind.
        kind: Option<Arc<str>>,
        /// Commits that begin at or after this are expected.
        from: Nanos,
    },
}

/// A change of one entity at its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The entity.
    pub entity: Entity,
    /// Its version after the change; a delete has one too.
    pub stamp: Stamp,
    /// Before the transaction was begun.
    pub began: Nanos,
    /// After the commit was acknowledged; `None` if it never was: it may have happened or not.
    pub ended: Option<Nanos>,
}

/// What one copy did with one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The copy.
    pub copy: Arc<str>,
    /// The event's entity.
    pub entity: Entity,
    /// The event's version.
    pub stamp: Stamp,
    /// What became of it, by the copy's own word. *Superseded* is believed only if the newer version was applied.
    pub outcome: Outcome,
    /// When it had taken effect.
    pub at: Nanos,
}

/// What one read returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The copy that answered: one process's cache, say.
    pub copy: Arc<str>,
    /// Whose read it was.
    pub session: u64,
    /// The view.
    pub view: Arc<str>,
    /// The key, as the view writes it.
    pub key: Arc<str>,
    /// Every entity that the answer shows, at the version it shows. [`Stamp::default`] is "does not exist yet".
    pub deps: Vec<(Entity, Stamp)>,
    /// Before the read was called.
    pub began: Nanos,
    /// After it returned.
    pub ended: Nanos,
    /// How fresh its certificate claims it to be.
    pub freshness: Freshness,
    /// How its certificate says it came about.
    pub path: Path,
    /// The bound of the view's truth class, if it has one.
    pub bound: Option<Duration>,
}

/// A recorder with the clock that all of its records are timed by. Clones share it.
#[derive(Debug, Clone)]
pub struct History {
    start: Instant,
    records: Arc<Mutex<Vec<Record>>>,
}

impl History {
    /// An empty history that begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { start: Instant::now(), records: Arc::default() }
    }

    /// The history's clock.
    #[must_use]
    pub fn now(&self) -> Nanos {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(Nanos::MAX)
    }

    /// Adds a record.
    pub fn record(&self, record: Record) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    /// Takes what was recorded since the last time, for the checker.
    #[must_use]
    pub fn drain(&self) -> Vec<Record> {
        std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
