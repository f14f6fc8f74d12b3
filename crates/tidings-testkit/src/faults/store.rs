//! A store that fails on script.

use std::fmt;
use std::sync::Arc;

use tidings_core::Result;
use tidings_core::port::{Batch, Boxed, Store};

use super::{Call, Fault, Script};
use crate::delivery::mix;

/// A real store behind a [`Script`].
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    script: Script,
}

impl FaultyStore {
    /// This store, with the script's faults.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, script: Script) -> Arc<Self> {
        Arc::new(Self { inner, script })
    }
}

impl Store for FaultyStore {
    fn begin<'a>(
        &'a self,
        consumer: &'a str,
        partitions: &'a [tidings_core::Partition],
    ) -> Boxed<'a, Result<()>> {
        self.inner.begin(consumer, partitions)
    }

    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let mut turn = self.script.begin(Call::Apply).await?;
            let mut events = batch.events.to_vec();
            let mut times = 1;
            for fault in turn.twists() {
                match fault {
                    Fault::Double => times += 1,
                    Fault::Reorder => events = mix(events, |e| Some(e.entity.clone()), &mut turn.rng),
                    _ => continue,
                }
                turn.note(&fault);
            }
            let mut done = Ok(());
            for _ in 0..times {
                done = done.and(self.inner.apply(Batch { events: &events, ..batch }).await);
            }
            turn.answer(done)
        })
    }

    fn open_epoch<'a>(&'a self, why: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::OpenEpoch).await?;
            turn.answer(self.inner.open_epoch(why).await)
        })
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("script", &self.script).finish_non_exhaustive()
    }
}
