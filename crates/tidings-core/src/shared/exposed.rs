//! What a copy has shown under a key without versions, by the source's position.
//!
//! A load tells the least that is in the state that it read. More may be in it: PostgreSQL tells the position of its oldest
//! transaction that writes, and two states tell the same position as long as that one is open. So of two answers with
//! one position nobody can tell which is newer, unless they are the same answer.

use std::time::Duration;

use super::place::Noted;
use super::{AsOf, Place};
use crate::fence::Fingerprint;

/// How new the state may be that was shown under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exposed {
    /// The newest position that was told, and which answer was shown last at it, if that is known.
    newest: Option<(AsOf, Option<Fingerprint>)>,
    /// When something was last shown that told no position.
    unplaced: Option<Duration>,
}

impl Exposed {
    /// An answer of this position was shown `now`, or one that told none. `answer` is what it is known again by in a shared
    /// level.
    #[must_use]
    pub fn of(position: Option<AsOf>, answer: Option<Fingerprint>, now: Duration) -> Self {
        match position {
            Some(at) => Self { newest: Some((at, answer)), unplaced: None },
            None => Self { newest: None, unplaced: Some(now) },
        }
    }

    /// What an answer must have reached in any case.
    #[must_use]
    pub fn place(self) -> Place {
        Place { at: self.newest.map(|(at, _)| at).unwrap_or_default(), unplaced: self.unplaced }
    }

    /// Whether an answer is sure to be no older than what was shown at a position: positions of later states never fall, so
    /// a greater one is of a later state; at the same one it must be what was shown last.
    #[must_use]
    pub fn is_reached(self, as_of: AsOf, answer: Fingerprint) -> bool {
        self.newest.is_none_or(|(at, shown)| as_of > at || (as_of == at && shown == Some(answer)))
    }
}

impl Noted for Exposed {
    fn then(self, later: Self) -> Self {
        let newest = match (self.newest, later.newest) {
            (Some((at, _)), Some((now, _))) if now < at => Some((at, None)),
            (before, now) => now.or(before.map(|(at, _)| (at, None))),
        };
        Self { newest, unplaced: self.unplaced.max(later.unplaced) }
    }

    fn of_any(self) -> Self {
        Self { newest: self.newest.map(|(at, _)| (at, None)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Places;
    use super::*;
    use crate::version::Timeline;

    const KEY: Fingerprint = Fingerprint(7);
    const ONE: Option<Fingerprint> = Some(Fingerprint(1));
    const TWO: Option<Fingerprint> = Some(Fingerprint(2));

    const fn pos(at: u64) -> AsOf {
        AsOf { timeline: Timeline(0), at }
    }

    fn shown(at: u64, answer: Option<Fingerprint>) -> Exposed {
        Exposed::of(Some(pos(at)), answer, Duration::ZERO)
    }

    #[test]
    fn at_the_same_position_only_what_was_shown_last_is_no_older() {
        let unplaced = Exposed::of(None, ONE, Duration::from_secs(1));
        for (what, notes, least) in [
            ("nothing shown", vec![], 0),
            ("unplaced", vec![unplaced], 0),
            ("not known again", vec![shown(9, None)], 10),
            ("the same", vec![shown(9, ONE)], 9),
            ("another", vec![shown(9, TWO)], 10),
            ("another since", vec![shown(9, ONE), shown(9, TWO)], 10),
            ("something since", vec![shown(9, ONE), shown(9, None)], 10),
            ("once more", vec![shown(9, TWO), shown(9, ONE)], 9),
            ("a later state", vec![shown(8, TWO), shown(9, ONE)], 9),
            ("an earlier position since", vec![shown(9, ONE), shown(8, TWO)], 10),
            ("no position since", vec![shown(9, ONE), unplaced], 10),
        ] {
            let exposed = notes.into_iter().fold(Exposed::default(), Noted::then);
            let found = (0..20).find(|at| exposed.is_reached(pos(*at), Fingerprint(1)));
            assert_eq!(found, Some(least), "{what}");
        }
    }

    #[test]
    fn of_what_is_forgotten_nobody_knows_which_answer_it_was() {
        let mut places = Places::<Exposed>::new(2);
        places.note(KEY, shown(9, ONE));
        for other in 20..23 {
            assert!(places.of(KEY).is_reached(pos(9), Fingerprint(1)), "{other}");
            places.note(Fingerprint(other), shown(3, ONE));
        }
        for key in [KEY, Fingerprint(99)] {
            assert!(!places.of(key).is_reached(pos(9), Fingerprint(1)));
            assert!(places.of(key).is_reached(pos(10), Fingerprint(1)));
        }
    }
}
