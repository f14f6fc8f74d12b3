//! What the platform says of itself.

use tidings_core::Time;

use super::{Platform, contexts};
use crate::experience::ViewStats;

/// What one context did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextStats {
    /// Its name.
    pub name: &'static str,
    /// Transactions since the start.
    pub commits: u64,
    /// Events committed since the start.
    pub events: u64,
    /// Commands that wait for the writers.
    pub waiting: usize,
    /// Events that its relay appended to the log, repeats included; 0 if the relay is another process.
    pub published: u64,
    /// Rows that its relay set aside; 0 if the relay is another process.
    pub parked: u64,
    /// The source time up to which everything it said has been applied to the views; `None` before its first marks.
    pub caught_up: Option<Time>,
}

/// What the platform did.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Each publishing context.
    pub contexts: Vec<ContextStats>,
    /// Each view.
    pub views: [ViewStats; 2],
    /// The source time up to which the read model of listings has taken everything in.
    pub listings_caught_up: Time,
    /// Floors held by the fence.
    pub floors: usize,
    /// What the consumer did.
    pub consumer: ConsumerStats,
}

/// What the Experience API's consumer did, over all its starts in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConsumerStats {
    /// Events whose own decision took effect, repeats included.
    pub applied: u64,
    /// Events in whose place a newer one took effect.
    pub superseded: u64,
    /// Events set aside.
    pub parked: u64,
    /// How often something had been missed.
    pub gaps: u64,
    /// Calls that failed; those that could be repeated were.
    pub failures: u64,
}

/// What a stop left to be done at the next start; nothing of it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Events committed, and not yet in the log.
    pub unpublished: u64,
    /// Records in the log, and not yet applied.
    pub unapplied: u64,
}

impl Platform {
    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let relays = self.relays();
        let contexts = contexts(&self.owners).into_iter().zip(self.storefront.topics()).enumerate();
        let contexts = contexts.map(|(number, (context, topic))| {
            let (commits, events, waiting) = context.written();
            let relay = relays.get(number);
            ContextStats {
                name: context.name,
                commits,
                events,
                waiting,
                published: relay.map_or(0, |relay| relay.published()),
                parked: relay.map_or(0, |relay| relay.parked()),
                caught_up: self.storefront.fence().caught_up(topic),
            }
        });
        Stats {
            contexts: contexts.collect(),
            views: self.storefront.views(),
            listings_caught_up: self.storefront.experience().caught_up(),
            floors: self.storefront.fence().floors(),
            consumer: self.storefront.consumed(),
        }
    }
}
