//! Why a request was not carried out, as one sentence and a code.

use std::fmt;

use tidings_core::{Code, Error};

/// A request that was not carried out. Nothing of it took effect.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// The request itself is wrong: mend it.
    Invalid {
        /// Stable, in capitals.
        code: &'static str,
        /// One clause.
        what: String,
    },
    /// What it names does not exist.
    Unknown {
        /// Stable, in capitals.
        code: &'static str,
        /// One clause.
        what: String,
    },
    /// It does not fit the truth as it stands now.
    Conflict {
        /// Stable, in capitals.
        code: &'static str,
        /// One clause.
        what: String,
    },
    /// Something below failed.
    Failed(Error),
}

/// A result whose failure is a [`Refusal`].
pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    pub(crate) fn invalid(code: &'static str, what: impl Into<String>) -> Self {
        Self::Invalid { code, what: what.into() }
    }

    pub(crate) fn unknown(code: &'static str, what: impl Into<String>) -> Self {
        Self::Unknown { code, what: what.into() }
    }

    pub(crate) fn conflict(code: &'static str, what: impl Into<String>) -> Self {
        Self::Conflict { code, what: what.into() }
    }

    /// Puts the file in front of a failure below.
    pub(crate) fn at(self, path: &std::path::Path) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.at(path.display())),
            other => other,
        }
    }

    /// Puts the database in front of a failure below.
    pub(crate) fn named(self, place: &str) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.at(place)),
            other => other,
        }
    }

    /// The stable code; for a failure below, that of Tidings.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { code, .. } | Self::Unknown { code, .. } | Self::Conflict { code, .. } => code,
            Self::Failed(error) => error.code().id(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { what, .. } | Self::Unknown { what, .. } | Self::Conflict { what, .. } => {
                f.write_str(what)
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(tidings_sqlite::fault(error))
    }
}

/// For callers that know no requests, such as a start-up.
impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(error) => error,
            Refusal::Invalid { what, .. } => Self::new(Code::SETTING_INVALID, what),
            Refusal::Unknown { what, .. } | Refusal::Conflict { what, .. } => {
                Self::new(Code::STORE_CORRUPT, what)
            }
        }
    }
}
