//! Where things stand in the order of the source's commits, as far as one copy knows: what an answer of the shared level
//! has to reach before it enters that copy.

use std::collections::BTreeMap;
use std::time::Duration;

use super::promote::Passage;
use super::{AsOf, Unplaced};
use crate::event::Event;
use crate::fence::Fingerprint;

/// The extension attribute in which an event tells the source's position after its commit, as a decimal number.
pub const POSITION: &str = "sourceposition";

/// The source's position after the commit of an event, if the event tells it.
#[must_use]
pub fn position_of(event: &Event) -> Option<AsOf> {
    let (_, text) = event.extensions.iter().find(|(name, _)| &**name == POSITION)?;
    Some(AsOf { timeline: event.stamp.timeline, at: text.parse().ok()? })
}

/// How new the source's state is that something was heard from or shown of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The newest position that was told.
    pub at: AsOf,
    /// When, by the copy's clock, it was last heard or shown without being told its position.
    pub unplaced: Option<Duration>,
}

impl Place {
    /// At a position; without one, at whatever position the source had by `now`.
    #[must_use]
    pub fn of(position: Option<AsOf>, now: Duration) -> Self {
        match position {
            Some(at) => Self { at, unplaced: None },
            None => Self { at: AsOf::default(), unplaced: Some(now) },
        }
    }

    /// The newer of both.
    #[must_use]
    pub fn or_later(self, other: Self) -> Self {
        Self { at: self.at.max(other.at), unplaced: self.unplaced.max(other.unplaced) }
    }
}

/// What a copy can stand on when it judges a position: where the source was, and when it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ground {
    /// Where the source was. The copy had begun to follow, and had opened its newest epoch, before it asked.
    pub least: AsOf,
    /// By the copy's clock: everything committed, and everything published, before this moment is at or before `least`.
    pub covers: Duration,
}

impl Ground {
    /// What an answer must reach with regard to something heard or shown at `place`.
    ///
    /// # Errors
    /// [`Unplaced`] if that came without a position after the source was asked: nobody can tell.
    pub fn passage(&self, place: Place) -> Result<Passage, Unplaced> {
        match place.unplaced {
            Some(when) if when >= self.covers => Err(Unplaced),
            _ => Ok(Passage { least: self.least, heard: place.at }),
        }
    }
}

/// What is noted of a key.
pub trait Noted: Copy + Default {
    /// This, and after it that.
    #[must_use]
    fn then(self, later: Self) -> Self;

    /// What is left of it for every key when it is no longer known which one it was noted of.
    #[must_use]
    fn of_any(self) -> Self {
        self
    }
}

impl Noted for Place {
    fn then(self, later: Self) -> Self {
        self.or_later(later)
    }
}

/// A bounded memory of places. What is forgotten is taken to be as new as the newest that was.
#[derive(Debug, Clone)]
pub struct Places<P = Place> {
    room: usize,
    young: BTreeMap<Fingerprint, P>,
    old: BTreeMap<Fingerprint, P>,
    forgotten: P,
}

impl<P: Noted> Places<P> {
    /// Remembers so many, and at most twice as many.
    #[must_use]
    pub fn new(room: usize) -> Self {
        let (young, old) = (BTreeMap::new(), BTreeMap::new());
        Self { room, young, old, forgotten: P::default() }
    }

    /// Something was heard or shown.
    pub fn note(&mut self, key: Fingerprint, place: P) {
        let place = self.of(key).then(place);
        self.young.insert(key, place);
        if self.young.len() >= self.room {
            let forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.forgotten = forgotten.into_values().fold(self.forgotten, |all, one| all.then(one).of_any());
        }
    }

    /// How new it may be.
    #[must_use]
    pub fn of(&self, key: Fingerprint) -> P {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied().unwrap_or(self.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Timeline;

    const fn pos(at: u64) -> AsOf {
        AsOf { timeline: Timeline(0), at }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_came_without_a_position_is_covered_only_by_a_later_question() {
        let ground = Ground { least: pos(5), covers: at(10) };
        for (position, when, expected) in [
            (Some(9), 99, Ok(pos(9))),
            (None, 9, Ok(pos(0))),
            (None, 10, Err(Unplaced)),
            (None, 11, Err(Unplaced)),
        ] {
            let place = Place::of(position.map(pos), at(when));
            let found = ground.passage(place).map(|passage| passage.heard);
            assert_eq!(found, expected, "at {position:?}, {when}");
        }
    }

    #[test]
    fn places_only_rise_and_what_is_forgotten_is_as_new_as_the_newest() {
        let mut places = Places::new(2);
        assert_eq!(places.of(Fingerprint(1)), Place::default());
        places.note(Fingerprint(1), Place::of(Some(pos(7)), at(1)));
        places.note(Fingerprint(1), Place::of(Some(pos(6)), at(2)));
        places.note(Fingerprint(1), Place::of(None, at(3)));
        assert_eq!(places.of(Fingerprint(1)), Place { at: pos(7), unplaced: Some(at(3)) });
        for other in 2..6 {
            places.note(Fingerprint(other), Place::of(Some(pos(other)), at(4)));
        }
        assert_eq!(places.of(Fingerprint(1)), Place { at: pos(7), unplaced: Some(at(3)) }, "forgotten");
        assert_eq!(places.of(Fingerprint(99)), places.of(Fingerprint(1)), "one that was never there as well");
    }
}
