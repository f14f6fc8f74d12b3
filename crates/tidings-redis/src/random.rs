//! Random numbers for tokens and epochs, from the standard library's keyed hash: never the same twice, and nobody can
//! guess the next.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sixty-four bits; never zero.
pub(crate) fn random() -> u64 {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [first, second] = &*KEYS;
    (first.hash_one(count) ^ second.hash_one(count).rotate_left(32)).max(1)
}
