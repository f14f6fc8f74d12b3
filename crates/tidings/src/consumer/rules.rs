//! Typed handlers, found by event type.

use std::collections::HashMap;

use tidings_core::{Decide, Decision, Event, Result};

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
            None => Ok(vec![Decision::ignore("no handler is registered for this type")]),
        }
    }

    fn when_parked(&self, event: &Event) -> Vec<Decision> {
        self.when_parked.as_ref().map_or_else(|| vec![Decision::Invalidate], |fallback| fallback(event))
    }
}
