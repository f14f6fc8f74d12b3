//! The fence: what may enter a cache, and what may still be served from it.
//!
//! The dangerous thing is a *fill*: a load that read the old state, and lands after the news of the new one. So the
//! fence remembers, per entity, the lowest version that may still be served (its **floor**) and when that last moved.
//! The same rule answers two questions: may this fill be kept, and may this entry still be served? Because every read
//! asks again, an invalidation is one store, however many entries depend on the entity, and it does not matter which
//! of a racing fill and invalidation comes first.
//!
//! Order is kept by a counter of the fence, its [`Tick`], which each invalidation advances. A **ticket** is the tick
//! before a load read anything; an entry's stamp is the tick up to which it was found good.
//!
//! - [`rule`]: the accept rule;
//! - [`floors`]: the bounded memory of floors, and what forgetting costs;
//! - [`landing`]: whether a load is kept, and what may be said of an answer;
//! - [`shown`]: what answers without versions have shown, and the bounded memory of it;
//! - [`knowledge`]: how far a copy has caught up, by the marks it has applied.
//!
//! Races R1-R14 of the literature on caches are named tests of the toolkit, which runs this with atomics and locks.

pub mod floors;
pub mod knowledge;
pub mod landing;
pub mod rule;
pub mod shown;

pub use floors::{Floors, Limits, Raised};
pub use knowledge::{Knowledge, Known};
pub use landing::{Claim, Doubt, Ticket};
pub use rule::{Held, Refusal, Standing, stands};
pub use shown::{Shown, Turn};

/// The fence's own order of events. Zero is before the first invalidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub u64);

/// A well-mixed 64-bit hash, keyed per process, of the name of an entity or region.
///
/// Two names with one fingerprint share a floor: that can refuse more than needed, and never admits anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);
