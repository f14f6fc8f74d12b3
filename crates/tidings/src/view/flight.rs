//! One load per key: the callers that come while it runs wait for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidings_core::Error;
use tidings_core::fence::{Fingerprint, Refusal, Shown, Ticket};
use tidings_core::shared::{Exposed, Places};
use tokio::sync::Notify;

use super::entry::Entry;
use super::fill::Fill;

/// Of so many keys, and at most twice as many, a deck remembers what was shown without versions: less than 2 MiB per view.
const REMEMBERED: usize = 1 << 10;

/// Some of a view's keys: the loads in the air that callers of each join, and what was shown.
pub(crate) struct Deck<K, V> {
    flights: HashMap<K, Arc<Flight<V>>>,
    pub(crate) shown: Shown,
    /// The same by the source's positions, if there is a shared level.
    pub(crate) exposed: Places<Exposed>,
}

impl<K, V> Default for Deck<K, V> {
    fn default() -> Self {
        Self { flights: HashMap::new(), shown: Shown::new(REMEMBERED), exposed: Places::new(REMEMBERED) }
    }
}

impl<K: Hash + Eq + Clone, V> Deck<K, V> {
    /// Joins the flight for this key, or starts one; says whether the caller leads. Whoever comes after news, or an answer,
    /// that a load cannot have seen must not wait for it.
    pub(crate) fn board(&mut self, key: &K, hash: Fingerprint, epoch: u32) -> (Arc<Flight<V>>, bool) {
        if let Some(flight) = self.flights.get(key)
            && !flight.is_outrun(epoch)
            && !flight.is_overtaken(hash, &self.shown)
        {
            return (flight.clone(), false);
        }
        let flight = Flight::new();
        self.flights.insert(key.clone(), flight.clone());
        (flight, true)
    }
}

impl<K: Hash + Eq, V> Deck<K, V> {
    /// Nobody joins this flight any more.
    pub(crate) fn leave(&mut self, key: &K, left: &Arc<Flight<V>>) {
        if self.flights.get(key).is_some_and(|flight| Arc::ptr_eq(flight, left)) {
            self.flights.remove(key);
        }
    }
}

/// What a load ended with.
pub(crate) enum Landing<V> {
    /// The caller who was loading went away: somebody else must.
    Abandoned,
    /// It brought an answer.
    Answer(Answer<V>),
    /// It failed.
    Failed(Error),
}

/// What a load brought.
pub(crate) struct Answer<V> {
    pub(crate) entry: Arc<Entry<V>>,
    /// When the source is known to have looked like this.
    pub(crate) seen: Duration,
    pub(crate) ticket: Ticket,
    /// Why the fence did not keep it, if so.
    pub(crate) refusal: Option<Refusal>,
    /// Whether it came from the shared level.
    pub(crate) is_promoted: bool,
}

impl<V> Clone for Landing<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Abandoned => Self::Abandoned,
            Self::Answer(answer) => Self::Answer(Answer { entry: answer.entry.clone(), ..*answer }),
            Self::Failed(error) => Self::Failed(error.clone()),
        }
    }
}

/// A load in the air.
pub(crate) struct Flight<V> {
    /// Set when the load begins to read, and again if it has to be repeated.
    fill: Mutex<Option<Fill>>,
    landing: Mutex<Option<Landing<V>>>,
    landed: Notify,
}

impl<V> Flight<V> {
    fn new() -> Arc<Self> {
        Arc::new(Self { fill: Mutex::new(None), landing: Mutex::new(None), landed: Notify::new() })
    }

    pub(crate) fn takes_off(&self, fill: Fill) {
        *self.fill.lock() = Some(fill);
    }

    /// Whether an answer was shown meanwhile that may be newer.
    fn is_overtaken(&self, key: Fingerprint, shown: &Shown) -> bool {
        self.fill.lock().as_ref().is_some_and(|fill| shown.has_overtaken(key, fill.turn()))
    }

    /// Whether news has arrived that this load cannot have seen.
    fn is_outrun(&self, epoch: u32) -> bool {
        self.fill.lock().as_ref().is_some_and(|fill| fill.ticket().epoch != epoch || fill.is_outrun())
    }

    pub(crate) fn land(&self, landing: Landing<V>) {
        *self.landing.lock() = Some(landing);
        self.landed.notify_waiters();
    }

    /// Tells those who wait that nothing will come, unless something has.
    pub(crate) fn abandon(&self) {
        self.landing.lock().get_or_insert(Landing::Abandoned);
        self.landed.notify_waiters();
    }

    pub(crate) async fn landed(&self) -> Landing<V> {
        loop {
            // Registered before it looks, so that a landing in between is not missed.
            let landed = self.landed.notified();
            if let Some(landing) = &*self.landing.lock() {
                return landing.clone();
            }
            landed.await;
        }
    }
}
