//! What was found, and what proves it.

use std::fmt;
use std::time::Duration;

use tidings_core::{Freshness, Stamp};

use super::pending::{Held, Part, Word};
use super::seen::Brief;
use super::{Applied, Commit, Read, Shown};
use crate::checker::Invariant;
use crate::history::{InForce, Nanos, State};

/// How many violations are kept as evidence, the earliest; all are counted.
pub(crate) const KEPT: usize = 100;

/// A broken promise.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which promise.
    pub invariant: Invariant,
    /// What happened, in a sentence with numbers for names.
    pub what: String,
    /// When: the time of the record that broke it.
    pub at: Nanos,
    pub(crate) place: Place,
    pub(crate) fact: Fact,
    pub(crate) proof: Vec<Proof>,
}

/// Where a violation belongs among all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) at: Nanos,
    pub(crate) invariant: Invariant,
    pub(crate) entity: u32,
    pub(crate) copy: u32,
}

/// A record that proves something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Proof {
    Commit(Commit),
    Applied(Applied),
    Read(Brief, Option<Duration>, Option<(u32, Stamp)>, Shown),
    Marked { copy: u32, kind: Option<u16>, upto: Nanos, at: Nanos },
    Epoch { copy: u32, at: Nanos },
    Lease { copy: u32, kind: Option<u16>, until: Nanos, at: Nanos },
    Held { copy: u32, shown: Shown, upto: Nanos, at: Nanos },
}

impl Proof {
    /// A read, of which only what concerns one entity matters.
    pub(super) fn read(part: &Part, shown: Shown) -> Self {
        let Read { bound, token, .. } = part.read;
        let token = token.filter(|(entity, _)| *entity == shown.entity);
        let brief = Brief::of(&part.read, part.session, part.note, false);
        Self::Read(brief, bound, token, shown)
    }

    pub(super) const fn earlier(read: Brief, entity: u32, stamp: Stamp) -> Self {
        let state = if read.is_absent { State::Absent } else { State::at(stamp) };
        Self::Read(read, None, None, Shown { entity, state })
    }

    pub(super) const fn held(held: &Held) -> Self {
        let Held { copy, shown, upto, at } = *held;
        Self::Held { copy, shown, upto, at }
    }

    pub(super) const fn marked(word: &Word) -> Self {
        let Word { copy, kind, time, at } = *word;
        Self::Marked { copy, kind, upto: time, at }
    }

    pub(super) const fn lease(word: &Word) -> Self {
        let Word { copy, kind, time, at } = *word;
        Self::Lease { copy, kind, until: time, at }
    }
}

/// What happened, by numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fact {
    Uncommitted {
        copy: u32,
        entity: u32,
        stamp: Stamp,
    },
    UncommittedEvent {
        copy: u32,
        entity: u32,
        stamp: Stamp,
    },
    Torn {
        copy: u32,
        entity: u32,
        stamp: Stamp,
    },
    NotAbsent {
        copy: u32,
        entity: u32,
        freshness: Freshness,
    },
    WentBack {
        copy: u32,
        entity: u32,
        from: Stamp,
        to: Option<Stamp>,
    },
    NoEpoch {
        copy: u32,
        entity: u32,
        stamp: Stamp,
    },
    SessionBack {
        session: u64,
        entity: u32,
        from: Stamp,
        to: Option<Stamp>,
    },
    TokenIgnored {
        copy: u32,
        entity: u32,
        asked: Stamp,
        shown: Option<Stamp>,
    },
    Lag {
        copy: u32,
        entity: u32,
        shown: Option<Stamp>,
        freshness: Freshness,
        lag: Duration,
        successor: Option<Stamp>,
    },
    MarkTooFar {
        copy: u32,
        entity: u32,
        stamp: Stamp,
        upto: Nanos,
    },
    NotInForce {
        copy: u32,
        entity: u32,
        claimed: InForce,
    },
    AnsweredRevoked {
        copy: u32,
        entity: u32,
        shown: Option<Stamp>,
        revoked: Stamp,
    },
    MayServeRevoked {
        copy: u32,
        entity: u32,
        revoked: Stamp,
    },
    HeldOld {
        copy: u32,
        entity: u32,
        shown: Option<Stamp>,
        newest: Option<Stamp>,
    },
    HeldTorn {
        copy: u32,
        entity: u32,
        stamp: Stamp,
    },
    Lost {
        copy: u32,
        entity: u32,
        stamp: Stamp,
    },
}

/// How the numbers are called.
pub(crate) trait Names {
    fn copy(&self, number: u32) -> String;
    fn entity(&self, number: u32) -> String;
}

/// By their numbers.
pub(super) struct Numbers;

impl Names for Numbers {
    fn copy(&self, number: u32) -> String {
        format!("copy {number}")
    }

    fn entity(&self, number: u32) -> String {
        format!("entity {number}")
    }
}

/// A version, or the absence of any.
struct Or(Option<Stamp>);

impl fmt::Display for Or {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(stamp) => write!(f, "version {stamp}"),
            None => f.write_str("none"),
        }
    }
}

impl Fact {
    /// The sentence.
    pub(crate) fn tell(&self, names: &impl Names) -> String {
        let (c, e) = (|n| names.copy(n), |n| names.entity(n));
        match *self {
            Self::Uncommitted { copy, entity, stamp } => format!(
                "{} answered with version {stamp} of {}, which nobody had begun to commit",
                c(copy),
                e(entity)
            ),
            Self::UncommittedEvent { copy, entity, stamp } => format!(
                "{} applied version {stamp} of {}, which nobody had begun to commit",
                c(copy),
                e(entity)
            ),
            Self::Torn { copy, entity, stamp } => {
                format!("{} answered version {stamp} of {} with the content of another", c(copy), e(entity))
            }
            Self::NotAbsent { copy, entity, freshness } => format!(
                "{} answered that there is no {}, labelled {freshness}, though there was all that time",
                c(copy),
                e(entity)
            ),
            Self::WentBack { copy, entity, from, to } => {
                format!("{}: {} went back from version {from} to {}", c(copy), e(entity), Or(to))
            }
            Self::NoEpoch { copy, entity, stamp } => format!(
                "{} applied version {stamp} of {}, of a new timeline, without an epoch",
                c(copy),
                e(entity)
            ),
            Self::SessionBack { session, entity, from, to } => {
                format!("session {session}: {} went back from version {from} to {}", e(entity), Or(to))
            }
            Self::TokenIgnored { copy, entity, asked, shown } => format!(
                "{} answered with {} of {}, asked for version {asked} at least",
                c(copy),
                Or(shown),
                e(entity)
            ),
            Self::Lag { copy, entity, shown, freshness, lag, successor } => {
                let successor =
                    successor.map_or_else(|| "a newer one".to_owned(), |s| format!("version {s}"));
                format!(
                    "{} answered with {} of {}, labelled {freshness}, {lag:?} after {successor} was acknowledged",
                    c(copy),
                    Or(shown),
                    e(entity)
                )
            }
            _ => self.tell_more(names),
        }
    }

    fn tell_more(&self, names: &impl Names) -> String {
        let (c, e) = (|n| names.copy(n), |n| names.entity(n));
        match *self {
            Self::MarkTooFar { copy, entity, stamp, upto } => format!(
                "{} claimed to know everything before {upto}, and had not version {stamp} of {}",
                c(copy),
                e(entity)
            ),
            Self::NotInForce { copy, entity, claimed } => {
                let claimed = match claimed {
                    InForce::Nothing => "nothing".to_owned(),
                    InForce::Version(stamp) => format!("version {stamp}"),
                };
                format!("{} answered as if {claimed} of {} were in force", c(copy), e(entity))
            }
            Self::AnsweredRevoked { copy, entity, shown, revoked } => format!(
                "{} answered with {} of {} when version {revoked} had long revoked it",
                c(copy),
                Or(shown),
                e(entity)
            ),
            Self::MayServeRevoked { copy, entity, revoked } => format!(
                "{} had neither applied version {revoked} of {}, a revocation, nor let its lease run out",
                c(copy),
                e(entity)
            ),
            Self::HeldOld { copy, entity, shown, newest } => format!(
                "{} holds {} of {} when everything was taken in, {} included",
                c(copy),
                Or(shown),
                e(entity),
                Or(newest)
            ),
            Self::HeldTorn { copy, entity, stamp } => {
                format!("{} holds version {stamp} of {} with the content of another", c(copy), e(entity))
            }
            Self::Lost { copy, entity, stamp } => {
                format!("{} never applied, superseded or parked version {stamp} of {}", c(copy), e(entity))
            }
            _ => String::new(),
        }
    }
}

/// The earliest violations.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) kept: Vec<Found>,
    pub(super) ever: u64,
}

impl Findings {
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.ever = 0;
    }

    /// Adds a violation; what it was and what proves it is only put together if it is kept. Of those of the same time,
    /// which are kept depends on whose they are, not on which was found first.
    pub(super) fn add(&mut self, place: Place, make: impl FnOnce() -> (Fact, Vec<Proof>)) {
        if self.kept.len() >= KEPT {
            if self.kept.last().is_some_and(|last| last.place <= place) {
                return;
            }
            self.kept.pop();
        }
        self.ever += 1;
        let (fact, proof) = make();
        let at = self.kept.partition_point(|found| found.place <= place);
        let Place { at: time, invariant, .. } = place;
        let what = fact.tell(&Numbers);
        self.kept.insert(at, Found { invariant, what, at: time, place, fact, proof });
    }
}
