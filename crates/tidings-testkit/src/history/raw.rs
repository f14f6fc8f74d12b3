//! A record whose names belong to somebody else: to a line of a file, or to a [`Record`].

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Entity, Freshness, Outcome, Path, Result, Stamp};

use super::read::unreadable;
use super::{Applied, Commit, Nanos, Read, Record, Shown, Span, State};

/// Somebody else's name.
pub(crate) trait Name<T>: Copy {
    fn text(&self) -> &str;

    /// Whether it is this very one in memory; nothing is said by *no*.
    fn is(&self, known: &T) -> bool;

    /// # Errors
    /// If it is no such name.
    fn own(&self) -> Result<T>;
}

impl Name<Entity> for &Entity {
    fn text(&self) -> &str {
        self.as_str()
    }

    fn is(&self, known: &Entity) -> bool {
        std::ptr::eq(self.as_str(), known.as_str())
    }

    fn own(&self) -> Result<Entity> {
        Ok((*self).clone())
    }
}

impl Name<Arc<str>> for &Arc<str> {
    fn text(&self) -> &str {
        self
    }

    fn is(&self, known: &Arc<str>) -> bool {
        Arc::ptr_eq(self, known)
    }

    fn own(&self) -> Result<Arc<str>> {
        Ok(Arc::clone(self))
    }
}

impl Name<Entity> for &str {
    fn text(&self) -> &str {
        self
    }

    fn is(&self, _: &Entity) -> bool {
        false
    }

    fn own(&self) -> Result<Entity> {
        Entity::parse(self).map_err(|error| unreadable(error.what()))
    }
}

impl Name<Arc<str>> for &str {
    fn text(&self) -> &str {
        self
    }

    fn is(&self, _: &Arc<str>) -> bool {
        false
    }

    fn own(&self) -> Result<Arc<str>> {
        Ok((*self).into())
    }
}

/// A record, with entities called by `E`, and all else by `W`. What a read shows comes beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Raw<E, W> {
    Baseline { entity: E, stamp: Stamp, deleted: bool, digest: Option<u64> },
    Commit(RawCommit<E>),
    Applied { copy: W, entity: E, stamp: Stamp, outcome: Outcome, at: Nanos },
    Read(RawRead<E, W>),
    Subscribed { copy: W, kind: Option<W>, from: Nanos },
    Marked { copy: W, kind: Option<W>, upto: Nanos, at: Nanos },
    Epoch { copy: W, at: Nanos },
    Held { copy: W, entity: E, state: State, upto: Nanos, at: Nanos },
    Lease { copy: W, kind: Option<W>, until: Nanos, at: Nanos },
}

/// See [`Commit`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RawCommit<E> {
    pub(crate) entity: E,
    pub(crate) stamp: Stamp,
    pub(crate) began: Nanos,
    pub(crate) ended: Option<Nanos>,
    pub(crate) deleted: bool,
    pub(crate) digest: Option<u64>,
    pub(crate) window: Option<Span>,
    pub(crate) revokes: Option<Duration>,
}

/// See [`Read`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RawRead<E, W> {
    pub(crate) copy: W,
    pub(crate) session: u64,
    pub(crate) view: W,
    pub(crate) key: W,
    pub(crate) token: Option<(E, Stamp)>,
    pub(crate) began: Nanos,
    pub(crate) ended: Nanos,
    pub(crate) freshness: Freshness,
    pub(crate) path: Path,
    pub(crate) bound: Option<Duration>,
}

impl<E, W> Raw<E, W> {
    /// When it began and ended, if it did.
    pub(super) const fn times(&self) -> Option<(Nanos, Nanos)> {
        match self {
            Self::Baseline { .. } | Self::Subscribed { .. } => None,
            Self::Commit(RawCommit { began, ended: None, .. }) => Some((*began, Nanos::MAX)),
            Self::Commit(RawCommit { began, ended: Some(ended), .. })
            | Self::Read(RawRead { began, ended, .. }) => Some((*began, *ended)),
            Self::Applied { at, .. }
            | Self::Marked { at, .. }
            | Self::Epoch { at, .. }
            | Self::Held { at, .. }
            | Self::Lease { at, .. } => Some((*at, *at)),
        }
    }
}

impl Record {
    /// The same, and what it shows if it is a read.
    pub(crate) fn raw(&self) -> (Raw<&Entity, &Arc<str>>, &[Shown]) {
        let raw = match self {
            Self::Baseline { entity, stamp, deleted, digest } => {
                Raw::Baseline { entity, stamp: *stamp, deleted: *deleted, digest: *digest }
            }
            Self::Commit(commit) => {
                let Commit { entity, stamp, began, ended, deleted, digest, window, revokes } = commit;
                let (stamp, began, ended, deleted) = (*stamp, *began, *ended, *deleted);
                let (digest, window, revokes) = (*digest, *window, *revokes);
                Raw::Commit(RawCommit { entity, stamp, began, ended, deleted, digest, window, revokes })
            }
            Self::Applied(Applied { copy, entity, stamp, outcome, at }) => {
                Raw::Applied { copy, entity, stamp: *stamp, outcome: *outcome, at: *at }
            }
            Self::Read(read) => return (Raw::Read(read.raw()), &read.shows),
            Self::Subscribed { copy, kind, from } => {
                Raw::Subscribed { copy, kind: kind.as_ref(), from: *from }
            }
            Self::Marked { copy, kind, upto, at } => {
                Raw::Marked { copy, kind: kind.as_ref(), upto: *upto, at: *at }
            }
            Self::Epoch { copy, at } => Raw::Epoch { copy, at: *at },
            Self::Held { copy, shown: Shown { entity, state }, upto, at } => {
                Raw::Held { copy, entity, state: *state, upto: *upto, at: *at }
            }
            Self::Lease { copy, kind, until, at } => {
                Raw::Lease { copy, kind: kind.as_ref(), until: *until, at: *at }
            }
        };
        (raw, &[])
    }
}

impl Read {
    fn raw(&self) -> RawRead<&Entity, &Arc<str>> {
        let Self { copy, session, view, key, token, began, ended, freshness, path, bound, .. } = self;
        RawRead {
            copy,
            session: *session,
            view,
            key,
            token: token.as_ref().map(|(entity, stamp)| (entity, *stamp)),
            began: *began,
            ended: *ended,
            freshness: *freshness,
            path: *path,
            bound: *bound,
        }
    }
}
