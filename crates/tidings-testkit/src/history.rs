//! What happened, as seen from outside the caches: the only thing that the checker believes.
//!
//! All times are nanoseconds of one monotonic clock of the harness, [`History::now`]. Whoever calls an operation notes
//! the time before it begins and after it returned; what happened did so somewhere in between.
//!
//! # In a file
//!
//! [`Writer`] writes a history as lines of JSON, [`Reader`] reads it, [`check()`] judges it. Times and durations are
//! nanoseconds. A version is a number, or `"timeline:version"` in any but the first timeline. The order of the fields
//! makes no difference; a field that is not named here is an error, and so is one that its kind of line does not have.
//!
//! ```text
//! {"tidings_history":1}
//! {"baseline":"price/7","version":5}
//! {"subscribed":"cache-1","kind":"price","from":0}
//! {"commit":"price/7","version":6,"began":100,"ended":150,"digest":"00c0ffee"}
//! {"applied":"price/7","version":6,"copy":"cache-1","outcome":"applied","at":180}
//! {"marked":"cache-1","kind":"price","upto":170,"at":190}
//! {"read":"product","key":"7","copy":"cache-1","session":3,"began":200,"ended":210,"label":"within 400","path":"l1",
//!  "bound":1000,"token":{"entity":"price/7","version":6},"shows":[{"entity":"price/7","version":6}]}
//! {"settled":205}
//! {"end":6}
//! ```
//!
//! The read is one line in the file. A line begins with what it is:
//!
//! | field | value | and with it (`?`: may be left out) |
//! |---|---|---|
//! | `tidings_history` | the version of this format, 1 | the first line, alone |
//! | `baseline` | the entity | `version`, `deleted`?, `digest`? |
//! | `commit` | the entity | `version`, `began`, `ended`? (never acknowledged), `deleted`?, `digest`?, `window`? (`[from,until]`), `revokes`? |
//! | `applied` | the entity | `version`, `copy`, `outcome` (`applied`, `superseded`, `parked`), `at` |
//! | `read` | the view | `key`, `copy`, `session`?, `began`, `ended`, `label`, `path`, `bound`?, `token`?, `shows` |
//! | `subscribed` | the copy | `kind`? (every kind), `from` |
//! | `marked` | the copy | `kind`?, `upto`, `at` |
//! | `epoch` | the copy | `at` |
//! | `held` | the entity | `copy`, what is held as in `shows`, `upto`, `at` |
//! | `lease` | the copy | `kind`?, `until`, `at` |
//! | `settled` | a time | the writer's word that the records of everything that ended before it are above |
//! | `end` | the number of records | the last line: without it, or with another number, the history is not complete; `digest`?, of all lines above, as [`Writer`] writes it |
//!
//! What ended before the last settled time says `"late":true`: it is judged by what is left to judge it by, and counted.
//!
//! What is shown of an `entity` is `"absent":true`, or a `version`, with its `digest`? (hexadecimal) and the version that
//! was taken to be `in_force`? (or `"nothing"`). Labels are `fresh`, `within` and so many nanoseconds, `stale
//! source_failed`, `stale source_behind`, `unverified` and `direct`; paths are `l1`, `source`, `source_unkept` and
//! `coalesced`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidings_core::{Entity, Freshness, Outcome, Path, Stamp};

mod check;
mod line;
mod raw;
mod read;
mod running;
mod scan;
#[cfg(test)]
mod tests;
mod words;
mod write;

pub use check::check;
pub(crate) use raw::{Name, Raw, RawCommit, RawRead};
pub(crate) use read::Heard;
pub use read::{Reader, Said};
pub use write::Writer;

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
        /// Whether there was none any more: the version is that of its delete.
        deleted: bool,
        /// A digest of its state, if the harness knows.
        digest: Option<u64>,
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
    /// The copy's word: at `at`, every event of this kind whose commit was acknowledged before `upto` was applied,
    /// superseded or parked here, or is covered by an epoch.
    Marked {
        /// The copy.
        copy: Arc<str>,
        /// The kind of entity; `None` is every kind.
        kind: Option<Arc<str>>,
        /// Commits that were acknowledged before this are accounted for.
        upto: Nanos,
        /// When the copy said so.
        at: Nanos,
    },
    /// The copy declared that it may have missed something (a gap, a restart, a new timeline): nothing that it held
    /// until then is vouched for.
    Epoch {
        /// The copy.
        copy: Arc<str>,
        /// When.
        at: Nanos,
    },
    /// What a copy holds once it says to have taken in everything that was acknowledged before `upto`.
    Held {
        /// The copy.
        copy: Arc<str>,
        /// The entity, and what is held of it.
        shown: Shown,
        /// Commits that were acknowledged before this are taken in.
        upto: Nanos,
        /// When it was looked at.
        at: Nanos,
    },
    /// The copy's serving lease: it may serve revocable answers of this kind until `until`.
    Lease {
        /// The copy.
        copy: Arc<str>,
        /// The kind of entity; `None` is every kind.
        kind: Option<Arc<str>>,
        /// The end of the lease.
        until: Nanos,
        /// When the copy said so.
        at: Nanos,
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
    /// Whether the change removed the entity.
    pub deleted: bool,
    /// A digest of the state after it, if the harness knows.
    pub digest: Option<u64>,
    /// When its content is in force, if that is not simply from now on.
    pub window: Option<Span>,
    /// Set if it revokes: so long after its acknowledgement, no copy may answer from before it.
    pub revokes: Option<Duration>,
}

impl Record {
    /// What was there when the history began, of which nothing but the version is known.
    #[must_use]
    pub const fn baseline(entity: Entity, stamp: Stamp) -> Self {
        Self::Baseline { entity, stamp, deleted: false, digest: None }
    }
}

impl Commit {
    /// A change without anything special about it.
    #[must_use]
    pub const fn of(entity: Entity, stamp: Stamp, began: Nanos, ended: Option<Nanos>) -> Self {
        Self { entity, stamp, began, ended, deleted: false, digest: None, window: None, revokes: None }
    }
}

/// From one moment (included) to another (excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from: Nanos,
    /// The first moment after it; [`Nanos::MAX`] is never.
    pub until: Nanos,
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
    /// Whose read it was; 0 is nobody's in particular.
    pub session: u64,
    /// The view.
    pub view: Arc<str>,
    /// The key, as the view writes it.
    pub key: Arc<str>,
    /// Every entity that the answer shows, and what it shows of it.
    pub shows: Vec<Shown>,
    /// The version that the caller asked for at least.
    pub token: Option<(Entity, Stamp)>,
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

/// What an answer shows of one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The entity.
    pub entity: Entity,
    /// What of it.
    pub state: State,
}

impl Shown {
    /// This version, of which nothing else is known.
    #[must_use]
    pub const fn at(entity: Entity, stamp: Stamp) -> Self {
        Self { entity, state: State::at(stamp) }
    }
}

/// The state of an entity, as an answer shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A version.
    At {
        /// Which; [`Stamp::default`] is "does not exist yet".
        stamp: Stamp,
        /// A digest of what was shown, comparable with [`Commit::digest`].
        digest: Option<u64>,
        /// Of the versions up to `stamp`, the one that the answer took to be in force; `None` if that is not known.
        in_force: Option<InForce>,
    },
    /// It does not exist; whether not yet or no longer is not said.
    Absent,
}

impl State {
    /// This version, of which nothing else is known.
    #[must_use]
    pub const fn at(stamp: Stamp) -> Self {
        Self::At { stamp, digest: None, in_force: None }
    }
}

/// What an answer took to be in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InForce {
    /// No version is.
    Nothing,
    /// The content of this one is.
    Version(Stamp),
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
