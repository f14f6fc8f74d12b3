//! What went wrong, as an instruction.
//!
//! A [`Kind`] exists only if somebody would act differently on it; [`Kind::policy`] is the one table that says how.
//! A [`Code`] names one fault for good: its page is `docs/errors/<id>.md`.

use std::fmt;
use std::sync::Arc;

pub mod code;

pub use code::Code;

/// A result whose failure is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What must happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Try again later: busy, unreachable, timed out.
    Retry,
    /// Somebody newer has taken over: stop.
    Fenced,
    /// The input is wrong: mend it and send it again.
    Input,
    /// The set-up is wrong: change a setting, a permission, the disk.
    Setup,
    /// Stored data is damaged or missing: repair it.
    Data,
    /// A defect of this program: give up and report.
    Fatal,
}

/// What a driver does with a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Wait and try the same thing again.
    Backoff,
    /// Set the event aside, fence its entity, move on.
    Park,
    /// Stop this driver and say why.
    Stop,
}

impl Kind {
    /// The retry policy: the only place where a kind becomes a reaction.
    ///
    /// The retriable list is kept narrow on purpose; a full disk ([`Kind::Setup`]) is waited out, because the
    /// operator mends it while the process runs and nothing may be lost meanwhile.
    #[must_use]
    pub const fn policy(self) -> Policy {
        match self {
            Self::Retry | Self::Setup => Policy::Backoff,
            Self::Input => Policy::Park,
            Self::Fenced | Self::Data | Self::Fatal => Policy::Stop,
        }
    }
}

/// A failure: what happened, where, and (by its [`Code`]) how to mend it. Cheap to clone, so that every caller who
/// waited for the same work can be told.
#[derive(Clone)]
pub struct Error {
    code: Code,
    what: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure with this code; `what` says what and where in one clause, without the remedy.
    #[must_use]
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), source: None }
    }

    /// Adds the lower-level cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// Puts the place in front: `file:line`, a key, a position.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }

    /// What must happen next.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.code.kind()
    }

    /// The fault's stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What happened and where, with its cause, without code and remedy.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.source {
            Some(source) => format!("{} ({source})", self.what),
            None => self.what.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} [{}]", self.what(), self.code.remedy(), self.code.id())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| &**s as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_with_place_cause_remedy_and_code() {
        let error = Error::new(Code::MALFORMED, "the event is not JSON")
            .because(std::io::Error::other("expected value"))
            .at("events.jsonl:3");
        assert_eq!(
            error.to_string(),
            format!(
                "events.jsonl:3: the event is not JSON (expected value); {} [TD1001]",
                Code::MALFORMED.remedy()
            )
        );
    }

    #[test]
    fn what_cannot_be_understood_parks_and_never_stops_the_stream() {
        assert_eq!(Kind::Input.policy(), Policy::Park);
        assert_eq!(Kind::Retry.policy(), Policy::Backoff);
        assert_eq!(Kind::Fatal.policy(), Policy::Stop);
    }
}
