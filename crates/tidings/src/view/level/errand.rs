//! The right to fill one key of the shared level, while the source is asked.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::Version;
use tidings_core::shared::Seen;
use tidings_core::shared::level::{Claim, Level, Offer, Thing, Unfilled};
use tokio::runtime::Handle;

use super::super::entry::Entry;
use super::super::fill::Fill;
use super::super::{Inner, count};
use super::guarded;
use super::header::Header;

/// What a load brings along from the shared level. Dropped with its claim, it gives that up, so that others need not wait.
#[derive(Default)]
pub(in super::super) struct Errand {
    claim: Option<(Arc<dyn Level>, Claim)>,
    expects: Box<[Thing]>,
    /// The ticket that was taken before the shared level was asked: it spans both.
    pub(in super::super) first: Option<Fill>,
}

impl Errand {
    pub(super) fn new(level: Arc<dyn Level>, claim: Claim, expects: Box<[Thing]>, fill: Fill) -> Self {
        Self { claim: Some((level, claim)), expects, first: Some(fill) }
    }

    /// Whether the shared level has heard of a newer state than was read: what was read lags.
    pub(in super::super) fn shows_behind(&self, fill: &Fill) -> bool {
        let Some((_, claim)) = &self.claim else { return false };
        let parts = fill.parts();
        let is_versioned = !parts.is_empty() && parts.iter().all(|part| part.stamp.is_some());
        let is_before = |seen: Seen| seen.is_before(claim.minimum, is_versioned);
        let too_old = fill.reads_the_present() && fill.oldest().is_some_and(is_before);
        too_old
            || self.expects.iter().zip(&claim.floors).any(|(thing, floor)| {
                parts
                    .iter()
                    .any(|part| part.thing == *thing && part.stamp.is_some_and(|stamp| stamp < *floor))
            })
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if let Some((level, claim)) = self.claim.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { level.abandon(&claim).await });
        }
    }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Offers what was loaded, and kept here, to the shared level. In the background: its reader has its answer.
    ///
    /// Not what lags by a time: the shared level knows positions only, and would take it for newer than it is.
    pub(in super::super) fn offer(&self, key: &K, mut errand: Errand, entry: &Arc<Entry<V>>, fill: &Fill) {
        let (Some(shared), Some(Seen { least: as_of, .. }), Ok(runtime)) =
            (&self.level, fill.oldest(), Handle::try_current())
        else {
            return;
        };
        let Some((_, claim)) = &errand.claim else { return };
        if as_of < claim.minimum {
            // Its level would refuse what may lack something that it has heard of.
            count(&self.counts.l2_withheld);
            return;
        }
        let parts = fill.parts();
        if parts.is_empty() || !fill.reads_the_present() {
            return;
        }
        let now = self.fence.clock().wall();
        let end = now.plus(self.hard);
        let until = fill.ends().map_or(end, |ends| ends.min(end));
        let life = until.since(now);
        let Some(value) = guarded(|| entry.value.as_ref().map(|value| (shared.encode)(value))) else {
            count(&self.counts.defects);
            return;
        };
        if life == Duration::ZERO {
            return;
        }
        let own = entry.version().unwrap_or(Version::ZERO);
        let header = Header { is_absent: value.is_none(), own, until };
        let bytes = header.write(&value.unwrap_or_default());
        let Some((level, claim)) = errand.claim.take() else { return };
        self.recognise(key, entry, fill.newest_position(), &bytes);
        runtime.spawn(async move {
            let offer = Offer { value: &bytes, parts: &parts, as_of, soft: None, hard: life, flags: 0 };
            match level.fill(&claim, offer).await {
                Ok(()) => {}
                Err(Unfilled::Refused(_) | Unfilled::Failed(_)) => level.abandon(&claim).await,
            }
        });
    }
}
