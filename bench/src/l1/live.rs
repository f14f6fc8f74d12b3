//! A view as a service has it: its fence hears marks while it is filled, as from a consumer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tidings::{
    Clock, Fence, FenceSettings, Fill, Loaded, Offset, Partition, Position, Topic, Truth, Version, View,
};
use tidings_core::port::{Batch, Store};

use super::Value;
use crate::measure::at_once;

const CONSUMER: &str = "bench";

/// What an entry of the bench is derived from: entities of these kinds, or a region.
const KINDS: [&str; 4] = ["price", "stock", "content", "promotion"];
/// Longer than any pause between two marks here; the hit path does the same for every bound.
const BOUND: Duration = Duration::from_secs(600);
/// Marks come ten times a second. Fills here come faster than any source loads, so marks do, too.
const FILLS_PER_MARK: usize = 5_000;

pub(super) struct Live {
    pub(super) fence: Arc<Fence>,
    pub(super) view: View<String, Value>,
    next: Position,
}

/// What an entry depends on.
#[derive(Clone, Copy)]
pub(super) enum Depends {
    /// On so many entities of its own.
    Own(usize),
    /// On one entity, shared by so many entries.
    Shared(usize),
    /// On one region.
    Region,
}

impl Live {
    pub(super) fn new(room: usize) -> Result<Self> {
        let fence = Fence::new(FenceSettings::default(), Clock::system());
        let topic = Topic::new("pricing")?;
        let partition = Partition { topic: topic.clone(), index: 0 };
        at_once(fence.begin(CONSUMER, std::slice::from_ref(&partition)))??;
        let view = View::builder("bench", &fence)
            .truth(Truth::Push(BOUND))
            .sources([&topic])
            .capacity(room)
            .build()?;
        let copy = Self { fence, view, next: Position { partition, offset: Offset(0) } };
        copy.mark()?;
        Ok(copy)
    }

    /// A copy that holds these entries.
    pub(super) fn filled(room: usize, keys: &[String], depends: Depends) -> Result<Self> {
        let copy = Self::new(room)?;
        copy.fill(keys, depends)?;
        copy.mark()?;
        let served = keys.iter().filter(|key| copy.view.cached(key).is_some()).count();
        // Reading what is not there would be no measurement.
        if served < keys.len() / 1000 * 999 {
            let (held, floors, counts) = (copy.view.entries(), copy.fence.floors(), copy.view.counts());
            bail!(
                "of {} entries {held} are held and {served} served; {floors} floors, {counts:?}",
                keys.len()
            );
        }
        Ok(copy)
    }

    /// Everything committed until now has been applied.
    pub(super) fn mark(&self) -> Result<()> {
        let caught_up = Some(self.fence.clock().wall());
        let batch =
            Batch { consumer: CONSUMER, actions: &[], events: &[], parked: &[], next: &self.next, caught_up };
        Ok(at_once(self.fence.apply(batch))??)
    }

    /// Reads each key through the view, whose loader has the answer at once.
    pub(super) fn fill(&self, keys: &[String], depends: Depends) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(async {
            for (number, key) in keys.iter().enumerate() {
                let load = |fill: Fill| async move {
                    tell(&fill, key, number, depends);
                    Ok(Loaded::new(Version::ZERO.next(), super::value(number)))
                };
                self.view.get(key, load).await?;
                if number % FILLS_PER_MARK == FILLS_PER_MARK - 1 {
                    self.mark()?;
                }
            }
            Ok(())
        })
    }
}

fn tell(fill: &Fill, key: &str, number: usize, depends: Depends) {
    let version = Version::ZERO.next();
    match depends {
        Depends::Own(count) => KINDS.iter().take(count).for_each(|kind| fill.depends(kind, key, version)),
        Depends::Shared(among) => fill.depends(KINDS[0], &(number / among).to_string(), version),
        Depends::Region => fill.depends_on_region("category", "everything"),
    }
}

/// The kind of the first entity that an entry depends on.
pub(super) const KIND: &str = KINDS[0];
