//! What happened, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What has happened since this process began. Only ever counted up.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Counts {
                Counts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counts! {
    /// Looks that found an answer.
    hits,
    /// Misses: never there, expired or evicted.
    missed_absent,
    /// Misses: of an earlier epoch.
    missed_epoch,
    /// Misses: what it was derived from has changed.
    missed_outdated,
    /// Misses: whoever was to load it has not come back.
    missed_lapsed,
    /// Misses: a header of an unknown format, or damaged.
    missed_format,
    /// Looks that found somebody else loading.
    waits,
    /// Looks that passed by, and fills that were refused: there was no control record.
    not_live_absent,
    /// The same: the control record was of another life of the store.
    not_live_foreign,
    /// The same: an epoch was being opened.
    not_live_opening,
    /// Looks that passed by: the store failed.
    failed,
    /// Looks that passed by: the store was left alone.
    rested,
    /// Looks that passed by: too much was under way.
    overloaded,
    /// Fills that were kept.
    kept,
    /// Fills refused: their placeholder was gone.
    lost,
    /// Fills refused: a newer version is known.
    below_floor,
    /// Fills refused: read from too old a state.
    too_old,
    /// Pieces of news told, once per bucket.
    told,
    /// Those of them that something in the bucket depended on.
    concerned,
    /// Epochs opened.
    epochs,
}

pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
