//! A batch of records becomes few actions, and an outcome for every event.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::decision::{Action, Decide, Decision, Outcome, Plan};
use crate::entity::Entity;
use crate::error::{Code, Error, Result};
use crate::event::Event;
use crate::port::{Record, Stored};
use crate::position::Offset;
use crate::time::Time;
use crate::version::Stamp;

/// What is to be done about a batch.
#[derive(Debug, Default)]
pub struct Planned {
    /// The actions, at most one per target, floors first.
    pub actions: Vec<Action>,
    /// The events that a handler decided about, in log order.
    pub events: Vec<Arc<Event>>,
    /// The events to set aside, with where they stand and why.
    pub parked: Vec<(Offset, Arc<Event>, Error)>,
    /// What will have become of each event once the actions are done.
    pub outcomes: Vec<(Arc<Event>, Outcome)>,
    /// The source time of the newest mark in the batch.
    pub caught_up: Option<Time>,
    /// The offset after the batch.
    pub next: Option<Offset>,
    /// Why something must have been missed, if so.
    pub gap: Option<String>,
}

/// Plans a batch of records that follow one another in a partition.
#[must_use]
pub fn plan(records: &[Stored], decide: &dyn Decide) -> Planned {
    let newest = newest(records);
    let mut planned = Planned::default();
    let mut plan = Plan::default();
    for stored in records {
        planned.next = Some(stored.offset.next());
        match &stored.record {
            Record::Mark(mark) => planned.caught_up = planned.caught_up.max(Some(mark.time)),
            Record::Unreadable(error) => {
                planned.gap = Some(format!("the record at {}: {error}", stored.offset))
            }
            Record::Event(event) => {
                let outcome = match safely(event, || decide.decide(event)) {
                    Ok(decisions) => {
                        plan.add(event, decisions);
                        planned.events.push(event.clone());
                        match newest.get(&event.entity) {
                            Some((_, offset)) if *offset != stored.offset => Outcome::Superseded,
                            _ => Outcome::Applied,
                        }
                    }
                    Err(reason) => {
                        plan.fence(&event.entity, event.stamp);
                        plan.add(event, safely(event, || Ok(decide.when_parked(event))).unwrap_or_default());
                        planned.parked.push((stored.offset, event.clone(), reason));
                        Outcome::Parked
                    }
                };
                planned.outcomes.push((event.clone(), outcome));
            }
        }
    }
    planned.actions = plan.into_actions();
    planned
}

/// The newest event of each entity in the batch; of equals, the first.
fn newest(records: &[Stored]) -> BTreeMap<&Entity, (Stamp, Offset)> {
    let mut newest = BTreeMap::new();
    for stored in records {
        if let Record::Event(event) = &stored.record {
            let entry = newest.entry(&event.entity).or_insert((event.stamp, stored.offset));
            if entry.0 < event.stamp {
                *entry = (event.stamp, stored.offset);
            }
        }
    }
    newest
}

/// A handler that panics has failed on this event, and on no other.
fn safely(event: &Event, decide: impl FnOnce() -> Result<Vec<Decision>>) -> Result<Vec<Decision>> {
    catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|panic| {
        let what =
            format!("the handler of {} panicked on {}: {}", event.kind, event.entity, message(&*panic));
        Err(Error::new(Code::DEFECT, what))
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
