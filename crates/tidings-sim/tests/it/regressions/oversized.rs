//! P9: a row that no reader would take fails, the rows after it land, and its repaired twin lands last.
//!
//! The shipped relay is played here by itself: the world of the core depth knows no bodies.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::consumer::plan;
use tidings_core::envelope::Limits;
use tidings_core::port::{Append, Cursor, Pending, Record, Scan, Stored};
use tidings_core::relay::{Action, Input, Relay, Settings};
use tidings_core::{
    Data, Decide, Decision, Entity, Event, Offset, Outcome, Result, Stamp, Time, Topic, Version, Window,
};
use tidings_testkit::Invariant;
use tidings_testkit::judge::{Applied, Commit, Judge};

use super::broken;

/// What happens, in microseconds: three commits, a scan, and what is read from the log.
const SCANNED: i64 = 10;
const READ: i64 = 20;

#[test]
fn p9_an_oversized_row_keeps_its_place_and_only_its_body_stays_behind() {
    assert_eq!(oversized(false), vec![]);
    let broken = oversized(true);
    assert!(broken.contains(&Invariant::I6) && broken.contains(&Invariant::I10), "{broken:?}");
}

/// With or without the oversized row's place being lost.
fn oversized(loses_its_place: bool) -> Vec<Invariant> {
    let rows = [event(0, 1, &"x".repeat(4_000)), event(1, 1, ""), event(1, 2, "")];
    let mut judge = Judge::default();
    judge.subscribed(0, None, 0);
    judge.entity(0);
    judge.entity(0);
    for (row, at) in rows.iter().zip(1..) {
        judge.commit(&Commit::of(number(&row.entity), row.stamp, nanos(at), nanos(at) + 1));
    }
    let (mut log, parked) = published(&rows);
    assert_eq!(parked, [Cursor(1)]);
    if loses_its_place {
        log.retain(|record| !matches!(record, Record::Event(event) if event.entity == rows[0].entity));
    } else {
        let order: Vec<_> = log.iter().map(words).collect();
        assert_eq!(order, ["price/0@1 without a body", "price/1@1", "price/1@2", "mark"]);
    }
    let stored = |(record, at)| Stored { offset: Offset(at), record };
    let read: Vec<_> = log.into_iter().zip(0..).map(stored).collect();
    let planned = plan(&read, &Rules);
    for (event, outcome) in planned.outcomes {
        assert_ne!(outcome, Outcome::Parked);
        let (entity, stamp) = (number(&event.entity), event.stamp);
        judge.applied(&Applied { copy: 0, entity, stamp, outcome, at: nanos(READ) });
    }
    judge.marked(0, None, nanos(planned.caught_up.unwrap().micros()), nanos(READ));
    broken(&mut judge)
}

/// What the shipped relay makes of these rows: the log, and what it has set aside.
fn published(rows: &[Arc<Event>]) -> (Vec<Record>, Vec<Cursor>) {
    let limits = Limits { bytes: 2_000, ..Limits::default() };
    let mut relay = Relay::new(Topic::new("pricing").unwrap(), 1, Settings { limits, ..Settings::default() });
    let (mut log, mut parked) = (Vec::new(), Vec::new());
    let mut input = Input::Started(Cursor(0));
    loop {
        input = match relay.on(Duration::ZERO, 0, input) {
            Action::Scan { .. } => Input::Scanned(scan(rows)),
            Action::Park { cursor, .. } => {
                parked.push(cursor);
                Input::Done
            }
            Action::Append => {
                log.extend(relay.batch().iter().map(|Append { record, .. }| record.clone()));
                Input::Done
            }
            Action::Wait { .. } => return (log, parked),
            other => panic!("{other:?}"),
        }
    }
}

fn scan(rows: &[Arc<Event>]) -> Scan {
    let pending = |(event, at): (&Arc<Event>, u64)| Pending { cursor: Cursor(at), event: Ok(event.clone()) };
    let rows = rows.iter().zip(1..).map(pending).collect();
    Scan { rows, complete: true, time: Time::from_micros(SCANNED) }
}

struct Rules;

impl Decide for Rules {
    fn decide(&self, _: &Event) -> Result<Vec<Decision>> {
        Ok(vec![Decision::Invalidate])
    }
}

fn event(price: u32, version: u64, body: &str) -> Arc<Event> {
    Arc::new(Event {
        id: format!("{price}-{version}").into(),
        source: "/pricing".into(),
        kind: "price.Changed".into(),
        entity: Entity::new("price", &price.to_string()).unwrap(),
        stamp: Stamp::of(Version::new(version).unwrap()),
        time: Time::from_micros(0),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: vec![],
        data: Data::Json(format!("{body:?}").into()),
    })
}

fn number(entity: &Entity) -> u32 {
    entity.id().parse().unwrap()
}

fn nanos(micros: i64) -> u64 {
    u64::try_from(micros).unwrap() * 1_000
}

fn words(record: &Record) -> String {
    match record {
        Record::Event(event) => {
            let body = if event.data.is_empty() { " without a body" } else { "" };
            format!("{}@{}{body}", event.entity, event.stamp)
        }
        Record::Mark(_) => "mark".to_owned(),
        other => format!("{other:?}"),
    }
}
