use std::sync::Arc;

use super::*;
use crate::decision::Action as Effect;
use crate::entity::Entity;
use crate::error::Code;
use crate::event::Data;
use crate::port::Record;
use crate::position::Mark;
use crate::time::{Time, Window};
use crate::version::{Stamp, Version};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Invalidates; cannot read the data "bad"; panics on "worse".
struct Rules;

impl Decide for Rules {
    fn decide(&self, event: &Event) -> Result<Vec<Decision>> {
        match &event.data {
            Data::Json(text) if &**text == "bad" => Err(Error::new(Code::DATA_UNREADABLE, "bad")),
            Data::Json(text) if &**text == "worse" => panic!("worse"),
            _ => Ok(vec![Decision::Invalidate]),
        }
    }
}

fn event(offset: u64, id: &str, version: u64, data: &str) -> Stored {
    let event = Event {
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
        data: Data::Json(data.into()),
    };
    Stored { offset: Offset(offset), record: Record::Event(Arc::new(event)) }
}

fn mark(offset: u64, micros: i64) -> Stored {
    Stored { offset: Offset(offset), record: Record::Mark(Mark { time: Time::from_micros(micros), head: 0 }) }
}

fn records(records: Vec<Stored>) -> Input {
    Input::Read(Read::Records(records))
}

fn step(consumer: &mut Consumer, now: u64, input: Input) -> Action {
    consumer.on(ms(now), 0, &Rules, input)
}

fn started(durable: bool) -> Consumer {
    let mut consumer = Consumer::new(durable, Settings::default());
    assert!(matches!(step(&mut consumer, 0, Input::Started(Offset(3))), Action::Read(Offset(3))));
    consumer
}

fn outcomes(consumer: &mut Consumer) -> Vec<(u64, Outcome)> {
    consumer.outcomes().into_iter().map(|(event, outcome)| (event.stamp.version.number(), outcome)).collect()
}

#[test]
fn s107_many_events_on_one_entity_become_one_action_at_the_newest_version() {
    let planned =
        plan(&[event(3, "42", 7, ""), event(4, "42", 9, ""), event(5, "42", 8, ""), mark(6, 77)], &Rules);
    let floor = Stamp::of(Version::new(9).unwrap());
    assert_eq!(planned.actions, [Effect::Raise { entity: Entity::new("price", "42").unwrap(), floor }]);
    let outcomes: Vec<_> = planned.outcomes.iter().map(|(_, outcome)| *outcome).collect();
    assert_eq!(outcomes, [Outcome::Superseded, Outcome::Applied, Outcome::Superseded]);
    assert_eq!((planned.caught_up, planned.next), (Some(Time::from_micros(77)), Some(Offset(7))));
}

#[test]
fn a_position_is_committed_only_after_its_effect() {
    let mut consumer = started(true);
    assert!(matches!(step(&mut consumer, 1, records(vec![event(3, "42", 7, "")])), Action::Apply));
    assert!(outcomes(&mut consumer).is_empty(), "nothing has happened yet");
    let busy = Input::Failed(Error::new(Code::BUSY, "the store"));
    assert!(matches!(step(&mut consumer, 300, busy), Action::Backoff(_)));
    assert!(matches!(step(&mut consumer, 310, Input::Done), Action::Apply), "again, and nothing in between");
    assert!(matches!(step(&mut consumer, 320, Input::Done), Action::Commit(Offset(4))));
    assert_eq!(outcomes(&mut consumer), [(7, Outcome::Applied)]);
    assert!(matches!(step(&mut consumer, 321, Input::Done), Action::Read(Offset(4))));
}

#[test]
fn a_copy_that_starts_empty_commits_nothing() {
    let mut consumer = started(false);
    step(&mut consumer, 1, records(vec![event(3, "42", 7, "")]));
    assert!(matches!(step(&mut consumer, 9_000, Input::Done), Action::Read(Offset(4))));
    assert!(matches!(step(&mut consumer, 9_001, records(vec![])), Action::Wait(Offset(4), None)));
}

#[test]
fn s56_a_poison_event_is_parked_with_its_entity_fenced_and_the_partition_moves_on() {
    for poison in ["bad", "worse"] {
        let mut consumer = started(true);
        let batch = vec![event(3, "41", 1, ""), event(4, "42", 7, poison), event(5, "43", 1, "")];
        assert!(
            matches!(step(&mut consumer, 1, records(batch)), Action::Park),
            "parked before anything else"
        );
        let floors: Vec<_> = consumer.planned().actions.iter().map(|action| format!("{action:?}")).collect();
        assert_eq!(floors.len(), 4, "the poisoned entity's floor rises too, and every region: {floors:?}");
        assert_eq!(consumer.planned().events.len(), 2, "stores do not see it");
        assert!(matches!(step(&mut consumer, 2, Input::Done), Action::Apply));
        assert!(matches!(step(&mut consumer, 3, Input::Done), Action::Read(Offset(6))));
        assert_eq!(
            outcomes(&mut consumer),
            [(1, Outcome::Applied), (7, Outcome::Parked), (1, Outcome::Applied)],
            "{poison}"
        );
    }
}

#[test]
fn an_event_that_a_store_refuses_is_found_and_parked_alone() {
    let mut consumer = started(true);
    let batch = vec![event(3, "41", 1, ""), event(4, "42", 2, "refused"), event(5, "43", 3, ""), mark(6, 77)];
    let mut action = step(&mut consumer, 1, records(batch));
    let mut parked = 0;
    for now in 2.. {
        let input = match &action {
            Action::Apply
                if consumer.planned().events.iter().any(|e| e.data == Data::Json("refused".into())) =>
            {
                Input::Failed(Error::new(Code::DATA_UNREADABLE, "the projection"))
            }
            Action::Park => {
                parked += 1;
                Input::Done
            }
            Action::Apply => Input::Done,
            Action::Read(offset) => {
                assert_eq!(*offset, Offset(7));
                break;
            }
            other => panic!("{other:?}"),
        };
        action = step(&mut consumer, now, input);
    }
    assert_eq!(parked, 1);
    assert_eq!(outcomes(&mut consumer), [(1, Outcome::Applied), (2, Outcome::Parked), (3, Outcome::Applied)]);
}

#[test]
fn s54_a_gap_opens_an_epoch_and_is_never_skipped_silently() {
    let mut consumer = started(true);
    let action = step(&mut consumer, 1, Input::Read(Read::Gap { resume: Offset(90) }));
    assert!(matches!(&action, Action::OpenEpoch(why) if why.contains("from 3 to 90")), "{action:?}");
    let failed = Input::Failed(Error::new(Code::BUSY, "the store"));
    assert!(matches!(step(&mut consumer, 2, failed), Action::Backoff(_)));
    assert!(matches!(step(&mut consumer, 3, Input::Done), Action::OpenEpoch(_)), "until it is opened");
    assert!(matches!(step(&mut consumer, 4, Input::Done), Action::Read(Offset(90))));
}

#[test]
fn an_unreadable_record_is_a_gap_and_the_rest_of_the_batch_still_counts() {
    let mut consumer = started(true);
    let unreadable = Arc::new(Error::new(Code::RECORD_UNREADABLE, "not JSON"));
    let bad = Stored { offset: Offset(3), record: Record::Unreadable(unreadable) };
    assert!(matches!(
        step(&mut consumer, 1, records(vec![bad, event(4, "42", 1, "")])),
        Action::OpenEpoch(_)
    ));
    assert!(matches!(step(&mut consumer, 2, Input::Done), Action::Apply));
    assert!(matches!(step(&mut consumer, 3, Input::Done), Action::Read(Offset(5))));
}

#[test]
fn draining_applies_and_commits_everything_first() {
    let mut consumer = started(true);
    consumer.drain();
    assert!(matches!(step(&mut consumer, 1, records(vec![event(3, "42", 7, "")])), Action::Apply));
    assert!(matches!(step(&mut consumer, 2, Input::Done), Action::Read(Offset(4))));
    assert!(matches!(step(&mut consumer, 3, records(vec![])), Action::Commit(Offset(4))));
    assert!(matches!(step(&mut consumer, 4, Input::Done), Action::Read(Offset(4))));
    assert!(matches!(step(&mut consumer, 5, records(vec![])), Action::Drained));
}

#[test]
fn a_store_that_refuses_even_the_fence_of_a_parked_event_stops_its_consumer() {
    let mut consumer = started(true);
    let mut action = step(&mut consumer, 1, records(vec![event(3, "42", 1, "")]));
    for now in 2..10 {
        action = match action {
            Action::Apply => {
                let refused = Input::Failed(Error::new(Code::NAME_INVALID, "the store"));
                step(&mut consumer, now, refused)
            }
            Action::Park => step(&mut consumer, now, Input::Done),
            other => return assert!(matches!(other, Action::Stop(_)), "{other:?}"),
        };
    }
    panic!("it goes round and round: {action:?}");
}

#[test]
fn an_older_event_is_not_superseded_by_one_that_is_parked() {
    let planned = plan(&[event(3, "42", 7, ""), event(4, "42", 8, "bad")], &Rules);
    let outcomes: Vec<_> = planned.outcomes.iter().map(|(_, outcome)| *outcome).collect();
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Parked]);
}

#[test]
fn what_a_parked_event_may_have_touched_is_fenced_and_if_nobody_knows_it_is_a_gap() {
    struct Panics;
    impl Decide for Panics {
        fn decide(&self, _: &Event) -> Result<Vec<Decision>> {
            Err(Error::new(Code::DATA_UNREADABLE, "bad"))
        }
        fn when_parked(&self, _: &Event) -> Vec<Decision> {
            panic!("no idea")
        }
    }
    let planned = plan(&[event(3, "42", 7, "bad")], &Rules);
    assert!(
        matches!(planned.actions.as_slice(), [Effect::Raise { .. }, Effect::Bump { .. }]),
        "every region"
    );
    let planned = plan(&[event(3, "42", 7, "bad")], &Panics);
    assert!(planned.gap.is_some() && planned.actions.len() == 1, "{planned:?}");
}

#[test]
fn a_read_from_before_the_drain_does_not_end_it() {
    let mut consumer = started(false);
    consumer.drain();
    assert!(
        matches!(step(&mut consumer, 1, records(vec![])), Action::Read(Offset(3))),
        "what was appended since"
    );
    assert!(matches!(step(&mut consumer, 2, records(vec![])), Action::Drained));
}

#[test]
fn one_that_leaves_finishes_what_is_planned_commits_it_and_reads_no_further() {
    let mut consumer = started(true);
    assert!(matches!(step(&mut consumer, 1, records(vec![event(3, "42", 1, "")])), Action::Apply));
    consumer.leave();
    assert!(matches!(step(&mut consumer, 2, Input::Done), Action::Commit(Offset(4))));
    let failed = Input::Failed(Error::new(Code::BUSY, "the log"));
    assert!(matches!(step(&mut consumer, 3, failed), Action::Backoff(_)));
    assert!(matches!(step(&mut consumer, 4, Input::Done), Action::Commit(Offset(4))), "tried again");
    assert!(matches!(step(&mut consumer, 5, Input::Done), Action::Drained));
}

#[test]
fn one_that_leaves_while_it_reads_or_waits_applies_nothing_more() {
    let mut consumer = started(true);
    consumer.leave();
    assert!(matches!(step(&mut consumer, 1, records(vec![event(3, "42", 1, "")])), Action::Drained));
    let mut consumer = started(true);
    assert!(matches!(step(&mut consumer, 1, records(vec![])), Action::Wait(..)));
    consumer.leave();
    assert!(matches!(step(&mut consumer, 2, Input::Done), Action::Drained));
}

#[test]
fn after_a_gap_that_leads_back_the_earlier_position_is_committed() {
    let mut consumer = started(true);
    let gap = Input::Read(Read::Gap { resume: Offset(0) });
    assert!(matches!(step(&mut consumer, 1, gap), Action::OpenEpoch(_)));
    assert!(matches!(step(&mut consumer, 2, Input::Done), Action::Read(Offset(0))));
    assert!(matches!(step(&mut consumer, 3, records(vec![event(0, "42", 1, "")])), Action::Apply));
    assert!(matches!(step(&mut consumer, 300, Input::Done), Action::Commit(Offset(1))));
}
