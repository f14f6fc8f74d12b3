//! The atomics and locks of the [board](super::board). A test puts others in their place, which try every interleaving.

pub(super) use std::sync::atomic::{AtomicU64, Ordering};

pub(super) use parking_lot::Mutex;
