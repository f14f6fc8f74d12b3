//! Who wants to see every commit and every read: the recorder of a history that is checked afterwards.

use tidings_core::{Certificate, Entity, Result, Stamp, Version};

/// Told of every commit, and of every read through the platform, from many threads; must be quick.
///
/// It brings the clock that all its times are of. A commit became visible at some moment between its two times.
pub trait Witness: Send + Sync {
    /// Nanoseconds by a monotonic clock.
    fn now_ns(&self) -> u64;

    /// The state of an entity when the platform started; told for all of them, before anything else.
    fn baseline(&self, entity: Entity, stamp: Stamp);

    /// A state change of an entity was committed; `ended_ns` is [`u64::MAX`] if that was never acknowledged, and may not
    /// have happened.
    fn commit(&self, fact: &Fact, began_ns: u64, ended_ns: u64);

    /// A read was answered.
    fn read(&self, read: Observed);

    /// After a gap, a read model has taken this from the owners: what it had missed, and perhaps more.
    fn repaired(&self, taken: Vec<Shown>) {
        drop(taken);
    }

    /// Whether commits and reads are wanted; if not, they are not even prepared.
    fn is_listening(&self) -> bool {
        true
    }

    /// Whether the baseline is wanted; if not, it is not even read.
    fn wants_baseline(&self) -> bool {
        self.is_listening()
    }
}

/// A version of an entity, and its content as a [digest](crate::digest).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The entity.
    pub entity: Entity,
    /// Its version.
    pub stamp: Stamp,
    /// What it is at that version.
    pub digest: u64,
}

/// One entity as an answer, or a copy, shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The entity.
    pub entity: Entity,
    /// The version it is shown at; `None`: that there is no such thing.
    pub stamp: Option<Stamp>,
    /// What is shown of it, if that is comparable.
    pub digest: Option<u64>,
}

impl Shown {
    /// At a version, with this content.
    pub fn at(kind: &str, id: &str, version: Version, digest: Option<u64>) -> Result<Self> {
        Ok(Self { entity: Entity::new(kind, id)?, stamp: Some(Stamp::of(version)), digest })
    }

    /// As something that does not exist.
    pub fn absent(kind: &str, id: &str) -> Result<Self> {
        Ok(Self { entity: Entity::new(kind, id)?, stamp: None, digest: None })
    }
}

/// One answered read.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Whose it was: of two reads of one reader, the second is called after the first was answered. 0: nobody's.
    pub session: u64,
    /// The view.
    pub view: &'static str,
    /// The key, as the view writes it.
    pub key: String,
    /// What the answer itself shows, not what a cache says of it.
    pub shows: Vec<Shown>,
    /// What the reader asked to see at least.
    pub token: Option<(Entity, Stamp)>,
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
    fn commit(&self, _: &Fact, _: u64, _: u64) {}
    fn read(&self, _: Observed) {}
    fn is_listening(&self) -> bool {
        false
    }
}
