//! Who wants to see every commit and every read: the recorder of a history that is checked afterwards.

use tidings_core::{Certificate, Entity, Stamp};

/// Told of every commit, and of every read through the platform, from many threads; must be quick.
///
/// It brings the clock that all its times are of. A commit became visible at some moment between its two times.
pub trait Witness: Send + Sync {
    /// Nanoseconds by a monotonic clock.
    fn now_ns(&self) -> u64;

    /// The state of an entity when the platform started; told for all of them, before anything else.
    fn baseline(&self, entity: Entity, stamp: Stamp);

    /// A state change of `entity` was committed.
    fn commit(&self, entity: &Entity, stamp: Stamp, began_ns: u64, ended_ns: u64);

    /// A read was answered. `versions` is what the answer itself shows, not what a cache says of it.
    fn read(&self, read: Observed);

    /// Whether baseline and reads are wanted; if not, they are not even prepared.
    fn is_listening(&self) -> bool {
        true
    }
}

/// One answered read.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The view.
    pub view: &'static str,
    /// The key, as the view writes it.
    pub key: String,
    /// Each entity in the answer, with the version it was shown at.
    pub versions: Vec<(Entity, Stamp)>,
    /// When the read began.
    pub began_ns: u64,
    /// When it was answered.
    pub ended_ns: u64,
    /// What came with the answer.
    pub certificate: Certificate,
}

/// Nobody listens.
#[derive(Debug, Default, Clone, Copy)]
pub struct Unobserved;

impl Witness for Unobserved {
    fn now_ns(&self) -> u64 {
        0
    }
    fn baseline(&self, _: Entity, _: Stamp) {}
    fn commit(&self, _: &Entity, _: Stamp, _: u64, _: u64) {}
    fn read(&self, _: Observed) {}
    fn is_listening(&self) -> bool {
        false
    }
}
