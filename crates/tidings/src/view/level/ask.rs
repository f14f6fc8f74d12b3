//! The look into the shared level.

use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidings_core::retry::Backoff;
use tidings_core::shared::level::{Found, Key};
use tokio::time::Instant;

use super::super::fill::Fill;
use super::super::flight::{Answer, Flight};
use super::super::{Inner, count};
use super::{Errand, Shared, Via, guarded};
use crate::clock::Moment;

/// How often it is looked whether another process has loaded.
const PAUSES: Backoff = Backoff { first: Duration::from_millis(2), longest: Duration::from_millis(100) };

/// What came of asking the shared level.
pub(in super::super) enum Asked<V> {
    /// It had an answer that may be kept here.
    Promoted(Answer<V>),
    /// The source is next.
    Load(Errand),
}

/// What is captured before each look.
pub(super) struct Look {
    pub(super) fill: Fill,
    /// Everything committed before this is known here.
    pub(super) known: Moment,
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Asks the shared level, if there is one and it may answer; never for longer than a load may take.
    pub(in super::super) async fn ask_level(&self, key: &K, flight: &Flight<V>, via: Via) -> Asked<V> {
        let Some(shared) = &self.level else { return Asked::Load(Errand::default()) };
        shared.footing.seek(&self.fence, self.epoch.load(Ordering::Acquire));
        if via == Via::Source {
            return Asked::Load(Errand::default());
        }
        let Some(name) = guarded(|| (shared.name)(key)) else {
            count(&self.counts.defects);
            return Asked::Load(Errand::default());
        };
        let name = Key { view: self.name.clone(), key: name.into() };
        let asked = Box::pin(self.look_up(shared, key, &name, flight));
        tokio::time::timeout(self.load_timeout, asked).await.unwrap_or_else(|_| {
            count(&self.counts.l2_bypasses);
            Asked::Load(Errand::default())
        })
    }

    async fn look_up(&self, shared: &Shared<K, V>, key: &K, name: &Key, flight: &Flight<V>) -> Asked<V> {
        let old = self.cache.peek(key).and_then(|entry| entry.things.clone());
        let expects = old.as_deref().unwrap_or_default();
        let mut patience = None;
        for round in 1.. {
            let look = self.set_out(flight);
            shared.footing.seek(&self.fence, look.fill.ticket().epoch);
            match shared.level.lookup(name, expects).await {
                Found::Hit(kept) => {
                    let promoted = self.promote(shared, key, &kept, &look);
                    count(if promoted.is_some() { &self.counts.l2_hits } else { &self.counts.l2_refused });
                    return promoted.map_or_else(|| Asked::Load(Errand::default()), Asked::Promoted);
                }
                Found::Claim(claim) => {
                    count(&self.counts.l2_misses);
                    let level = shared.level.clone();
                    return Asked::Load(Errand::new(level, claim, expects.into(), look.fill));
                }
                Found::Bypass(_) => {
                    count(&self.counts.l2_bypasses);
                    break;
                }
                Found::Wait(left) => {
                    let now = Instant::now();
                    let until = *patience.get_or_insert_with(|| {
                        count(&self.counts.l2_waits);
                        now + left
                    });
                    // What would be brought there could not be taken.
                    let epoch = look.fill.ticket().epoch;
                    if now >= until || self.is_blind(&look) || !shared.footing.is_near(epoch) {
                        break;
                    }
                    let pause = PAUSES.wait(round, self.dice.load(Ordering::Relaxed));
                    tokio::time::sleep_until((now + pause).min(until)).await;
                }
            }
        }
        Asked::Load(Errand::default())
    }

    /// The ticket first, then what is known by then, and only then the shared level is asked.
    fn set_out(&self, flight: &Flight<V>) -> Look {
        let fill = self.take_off(flight);
        Look { fill, known: Moment(self.known.load(Ordering::Acquire)) }
    }

    /// Whether this copy knows too little to vouch for anything.
    pub(super) fn is_blind(&self, look: &Look) -> bool {
        let started = look.fill.ticket().started;
        started.saturating_sub(Moment::duration(look.known.0)) > self.bound
    }
}
