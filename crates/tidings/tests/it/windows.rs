//! Answers that events change in place end with the window of the event, whatever the clocks show within their error.

use std::sync::Arc;
use std::time::Duration;

use tidings::{
    Clock, Data, Entity, Event, Fence, FenceSettings, Fill, Loaded, Offset, Partition, Position, Stamp, Time,
    Topic, Truth, View, Window,
};
use tidings_core::Action;
use tidings_core::port::{Batch, Store};

use crate::shop::{v, within};

const ERROR: Duration = Duration::from_millis(20);

fn event(window: Window) -> Arc<Event> {
    Arc::new(Event {
        id: "id-2".into(),
        source: "/pricing".into(),
        kind: "price.Changed".into(),
        entity: Entity::new("price", "42").unwrap(),
        stamp: Stamp::of(v(2)),
        time: Time::from_micros(0),
        window,
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Empty,
    })
}

/// What is served so many milliseconds after an update whose window begins and ends so many from it.
async fn served(from: i64, until: i64, after: u64) -> Option<u64> {
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(100));
    let settings = FenceSettings { clock_error: ERROR, ..FenceSettings::default() };
    let fence = Fence::new(settings, clock.clone());
    let view: View<String, u64> = View::builder("product", &fence)
        .truth(Truth::Effective(Duration::from_secs(5)))
        .keys(|text| Some(text.to_owned()))
        .updated_by(|_, _, event: &Event| Some(event.stamp.version.number()))
        .build()
        .unwrap();
    let key = "k".to_owned();
    let first = |fill: Fill| async move {
        fill.depends("price", "42", v(1));
        Ok(Loaded::new(v(1), 1))
    };
    within(view.get(&key, first)).await.unwrap();
    let at = |ms: i64| Some(Time::from_micros(clock.wall().micros() + ms * 1000));
    let event = event(Window { from: at(from), until: at(until) });
    let partition = Partition { topic: Topic::new("pricing").unwrap(), index: 0 };
    let raise = Action::Raise { entity: event.entity.clone(), floor: event.stamp };
    let update = Action::Update { view: "product".into(), key: "k".into(), events: vec![event.clone()] };
    let batch = Batch {
        consumer: "shop",
        actions: &[raise, update],
        events: &[event],
        parked: &[],
        next: &Position { partition, offset: Offset(1) },
        caught_up: None,
    };
    fence.apply(batch).await.unwrap();
    clock.advance(Duration::from_millis(after));
    view.cached(&key).and_then(|hit| hit.value().copied())
}

#[tokio::test]
async fn an_update_ends_with_the_window_of_its_event() {
    for (from, until, after, expected) in [
        (-100, 1000, 0, Some(2)),
        (-100, 1000, 900, Some(2)),
        (-100, 1000, 985, None),
        (-100, 1000, 2000, None),
        (-10, 1000, 0, None),
        (10, 1000, 0, None),
        (-100, 10, 0, None),
    ] {
        assert_eq!(served(from, until, after).await, expected, "from {from} until {until}, after {after} ms");
    }
}
