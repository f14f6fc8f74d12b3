//! One cached answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use tidings_core::Version;
use tidings_core::fence::Held;
use tidings_core::shared::level::Thing;

use crate::clock::Moment;
use crate::fence::Hold;

/// A cached answer and what it was derived from. Immutable but for its stamp.
pub(crate) struct Entry<V> {
    /// Until when everything it was derived from was found good.
    pub(crate) good_at: AtomicU64,
    pub(crate) holds: Holds,
    /// The answer's own version; zero, which no state has, if its loader gave none.
    pub(crate) own: Version,
    /// The view's epoch when it was loaded.
    pub(crate) epoch: u32,
    /// The source is known to have looked like this at this moment.
    pub(crate) as_of: Moment,
    /// Whether marks vouch for it: everything it could have missed is news that this copy hears.
    pub(crate) followed: bool,
    /// From here on, somebody loads it again while others are still served.
    pub(crate) soft: Moment,
    /// From here on, it is not served.
    pub(crate) hard: Moment,
    /// Whether that somebody is at work.
    pub(crate) refreshing: AtomicBool,
    /// The names of what it was derived from, if there is a shared level to tell them to.
    pub(crate) things: Option<Arc<[Thing]>>,
    /// `None`: the source had nothing (a negative entry).
    pub(crate) value: Option<V>,
}

impl<V> Entry<V> {
    /// The answer's own version, if its loader gave one.
    pub(crate) fn version(&self) -> Option<Version> {
        (self.own > Version::ZERO).then_some(self.own)
    }

    /// Whether nothing but time tells if it is newer than another answer: it depends on something without a version.
    pub(crate) fn is_unversioned(&self) -> bool {
        self.holds.as_slice().iter().any(|hold| hold.held() == Held::Unmoved)
    }
}

/// The dependencies of an entry; most have one.
pub(crate) enum Holds {
    One(Hold),
    Many(Box<[Hold]>),
}

impl Holds {
    pub(crate) fn as_slice(&self) -> &[Hold] {
        match self {
            Self::One(hold) => std::slice::from_ref(hold),
            Self::Many(holds) => holds,
        }
    }
}

impl From<Vec<Hold>> for Holds {
    fn from(holds: Vec<Hold>) -> Self {
        match holds.as_slice() {
            [hold] => Self::One(*hold),
            _ => Self::Many(holds.into()),
        }
    }
}
