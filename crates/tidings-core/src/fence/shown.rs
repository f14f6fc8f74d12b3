//! What was shown without a version.
//!
//! Versions say by themselves which of two answers is newer, and floors remember it. Of answers without versions only
//! the times tell: when one was shown, and from when the state is that another was read from. So a copy remembers, by
//! key, how new the state may be that it has shown, whether it kept the answer or not.
//!
//! Two loads that cross cannot be ordered. Who asked before either was shown may be told both; neither is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rule::Refusal;
use super::{Fingerprint, Tick};
use crate::time::Time;

/// The order in which answers were shown. Zero is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Turn(pub u64);

/// How a load read the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The source is known to have looked like this then.
    pub seen: Duration,
    /// The same by the source's own clock, if what was read lags: two of these are compared without a conversion, since
    /// the same time, converted twice, is not the same.
    pub as_of: Option<Time>,
    /// What had been shown before the load read anything.
    pub turn: Turn,
}

/// The newest state shown under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Last {
    /// Read as the present, it is not from after this.
    until: Duration,
    /// Read with its time, it is from then.
    as_of: Option<Time>,
    turn: Turn,
}

impl Last {
    fn or_later(self, other: Self) -> Self {
        Self {
            until: self.until.max(other.until),
            as_of: self.as_of.max(other.as_of),
            turn: self.turn.max(other.turn),
        }
    }

    fn is_newer_than(&self, reading: Reading) -> bool {
        match reading.as_of {
            Some(_) => self.until > reading.seen || self.as_of > reading.as_of,
            // What reads the present is newer than all that was shown before it began.
            None => self.turn > reading.turn,
        }
    }
}

/// The bounded memory of what was shown without versions. What is forgotten is taken to be as new as the newest that was.
#[derive(Debug)]
pub struct Shown {
    room: usize,
    young: BTreeMap<Fingerprint, Last>,
    old: BTreeMap<Fingerprint, Last>,
    forgotten: Last,
}

impl Shown {
    /// Remembers so many keys, and at most twice as many.
    #[must_use]
    pub const fn new(room: usize) -> Self {
        let forgotten = Last { until: Duration::ZERO, as_of: None, turn: Turn(0) };
        Self { room, young: BTreeMap::new(), old: BTreeMap::new(), forgotten }
    }

    /// An answer under this key was shown `now`, of the source as of that time by its own clock, or as it is.
    pub fn note(&mut self, key: Fingerprint, as_of: Option<Time>, turn: Turn, now: Duration) {
        let until = if as_of.is_some() { Duration::ZERO } else { now };
        let before = self.remembered(key).unwrap_or_default();
        self.young.insert(key, before.or_later(Last { until, as_of, turn }));
        if self.young.len() >= self.room {
            let forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.forgotten = forgotten.into_values().fold(self.forgotten, Last::or_later);
        }
    }

    /// Whether something was shown since that a load under way may have read an older state than.
    #[must_use]
    pub fn has_overtaken(&self, key: Fingerprint, turn: Turn) -> bool {
        self.remembered(key).unwrap_or(self.forgotten).turn > turn
    }

    /// Whether what was loaded is sure to be no older than what was shown. `now` is the order of now.
    pub fn check(&self, key: Fingerprint, reading: Reading, now: Tick) -> Result<(), Refusal> {
        let remembered = self.remembered(key);
        if !remembered.unwrap_or(self.forgotten).is_newer_than(reading) {
            return Ok(());
        }
        match (reading.as_of, remembered) {
            (None, _) => Err(Refusal::Moved(now)),
            (Some(_), Some(_)) => Err(Refusal::BelowFloor(now)),
            (Some(_), None) => Err(Refusal::Forgotten),
        }
    }

    fn remembered(&self, key: Fingerprint) -> Option<Last> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Fingerprint = Fingerprint(7);

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Of a copy whose clock says what the source's does.
    fn check(shown: &Shown, as_of: Option<u64>, turn: u64) -> Result<(), Refusal> {
        let reading = Reading { seen: at(as_of.unwrap_or(99)), as_of: as_of.map(time), turn: Turn(turn) };
        shown.check(KEY, reading, Tick(3))
    }

    fn time(seconds: u64) -> Time {
        Time::from_micros(0).plus(at(seconds))
    }

    const BEHIND: Result<(), Refusal> = Err(Refusal::BelowFloor(Tick(3)));
    const MOVED: Result<(), Refusal> = Err(Refusal::Moved(Tick(3)));

    #[test]
    fn an_answer_is_held_to_what_was_shown_before_it() {
        let mut shown = Shown::new(8);
        assert_eq!(check(&shown, Some(0), 0), Ok(()));
        shown.note(KEY, None, Turn(4), at(50));
        for (as_of, turn, expected) in
            [(None, 4, Ok(())), (None, 3, MOVED), (Some(50), 4, Ok(())), (Some(49), 4, BEHIND)]
        {
            assert_eq!(check(&shown, as_of, turn), expected, "as of {as_of:?}, turn {turn}");
        }
        shown.note(KEY, Some(time(60)), Turn(5), at(70));
        // An answer of an older state that was shown later changes nothing but the turn.
        shown.note(KEY, Some(time(40)), Turn(6), at(71));
        for (as_of, turn, expected) in
            [(None, 6, Ok(())), (None, 5, MOVED), (Some(60), 4, Ok(())), (Some(59), 6, BEHIND)]
        {
            assert_eq!(check(&shown, as_of, turn), expected, "as of {as_of:?}, turn {turn}");
        }
        assert!(shown.has_overtaken(KEY, Turn(5)) && !shown.has_overtaken(KEY, Turn(6)));
    }

    #[test]
    fn a_time_of_the_source_is_compared_as_it_is() {
        let mut shown = Shown::new(8);
        shown.note(KEY, Some(time(60)), Turn(1), at(70));
        let converted_again = Reading { seen: at(59), as_of: Some(time(60)), turn: Turn(1) };
        assert_eq!(shown.check(KEY, converted_again, Tick(3)), Ok(()));
    }

    #[test]
    fn what_is_forgotten_is_taken_to_be_as_new_as_can_be() {
        let mut shown = Shown::new(3);
        shown.note(KEY, None, Turn(1), at(50));
        for other in 60..63 {
            shown.note(Fingerprint(other), None, Turn(other), at(other));
        }
        assert_eq!(check(&shown, Some(49), 80), BEHIND, "still remembered");
        for other in 63..66 {
            shown.note(Fingerprint(other), None, Turn(other), at(other));
        }
        assert_eq!(check(&shown, Some(49), 80), Err(Refusal::Forgotten));
        assert_eq!(check(&shown, Some(65), 0), Ok(()));
        assert_eq!(check(&shown, None, 1), MOVED);
        assert_eq!(check(&shown, None, 80), Ok(()));
        assert!(shown.has_overtaken(KEY, Turn(60)) && !shown.has_overtaken(KEY, Turn(65)));
        let held = shown.young.len() + shown.old.len();
        assert!(held <= 6, "{held}");
    }
}
