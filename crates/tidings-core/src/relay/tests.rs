use super::*;
use crate::error::Code;
use crate::time::{Time, Window};
use crate::version::{Stamp, Version};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn event(id: &str, version: u64, data: Data) -> Arc<Event> {
    Arc::new(Event {
        id: format!("{id}-{version}").into(),
        source: "/pricing".into(),
        kind: "pricing.BasePriceChanged".into(),
        entity: Entity::new("price", id).unwrap(),
        stamp: Stamp::of(Version::new(version).unwrap()),
        time: Time::from_micros(1),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data,
    })
}

fn row(cursor: u64) -> Pending {
    Pending { cursor: Cursor(cursor), event: Ok(event("42", cursor, Data::Empty)) }
}

fn scan(rows: Vec<Pending>, complete: bool) -> Input {
    Input::Scanned(Scan { rows, complete, time: Time::from_micros(77) })
}

fn relay() -> Relay {
    Relay::new(Topic::new("pricing").unwrap(), 2, Settings::default())
}

fn started() -> Relay {
    let mut relay = relay();
    let action = relay.on(ms(0), 0, Input::Started(Cursor(5)));
    assert!(matches!(action, Action::Scan { after: Cursor(5), .. }), "{action:?}");
    relay
}

#[test]
fn s26_the_cursor_moves_only_over_what_is_durable_in_the_log() {
    let mut relay = started();
    assert!(matches!(relay.on(ms(1), 0, scan(vec![row(6), row(7)], true)), Action::Append));
    assert!(matches!(
        relay.on(ms(2), 0, Input::Failed(Error::new(Code::BUSY, "the log"))),
        Action::Backoff(_)
    ));
    assert!(
        matches!(relay.on(ms(9), 0, Input::Done), Action::Append),
        "the same batch again, nothing in between"
    );
    assert_eq!(relay.batch().len(), 4, "two events, and a mark for each partition");
    assert!(matches!(relay.on(ms(10), 0, Input::Done), Action::Wait { after: Cursor(7), .. }));
    assert!(matches!(relay.on(ms(120), 0, Input::Done), Action::Scan { .. }));
    assert!(matches!(relay.on(ms(120), 0, scan(vec![], true)), Action::Append), "a mark is due");
    let action = relay.on(ms(121), 0, Input::Done);
    assert!(matches!(action, Action::Acknowledge(Cursor(7))), "{action:?}");
}

#[test]
fn a_mark_is_never_sent_while_rows_are_left() {
    let mut relay = started();
    relay.on(ms(1), 0, scan(vec![row(6)], false));
    assert!(relay.batch().iter().all(|append| matches!(append.record, Record::Event(_))));
    assert!(
        matches!(relay.on(ms(2), 0, Input::Done), Action::Scan { after: Cursor(6), .. }),
        "no waiting either"
    );
}

fn marks(relay: &Relay) -> usize {
    relay.batch().iter().filter(|append| matches!(append.record, Record::Mark(_))).count()
}

#[test]
fn rows_do_not_wait_for_marks_that_are_not_due() {
    let mut relay = started();
    relay.on(ms(1), 0, scan(vec![row(6)], true));
    assert_eq!(marks(&relay), 2, "the first");
    relay.on(ms(2), 0, Input::Done);
    relay.on(ms(3), 0, Input::Done);
    assert!(matches!(relay.on(ms(4), 0, scan(vec![row(7)], true)), Action::Append));
    assert_eq!((relay.batch().len(), marks(&relay)), (1, 0));
    let Action::Wait { at_most, .. } = relay.on(ms(5), 0, Input::Done) else { panic!("caught up") };
    assert_eq!(at_most, ms(95), "until 100 after the first");
    relay.on(ms(101), 0, Input::Done);
    assert!(matches!(relay.on(ms(101), 0, scan(vec![row(8)], true)), Action::Append));
    assert_eq!((relay.batch().len(), marks(&relay)), (3, 2), "due, whether there are rows or not");
}

#[test]
fn the_last_rows_of_a_drain_have_their_marks() {
    for rows in [vec![], vec![row(8)]] {
        let mut relay = started();
        relay.on(ms(1), 0, scan(vec![row(6)], true));
        relay.on(ms(2), 0, Input::Done);
        relay.on(ms(3), 0, Input::Done);
        relay.on(ms(4), 0, scan(vec![row(7)], true));
        assert_eq!(marks(&relay), 0);
        relay.drain();
        assert!(matches!(relay.on(ms(5), 0, Input::Done), Action::Scan { .. }));
        assert!(matches!(relay.on(ms(6), 0, scan(rows, true)), Action::Append));
        assert_eq!(marks(&relay), 2);
        assert!(matches!(relay.on(ms(7), 0, Input::Done), Action::Acknowledge(_)));
        assert!(matches!(relay.on(ms(8), 0, Input::Done), Action::Drained));
    }
}

#[test]
fn marks_carry_the_time_from_before_the_scan_to_every_partition() {
    let mut relay = started();
    relay.on(ms(1), 0, scan(vec![], true));
    let marks: Vec<_> = relay
        .batch()
        .iter()
        .map(|append| match append.record {
            Record::Mark(mark) => (append.partition.index, mark.time.micros()),
            _ => panic!("only marks"),
        })
        .collect();
    assert_eq!(marks, [(0, 77), (1, 77)]);
}

#[test]
fn an_event_that_is_too_large_sends_its_news_without_the_body_and_is_parked() {
    let mut relay = started();
    let large = event("42", 6, Data::Json("x".repeat((1 << 20) + 1).into()));
    let action = relay.on(ms(1), 0, scan(vec![Pending { cursor: Cursor(6), event: Ok(large) }], true));
    assert!(matches!(action, Action::Park { cursor: Cursor(6), .. }), "{action:?}");
    assert!(matches!(relay.on(ms(2), 0, Input::Done), Action::Append));
    let Some(Append { record: Record::Event(sent), .. }) = relay.batch().first() else {
        panic!("the event is sent")
    };
    assert_eq!((sent.data.len(), sent.stamp.version.number()), (0, 6));
}

#[test]
fn a_row_that_is_no_event_is_set_aside_before_the_cursor_passes_it() {
    let mut relay = started();
    let reason = Arc::new(Error::new(Code::NAME_INVALID, "row 6"));
    let action = relay.on(ms(200), 0, scan(vec![Pending { cursor: Cursor(6), event: Err(reason) }], false));
    assert!(matches!(action, Action::Park { cursor: Cursor(6), .. }), "{action:?}");
    let again = relay.on(ms(201), 0, Input::Failed(Error::new(Code::DISK_FULL, "the outbox")));
    assert!(matches!(again, Action::Backoff(_)));
    assert!(matches!(relay.on(ms(202), 0, Input::Done), Action::Park { cursor: Cursor(6), .. }));
    assert!(
        matches!(relay.on(ms(203), 0, Input::Done), Action::Append),
        "consumers must know that they do not know"
    );
    assert!(
        relay.batch().iter().all(|append| matches!(append.record, Record::Gap(_)))
            && relay.batch().len() == 2
    );
    assert!(matches!(relay.on(ms(204), 0, Input::Done), Action::Acknowledge(Cursor(6))));
}

#[test]
fn draining_publishes_and_acknowledges_everything_first() {
    let mut relay = started();
    assert!(matches!(relay.on(ms(1), 0, scan(vec![row(6)], true)), Action::Append));
    relay.drain();
    assert!(matches!(relay.on(ms(2), 0, Input::Done), Action::Scan { .. }), "what came since counts too");
    assert!(matches!(relay.on(ms(3), 0, scan(vec![row(7)], true)), Action::Append));
    assert!(matches!(relay.on(ms(4), 0, Input::Done), Action::Acknowledge(Cursor(7))));
    assert!(matches!(relay.on(ms(5), 0, Input::Done), Action::Drained));
}

#[test]
fn fenced_relays_stop() {
    let mut relay = started();
    let action = relay.on(ms(1), 0, Input::Failed(Error::new(Code::FENCED, "a newer relay leads")));
    assert!(matches!(action, Action::Stop(_)));
}

#[test]
fn s111_an_entity_keeps_its_partition() {
    for (id, of_8) in [("42", 1), ("43", 6), ("SKU-1/eu", 1)] {
        let entity = Entity::new("price", id).unwrap();
        let found = partition_of(&entity, 8);
        assert_eq!(found, of_8, "{id}: a change here reorders every deployed topic");
    }
}

#[test]
fn a_scan_from_before_the_drain_does_not_end_it() {
    let mut relay = started();
    relay.drain();
    assert!(matches!(relay.on(ms(1), 0, scan(vec![], true)), Action::Append), "a mark is due");
    assert!(
        matches!(relay.on(ms(2), 0, Input::Done), Action::Scan { .. }),
        "what was committed since the scan began"
    );
    assert!(matches!(relay.on(ms(3), 0, scan(vec![], true)), Action::Drained));
}

#[test]
fn an_acknowledgement_that_cannot_be_made_now_holds_nothing_up() {
    let mut relay = started();
    relay.on(ms(200), 0, scan(vec![row(6)], true));
    assert!(matches!(relay.on(ms(201), 0, Input::Done), Action::Acknowledge(Cursor(6))));
    let locked = Input::Failed(Error::new(Code::BUSY, "the outbox"));
    assert!(matches!(relay.on(ms(202), 0, locked), Action::Wait { .. }));
    relay.on(ms(310), 0, Input::Done);
    relay.on(ms(311), 0, scan(vec![], true));
    assert!(matches!(relay.on(ms(312), 0, Input::Done), Action::Acknowledge(Cursor(6))), "later");
}

#[test]
fn data_that_no_reader_takes_sends_its_news_without_it() {
    let mut relay = started();
    let deep = event("42", 6, Data::Json(("[".repeat(40) + &"]".repeat(40)).into()));
    relay.on(ms(1), 0, scan(vec![Pending { cursor: Cursor(6), event: Ok(deep) }], false));
    assert!(matches!(relay.on(ms(2), 0, Input::Done), Action::Append));
    let sent =
        relay.batch().iter().map(|append| matches!(append.record, Record::Event(_))).collect::<Vec<_>>();
    assert_eq!(sent, [true], "its entity is known, so it is no gap");
}
