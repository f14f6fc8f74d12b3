//! The atomics and locks of the board, by a model checker that tries every interleaving of them.

use std::cell::Cell;

pub(super) use loom::sync::atomic::Ordering;

thread_local! {
    /// All threads of a model are played by the thread of its test.
    static WEAK: Cell<bool> = const { Cell::new(false) };
}

/// Whether every access to the board's atomics is relaxed, whatever it asks for: to show that it matters.
pub(super) fn weaken(weak: bool) {
    WEAK.set(weak);
}

fn order(asked: Ordering) -> Ordering {
    if WEAK.get() { Ordering::Relaxed } else { asked }
}

#[derive(Debug)]
pub(super) struct AtomicU64(loom::sync::atomic::AtomicU64);

impl AtomicU64 {
    pub(super) fn new(value: u64) -> Self {
        Self(loom::sync::atomic::AtomicU64::new(value))
    }

    pub(super) fn load(&self, asked: Ordering) -> u64 {
        self.0.load(order(asked))
    }

    pub(super) fn fetch_add(&self, by: u64, asked: Ordering) -> u64 {
        self.0.fetch_add(by, order(asked))
    }

    pub(super) fn fetch_max(&self, value: u64, asked: Ordering) -> u64 {
        self.0.fetch_max(value, order(asked))
    }
}

/// A lock as the toolkit's: it does not know poison.
#[derive(Debug)]
pub(super) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(super) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}
