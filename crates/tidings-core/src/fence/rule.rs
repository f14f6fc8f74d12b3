//! The accept rule (`DESIGN.md` 4.2).

use super::Tick;
use crate::version::Stamp;

/// How a dependency was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// At this version: good as long as the floor is not above it. Never refused merely because something moved,
    /// or a key that changes faster than it loads would never be cached.
    At(Stamp),
    /// Without a version: good only as long as nothing has moved since the ticket was taken.
    Unmoved,
}

/// What the fence knows of one entity or region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The lowest version that may still be served.
    pub floor: Stamp,
    /// When the floor last moved, or the region was last bumped.
    pub moved: Tick,
}

/// Why a fill may not be kept, or an entry no longer be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A newer version is known. Holds the tick at which it became known.
    BelowFloor(Tick),
    /// Something it was derived from, without a version, moved.
    Moved(Tick),
    /// The view's epoch moved.
    Epoch,
    /// The load took longer than floors are kept for.
    Late,
    /// The fence had to forget too early to tell.
    Forgotten,
}

/// Whether a dependency, read as `held` under a ticket (or last found good) at `since`, stands against what is known.
pub fn stands(held: Held, since: Tick, known: Option<Standing>) -> Result<(), Refusal> {
    match (held, known) {
        (_, None) => Ok(()),
        (Held::At(stamp), Some(standing)) if stamp >= standing.floor => Ok(()),
        (Held::At(_), Some(standing)) => Err(Refusal::BelowFloor(standing.moved)),
        (Held::Unmoved, Some(standing)) if standing.moved <= since => Ok(()),
        (Held::Unmoved, Some(standing)) => Err(Refusal::Moved(standing.moved)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Timeline, Version};

    fn at(version: u64) -> Stamp {
        Stamp::of(Version::new(version).unwrap())
    }

    #[test]
    fn a_versioned_answer_is_held_to_the_floor_and_to_nothing_else() {
        let known = Some(Standing { floor: at(7), moved: Tick(3) });
        for (held, since, expected) in [
            (Held::At(at(6)), 9, Err(Refusal::BelowFloor(Tick(3)))),
            (Held::At(at(7)), 0, Ok(())),
            (Held::At(at(8)), 0, Ok(())),
            (Held::Unmoved, 2, Err(Refusal::Moved(Tick(3)))),
            (Held::Unmoved, 3, Ok(())),
        ] {
            assert_eq!(stands(held, Tick(since), known), expected, "{held:?} since {since}");
        }
        assert_eq!(stands(Held::Unmoved, Tick(0), None), Ok(()));
    }

    #[test]
    fn a_new_timeline_outranks_what_an_old_one_issued() {
        let floor = Stamp { timeline: Timeline(2), version: Version::ZERO };
        let known = Some(Standing { floor, moved: Tick(1) });
        assert!(stands(Held::At(at(1_000_000)), Tick(1), known).is_err());
    }
}
