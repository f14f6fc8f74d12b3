//! The numbered records.

use std::time::Duration;

use tidings_core::{Freshness, Outcome, Path, Stamp};

use crate::history::{Nanos, Span, State};

/// The state of an entity when the history began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Baseline {
    /// The entity.
    pub entity: u32,
    /// Its version.
    pub stamp: Stamp,
    /// Whether there is none any more: the version is that of its delete.
    pub deleted: bool,
    /// A digest of its state; 0 if it is not known.
    pub digest: u64,
}

impl Baseline {
    /// A version of which nothing else is known.
    #[must_use]
    pub const fn of(entity: u32, stamp: Stamp) -> Self {
        Self { entity, stamp, deleted: false, digest: 0 }
    }
}

/// A change of one entity at its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The entity.
    pub entity: u32,
    /// Its version after the change.
    pub stamp: Stamp,
    /// Before the transaction was begun.
    pub began: Nanos,
    /// After it was acknowledged; [`Nanos::MAX`] if it never was.
    pub ended: Nanos,
    /// Whether the change removed the entity.
    pub deleted: bool,
    /// A digest of the state after it; 0 if it is not known.
    pub digest: u64,
    /// When its content is in force.
    pub window: Option<Span>,
    /// Set if it revokes: so long after its acknowledgement, no copy may answer from before it.
    pub revokes: Option<Duration>,
}

impl Commit {
    /// A change without anything special about it.
    #[must_use]
    pub const fn of(entity: u32, stamp: Stamp, began: Nanos, ended: Nanos) -> Self {
        Self { entity, stamp, began, ended, deleted: false, digest: 0, window: None, revokes: None }
    }
}

/// What one copy did with one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The copy.
    pub copy: u32,
    /// The event's entity.
    pub entity: u32,
    /// The event's version.
    pub stamp: Stamp,
    /// What became of it.
    pub outcome: Outcome,
    /// When it had taken effect.
    pub at: Nanos,
}

/// What one read returned, apart from what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The copy that answered.
    pub copy: u32,
    /// Whose read it was; 0 is nobody's in particular.
    pub session: u32,
    /// The version that the caller asked for at least.
    pub token: Option<(u32, Stamp)>,
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

impl Read {
    /// A read of no session, without a token or a bound.
    #[must_use]
    pub const fn of(copy: u32, began: Nanos, ended: Nanos, freshness: Freshness, path: Path) -> Self {
        Self { copy, session: 0, token: None, began, ended, freshness, path, bound: None }
    }
}

/// What an answer shows of one entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The entity.
    pub entity: u32,
    /// What of it.
    pub state: State,
}
