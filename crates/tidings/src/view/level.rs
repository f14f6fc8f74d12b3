//! The second level of a view, which processes share: asked after the view's own cache and before the source.
//!
//! What comes from there is a fill like any other, of which this copy knows less: not when it was loaded, only from which
//! state of the source. So it is held to positions before the accept rule sees it, and only the marks that this copy has
//! applied vouch for it (decision 0015).
//!
//! - `ask`: the look, and the waiting for another process that loads;
//! - `promote`: the way in;
//! - `errand`: the right to fill it, and what is offered;
//! - `footing`: where the source stood when this copy's knowledge begins;
//! - `header`: what travels beside the value.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tidings_core::Error;
use tidings_core::shared::level::{Level, Source};

mod ask;
mod errand;
mod footing;
mod header;
mod promote;

pub(super) use ask::Asked;
pub(super) use errand::Errand;
use footing::Footing;

type Name<K> = Box<dyn Fn(&K) -> String + Send + Sync>;
type Encode<V> = Box<dyn Fn(&V) -> Vec<u8> + Send + Sync>;
type Decode<V> = Box<dyn Fn(&[u8]) -> Option<V> + Send + Sync>;

/// The second level of a view: where it is, how keys are named there, and how values become bytes.
pub struct Shared<K, V> {
    level: Arc<dyn Level>,
    footing: Arc<Footing>,
    name: Name<K>,
    encode: Encode<V>,
    decode: Decode<V>,
}

impl<K, V> Shared<K, V> {
    /// A second level.
    ///
    /// `source` is the one source of everything the view shows: it is asked where it stands, once per epoch and now and
    /// then when something was forgotten, never per read. `name` must tell different keys apart. `decode` gives `None` for
    /// bytes that it does not understand (of another release, say): the answer is then loaded.
    #[must_use]
    pub fn new(
        level: Arc<dyn Level>,
        source: Arc<dyn Source>,
        name: impl Fn(&K) -> String + Send + Sync + 'static,
        encode: impl Fn(&V) -> Vec<u8> + Send + Sync + 'static,
        decode: impl Fn(&[u8]) -> Option<V> + Send + Sync + 'static,
    ) -> Self {
        Self {
            level,
            footing: Arc::new(Footing::new(source, Box::new(|_| {}))),
            name: Box::new(name),
            encode: Box::new(encode),
            decode: Box::new(decode),
        }
    }

    /// Who is told that the source does not say where it stands, so that nothing of the level is taken: once for each cause,
    /// until it answers again. [`ViewCounts::source_failures`](crate::ViewCounts::source_failures) counts each time.
    #[must_use]
    pub fn telling(mut self, tell: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.footing = Arc::new(self.footing.telling(Box::new(tell)));
        self
    }

    /// How often the source did not say where it stands.
    pub(super) fn failures(&self) -> u64 {
        self.footing.failures()
    }
}

impl<K, V> std::fmt::Debug for Shared<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Where a load may take its answer from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    /// The shared level first.
    Shared,
    /// The source only: what is held is to be checked or renewed, and the shared level may hold the very same.
    Source,
}

/// What the user's code gives, unless it panics.
fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}
