//! Points in a source's time. There is no `now()` here: time comes in as a value.

use std::fmt;
use std::time::Duration;

use crate::error::{Code, Error, Result};

/// A point in time by a source's clock, in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

impl Time {
    /// The time so many microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This time and `span` more.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This time less `span`.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Reads an RFC 3339 timestamp with an offset, as CloudEvents 1.0 requires.
    pub fn parse(text: &str) -> Result<Self> {
        text.parse::<jiff::Timestamp>().map(|t| Self(t.as_microsecond())).map_err(|e| {
            Error::new(Code::ATTRIBUTE_INVALID, format!("{text:?} is not an RFC 3339 time")).because(e)
        })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// When a fact is in force, by the source's clock: from (inclusive) until (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Window {
    /// In force from here; `None` is since its commit.
    pub from: Option<Time>,
    /// No longer in force from here; `None` is without end.
    pub until: Option<Time>,
}

impl Window {
    /// The next boundary after `now`, beyond which an answer made now may no longer hold.
    #[must_use]
    pub fn boundary_after(&self, now: Time) -> Option<Time> {
        [self.from, self.until].into_iter().flatten().filter(|t| *t > now).min()
    }

    /// Whether the fact is in force at `now`.
    #[must_use]
    pub fn contains(&self, now: Time) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_what_they_print() {
        let time = Time::from_micros(1_800_000_000_123_456);
        assert_eq!(Time::parse(&time.to_string()).unwrap(), time);
        assert!(Time::parse("yesterday").is_err());
        assert!(Time::parse("2026-11-23T10:00:00").is_err(), "an offset is required");
    }

    #[test]
    fn an_answer_holds_until_the_next_boundary() {
        let t = Time::from_micros;
        let window = Window { from: Some(t(10)), until: Some(t(20)) };
        assert_eq!(
            [5, 10, 20].map(|n| window.boundary_after(t(n)).map(Time::micros)),
            [Some(10), Some(20), None]
        );
        assert_eq!([5, 10, 19, 20].map(|n| window.contains(t(n))), [false, true, true, false]);
    }
}
