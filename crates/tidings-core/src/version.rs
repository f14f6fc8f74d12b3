//! How new a truth is.

use std::fmt;

/// Strictly increasing per entity within one [`Timeline`], assigned where the truth is committed.
///
/// Zero is "before the first": no committed state has it. Never a clock, never a sequence taken before the row lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(u64);

impl Version {
    /// Before the first version.
    pub const ZERO: Self = Self(0);
    /// The highest version a source may use: beyond it, a signed 64-bit column would overflow, and one corrupt event
    /// could raise a floor that no honest version ever reaches.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The version with this number; `None` above [`Version::MAX`].
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The next version.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < Self::MAX.0 { Self(self.0 + 1) } else { self }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The source's incarnation: a failover, restore or re-creation that may re-issue versions starts a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timeline(pub u32);

/// The full order of an entity's states: timeline first, then version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// The source's incarnation.
    pub timeline: Timeline,
    /// The version within it.
    pub version: Version,
}

impl Stamp {
    /// A version of the first timeline.
    #[must_use]
    pub const fn of(version: Version) -> Self {
        Self { timeline: Timeline(0), version }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timeline {
            Timeline(0) => write!(f, "{}", self.version),
            Timeline(t) => write!(f, "{t}:{}", self.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_timeline_outranks_any_version() {
        let old = Stamp { timeline: Timeline(1), version: Version::MAX };
        let new = Stamp { timeline: Timeline(2), version: Version::ZERO };
        assert!(new > old);
    }

    #[test]
    fn a_version_that_would_poison_a_floor_is_refused() {
        assert_eq!(Version::new(u64::MAX), None);
        assert_eq!(Version::MAX.next(), Version::MAX);
    }
}
