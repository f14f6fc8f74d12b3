//! What reads return. A cached answer and a direct one are different types, so that what must never be decided on a
//! cached value does not compile with one.

use std::sync::Arc;

use tidings_core::{Certificate, Freshness, Version};

use crate::view::entry::Entry;

/// An answer from a view, with its certificate. Cheap to clone.
pub struct Cached<V> {
    entry: Arc<Entry<V>>,
    certificate: Certificate,
}

impl<V> Cached<V> {
    pub(crate) const fn new(entry: Arc<Entry<V>>, certificate: Certificate) -> Self {
        Self { entry, certificate }
    }

    pub(crate) const fn entry(&self) -> &Arc<Entry<V>> {
        &self.entry
    }

    /// The value; `None` if the source had nothing under this key.
    #[must_use]
    pub fn value(&self) -> Option<&V> {
        self.entry.value.as_ref()
    }

    /// What is known of the answer.
    #[must_use]
    pub const fn certificate(&self) -> Certificate {
        self.certificate
    }

    /// How fresh it is known to be.
    #[must_use]
    pub const fn freshness(&self) -> Freshness {
        self.certificate.freshness
    }

    /// The answer's own version, if its loader gave one.
    #[must_use]
    pub const fn version(&self) -> Option<Version> {
        self.certificate.version
    }
}

impl<V> Clone for Cached<V> {
    fn clone(&self) -> Self {
        Self { entry: self.entry.clone(), certificate: self.certificate }
    }
}

impl<V: std::fmt::Debug> std::fmt::Debug for Cached<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached")
            .field("value", &self.entry.value)
            .field("certificate", &self.certificate)
            .finish()
    }
}

/// An answer that was read past every cache, from the source that owns it.
///
/// The only way to get one is to read it here, so a function that takes a `Direct<Price>` cannot be handed a cached
/// price. (That `read` asks the owner, and not a cache, is its author's word; the type keeps it in sight.)
///
/// ```compile_fail
/// fn charge(price: tidings::Direct<u64>) {}
/// fn checkout(shown: tidings::Cached<u64>) {
///     charge(shown);
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direct<T>(T);

impl<T> Direct<T> {
    /// Runs `read`, which must ask the owning source, and vouches for it by type.
    pub async fn read<E>(read: impl AsyncFnOnce() -> Result<T, E>) -> Result<Self, E> {
        read().await.map(Self)
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &T {
        &self.0
    }

    /// Only the value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}
