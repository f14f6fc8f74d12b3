//! The ports of the shared level: what a cache of two levels asks of it, and what it asks of the source.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{AsOf, NotLive, Token, Unkept};
use crate::entity::{Entity, Region};
use crate::error::{Error, Result};
use crate::port::Boxed;
use crate::version::Stamp;

/// Where the source stands. Asked whenever an epoch is opened, and for news that does not tell its own position.
pub trait Source: Send + Sync {
    /// The source's position now, read from the primary: everything committed before this call is at or before it.
    fn position(&self) -> Boxed<'_, Result<AsOf>>;
}

/// What a cache of two levels asks of the shared one. It can be slow, gone or wrong about itself at any time, and a
/// read must go on: so a look never fails, it passes by.
pub trait Level: Send + Sync {
    /// Looks a key up; a miss is handed a claim. `expects` names what the answer will probably be derived from: news
    /// of those is then held against the load from now on, instead of everything that the bucket hears.
    fn lookup<'a>(&'a self, key: &'a Key, expects: &'a [Thing]) -> Boxed<'a, Found>;

    /// Brings what was loaded under a claim.
    fn fill<'a>(&'a self, claim: &'a Claim, offer: Offer<'a>) -> Boxed<'a, Result<(), Unfilled>>;

    /// Gives a claim up, so that the next to look need not wait for the lease to run out.
    fn abandon<'a>(&'a self, claim: &'a Claim) -> Boxed<'a, ()>;
}

/// The name of a cached answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The view's name.
    pub view: Arc<str>,
    /// The key, as the view writes it.
    pub key: Arc<str>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.view, self.key)
    }
}

/// Something that an answer can be derived from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Thing {
    /// An entity.
    Entity(Entity),
    /// A region.
    Region(Region),
}

/// Something that an answer was derived from, and the version that was read of it, if the loader told one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    /// What.
    pub thing: Thing,
    /// At which version; without one, it is held to everything heard of it.
    pub stamp: Option<Stamp>,
}

/// What a look finds.
#[derive(Debug, Clone)]
pub enum Found {
    /// An answer, no older than what its bucket has heard.
    Hit(Kept),
    /// Nothing, and nobody is loading it: load, then [`Level::fill`] or [`Level::abandon`].
    Claim(Claim),
    /// Somebody else is loading it, for at most this much longer: look again sooner, or load without filling.
    Wait(Duration),
    /// Go to the source, and do not fill.
    Bypass(Bypass),
}

/// An answer of the shared level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The bytes, as they were offered.
    pub value: Box<[u8]>,
    /// What it was derived from.
    pub parts: Vec<Part>,
    /// The state of the source it was read from: what a promotion is held to.
    pub as_of: AsOf,
    /// Whether its soft time to live is over, by the store's clock: one caller should renew it.
    pub soft: bool,
    /// As they were offered.
    pub flags: u8,
}

/// The right to fill one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub key: Key,
    /// What the store will ask for.
    pub token: Token,
    /// The oldest state of the source that will do, as far as is known now.
    pub minimum: AsOf,
    /// The lowest version that will do of each thing that was expected, in that order.
    pub floors: Vec<Stamp>,
    /// Why there was nothing.
    pub missed: Missed,
}

/// Why a look found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Missed {
    /// Never there, expired or evicted.
    Absent,
    /// Of another epoch.
    Epoch,
    /// Something that it was derived from has changed.
    Outdated,
    /// Whoever was to load it has not come back.
    Lapsed,
    /// Its header is of an unknown format, or damaged.
    Format,
}

/// Why a look passes the shared level by.
#[derive(Debug, Clone)]
pub enum Bypass {
    /// The bucket is not live.
    NotLive(NotLive),
    /// The store did not answer, or not in time.
    Failed(Error),
    /// It has failed too often, and is left alone for a while.
    Resting,
    /// Too many requests are under way.
    Overloaded,
}

/// What was loaded.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The answer.
    pub value: &'a [u8],
    /// What it was derived from.
    pub parts: &'a [Part],
    /// The state of the source it was read from, told by the same snapshot as the value.
    pub as_of: AsOf,
    /// When it should be renewed.
    pub soft: Option<Duration>,
    /// When it goes.
    pub hard: Duration,
    /// Kept beside the value, for whoever reads it: an absent answer, an encrypted one.
    pub flags: u8,
}

/// Why a fill was not kept. Its value may still answer its caller.
#[derive(Debug, Clone)]
pub enum Unfilled {
    /// The rules forbid it.
    Refused(Unkept),
    /// The store did not answer: it may have been kept all the same, which is harmless.
    Failed(Error),
}
