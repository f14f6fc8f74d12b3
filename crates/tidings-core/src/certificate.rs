//! What a read can prove about its answer.

use std::fmt;
use std::time::Duration;

use crate::version::Version;

/// Returned beside every value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    /// The version of the answer itself, if its loader gave one.
    pub version: Option<Version>,
    /// How the answer came about.
    pub path: Path,
    /// How fresh it is known to be.
    pub freshness: Freshness,
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// From the in-process cache.
    L1,
    /// From the shared level, and kept: vouched for by what this copy knows, not by the source.
    L2,
    /// Loaded by this read, and kept.
    Source,
    /// Loaded by this read, and not kept: the fence refused it.
    SourceUnkept,
    /// From a load that another read had begun.
    Coalesced,
}

/// How fresh an answer is known to be. Each is a claim that the history checker verifies (promises I4, I5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Loaded from the source after this read began: no successor had been committed when the read began.
    Fresh,
    /// No successor had been committed this long before the read began (the upper end of what is known).
    Within(Duration),
    /// Served although its bound could not be kept. Claims nothing.
    Stale(Cause),
    /// Served before it could be checked against the source. Claims nothing.
    Unverified,
    /// Read past every cache.
    Direct,
}

/// Why an answer beyond its bound was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The source failed or timed out.
    SourceFailed,
    /// The source lags behind what is already known, or was outrun by newer versions.
    SourceBehind,
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => f.write_str("fresh"),
            // Rounded up: rounded down, the words would claim more than is known.
            Self::Within(age) => {
                let ms = age.as_nanos().div_ceil(1_000_000);
                write!(f, "within {}.{:03} s", ms / 1000, ms % 1000)
            }
            Self::Stale(Cause::SourceFailed) => f.write_str("stale: the source failed"),
            Self::Stale(Cause::SourceBehind) => f.write_str("stale: the source is behind"),
            Self::Unverified => f.write_str("unverified"),
            Self::Direct => f.write_str("direct"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_never_claim_more_than_is_known() {
        for (nanos, words) in [(0, "0.000"), (1, "0.001"), (41_000_000, "0.041"), (1_999_000_001, "2.000")] {
            assert_eq!(
                Freshness::Within(Duration::from_nanos(nanos)).to_string(),
                format!("within {words} s")
            );
        }
    }
}
