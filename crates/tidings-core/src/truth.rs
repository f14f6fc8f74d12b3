//! What the business tolerates, and what follows from it.

use std::time::Duration;

use crate::error::{Code, Error, Result};

/// A view's truth class. There is no default: a view without one is a configuration error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// May be this old; nobody is told when it changes sooner.
    Tolerant(Duration),
    /// Kept fresh by events; never served when more than this much may have been missed.
    Push(Duration),
    /// Must have stopped being served this long after a revocation; refused rather than served blind.
    Revocable(Duration),
    /// Has effective windows: equals what is in force at the source's clock, late by at most this.
    Effective(Duration),
    /// Must not be cached at all.
    NeverCache,
}

/// What a read does when its bound cannot be kept and the source does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Serve what there is, labelled stale.
    Label,
    /// Refuse.
    Refuse,
}

impl Truth {
    /// The longest age at which a cached answer is served as good.
    pub fn bound(self) -> Result<Duration> {
        match self {
            Self::Tolerant(d) | Self::Push(d) | Self::Revocable(d) | Self::Effective(d) => Ok(d),
            Self::NeverCache => Err(Error::new(
                Code::SETTING_INVALID,
                "the truth class never_cache cannot have a cached view; read it with Direct",
            )),
        }
    }

    /// The hard time to live when none is set: the seatbelt. A tolerant view lives as long as its tolerance; one that
    /// is kept fresh by events, far longer.
    #[must_use]
    pub fn ttl_ceiling(self) -> Duration {
        const PUSHED: Duration = Duration::from_secs(600);
        const REVOCABLE: Duration = Duration::from_secs(30);
        match self {
            Self::Tolerant(d) => d,
            Self::Push(d) | Self::Effective(d) => d.max(PUSHED),
            Self::Revocable(d) => d.max(REVOCABLE),
            Self::NeverCache => Duration::ZERO,
        }
    }

    /// What a read does when the source fails and the bound is not met.
    #[must_use]
    pub const fn on_failure(self) -> OnFailure {
        match self {
            Self::Tolerant(_) | Self::Push(_) => OnFailure::Label,
            Self::Revocable(_) | Self::Effective(_) | Self::NeverCache => OnFailure::Refuse,
        }
    }
}
