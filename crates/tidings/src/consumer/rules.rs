//! Typed handlers, found by event type.

use std::collections::HashMap;

use tidings_core::{Decide, Decision, Event, Region, Result};

type Handler = Box<dyn Fn(&Event) -> Result<Vec<Decision>> + Send + Sync>;
type Fallback = Box<dyn Fn(&Event) -> Vec<Decision> + Send + Sync>;

/// The rules of one consumer.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) handlers: HashMap<Box<str>, Handler>,
    pub(super) when_parked: Option<Fallback>,
}

impl Decide for Rules {
    fn decide(&self, event: &Event) -> Result<Vec<Decision>> {
        match self.handlers.get(&*event.kind) {
            Some(handler) => handler(event),
            // Nobody has said that it means nothing here. What it names is at least not what it was.
            None => Ok(vec![Decision::Invalidate]),
        }
    }

    fn when_parked(&self, event: &Event) -> Vec<Decision> {
        match &self.when_parked {
            Some(fallback) => fallback(event),
            None => vec![Decision::Bump(Region::every())],
        }
    }
}
