//! The shared cache level (L2): what a store that many processes fill, and that can lose anything at any time, decides.
//!
//! A floor alone is not enough there, because the floor is lost with the store: flushed, evicted, restored from an old
//! dump, left behind by a failover. A lease alone is not enough either, because a load that began after the
//! invalidation can still read a replica that lags behind it. So the store keeps, per bucket, one small [`Control`]
//! record, and per key a [`Slot`], and follows four rules:
//!
//! - **Minimum.** A miss makes a placeholder, which notes the position that the bucket had heard of by then. A fill
//!   lands only if it read a state at or beyond it. So an invalidation that finds nothing cached stores nothing, and
//!   losing slots is harmless.
//! - **Floor.** An invalidation that finds a placeholder or an answer raises its floor: what is older goes, and what is
//!   older does not land. A fill is never refused only because something moved.
//! - **Own placeholder.** A fill lands only where the token of its own miss still stands: one load per key, and a late
//!   one never replaces what another has brought since.
//! - **Epoch.** If the control record is gone, was written under another incarnation of the store, or is about to be
//!   opened, then the bucket is *not live*: readers pass it by, fills are refused, consumers wait. Somebody claims it
//!   under an epoch that was never used, then reads the source's position, then opens it. Slots of other epochs are as
//!   good as absent.
//!
//! A bucket has one source: positions of different sources have no order. What an answer from here may claim is up to
//! the fence of the process that asked, which holds it to [`promote::promotes`].
//!
//! Every operation is one small function on the records; a store runs it atomically, as one script. Decision 0009 tells
//! what was learned about each rule, and from what.

use std::fmt;

use crate::version::Timeline;

pub mod control;
pub mod derived;
pub mod exposed;
pub mod level;
pub mod place;
pub mod promote;
pub mod slot;
#[cfg(test)]
mod tests;

pub use control::{Control, Line, NotLive, Overtaken, Phase, claim, live, open};
pub use derived::{Note, Parts, Standing, abandon, bump_all, fill_derived, look_derived};
pub use exposed::Exposed;
pub use place::{Ground, Noted, POSITION, Place, Places, position_of};
pub use promote::{Behind, Passage, Seen, Unplaced, promotes};
pub use slot::{
    Answer, Changed, Content, Lease, Looked, Miss, News, Slot, Unheard, Unkept, fill, invalidate,
};
pub use slot::{look, update};

/// A source's state, as a place in the order of its commits: everything up to here is in it, and nothing after.
///
/// A new timeline comes after all of an old one. A standby that has not yet replayed the point at which the new
/// timeline begins is still in the old one, and must say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AsOf {
    /// The source's incarnation.
    pub timeline: Timeline,
    /// The place within it.
    pub at: u64,
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timeline {
            Timeline(0) => write!(f, "#{}", self.at),
            Timeline(t) => write!(f, "#{t}:{}", self.at),
        }
    }
}

/// One life of a bucket. Random or otherwise never used before: one that is counted on from what the store holds comes
/// round again when the store has forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// One life of the store. It must change whenever the store may have come back with another state than its last:
/// with a restart, and with every promotion of a replica, also of one that was promoted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u64);

/// What a miss is handed, and a fill must show. Random: never used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub u64);
