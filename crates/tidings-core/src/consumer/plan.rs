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
    let mut planned = Planned::default();
    let mut plan = Plan::default();
    for stored in records {
        planned.next = Some(stored.offset.next());
        match &stored.record {
            Record::Mark(mark) => planned.caught_up = planned.caught_up.max(Some(mark.time)),
            Record::Unreadable(error) => {
                planned.gap = Some(format!("the record at {}: {error}", stored.offset))
            }
            Record::Gap(why) => planned.gap = Some(format!("the source could not publish a row: {why}")),
            Record::Event(event) => match safely(event, || decide.decide(event)) {
                Ok(decisions) => {
                    plan.add(event, decisions);
                    planned.events.push(event.clone());
                    planned.outcomes.push((event.clone(), Outcome::Applied));
                }
                Err(reason) => {
                    planned.park(stored.offset, event, reason, &mut plan, decide);
                    planned.outcomes.push((event.clone(), Outcome::Parked));
                }
            },
        }
    }
    supersede(&mut planned.outcomes);
    planned.actions = plan.into_actions();
    planned
}

impl Planned {
    /// Sets an event aside; what it may have touched is fenced all the same. If even that cannot be told, it is a gap.
    fn park(
        &mut self,
        offset: Offset,
        event: &Arc<Event>,
        reason: Error,
        plan: &mut Plan,
        decide: &dyn Decide,
    ) {
        plan.fence(&event.entity, event.stamp);
        match safely(event, || Ok(decide.when_parked(event))) {
            Ok(decisions) => plan.add(event, decisions),
            Err(error) => self.gap = Some(error.to_string()),
        }
        self.parked.push((offset, event.clone(), reason));
    }
}

/// Of the events of an entity that were decided about, only the newest took effect by itself; of equals, the first.
fn supersede(outcomes: &mut [(Arc<Event>, Outcome)]) {
    let mut newest = BTreeMap::<Entity, (Stamp, usize)>::new();
    for (place, (event, _)) in
        outcomes.iter().enumerate().filter(|(_, (_, outcome))| *outcome == Outcome::Applied)
    {
        let known = newest.entry(event.entity.clone()).or_insert((event.stamp, place));
        if known.0 < event.stamp {
            *known = (event.stamp, place);
        }
    }
    for (place, (event, outcome)) in outcomes.iter_mut().enumerate() {
        if *outcome == Outcome::Applied && newest.get(&event.entity).is_some_and(|(_, first)| *first != place)
        {
            *outcome = Outcome::Superseded;
        }
    }
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
