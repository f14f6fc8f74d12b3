//! Faults strike where the script says, the same for the same seed, and nothing but what it says.

use std::num::NonZeroU32;
use std::sync::Arc;

use tidings::memory::{MemoryLog, MemoryOutbox};
use tidings_core::port::{Append, Cursor, Log, Outbox, Read, ReadLimit, Record, Stored};
use tidings_core::{Code, Mark, Offset, Partition, Position, Time, Topic};

use super::{Call, Fault, FaultyLog, FaultyOutbox, Gate, Script};
use crate::conformance::sample;

fn partition() -> Partition {
    Partition { topic: Topic::new("faults").unwrap(), index: 0 }
}

fn at(offset: u64) -> Position {
    Position { partition: partition(), offset: Offset(offset) }
}

fn log(script: &Script) -> Arc<FaultyLog> {
    FaultyLog::new(MemoryLog::new(NonZeroU32::MIN), script.clone())
}

fn write(entity: &str, version: u64) -> Append {
    Append { partition: partition(), record: Record::Event(Arc::new(sample::event(entity, version))) }
}

/// Two entities, a mark, and two entities again.
fn batch() -> Vec<Append> {
    let events =
        |from: u64| (0..10).map(move |n| write(if n % 2 == 0 { "price/1" } else { "price/2" }, from + n / 2));
    let mark = Record::Mark(Mark { time: Time::from_micros(1), head: 1 });
    events(1).chain([Append { partition: partition(), record: mark }]).chain(events(6)).collect()
}

async fn read(log: &Arc<FaultyLog>, from: u64) -> Vec<Stored> {
    match log.read(&at(from), ReadLimit::default()).await.unwrap() {
        Read::Records(records) => records,
        Read::Gap { resume } => panic!("a gap until {resume}"),
    }
}

fn names(records: &[Stored]) -> Vec<String> {
    records
        .iter()
        .map(|stored| match &stored.record {
            Record::Event(event) => event.id.to_string(),
            Record::Mark(_) | Record::Gap(_) => "mark".to_owned(),
            Record::Unreadable(_) => "unreadable".to_owned(),
        })
        .collect()
}

fn is_each_in_order(names: &[String]) -> bool {
    ["price/1", "price/2"].iter().all(|entity| {
        let versions = names.iter().filter_map(|name| name.strip_prefix(&format!("{entity}#")));
        versions.map(|version| version.parse::<u64>().unwrap()).is_sorted()
    })
}

#[tokio::test]
async fn failing_before_leaves_nothing_and_failing_after_leaves_it_done() {
    let script = Script::seeded(1);
    script.once(Call::Append, 0, Fault::FailBefore(Code::BUSY)).once(
        Call::Append,
        2,
        Fault::FailAfter(Code::BUSY),
    );
    let log = log(&script);
    let mut heads = Vec::new();
    for version in 1..=4 {
        let answer = log.append(&[write("price/1", version)]).await;
        heads.push((answer.is_ok(), log.bounds(&partition()).await.unwrap().1.0));
    }
    assert_eq!(heads, [(false, 0), (true, 1), (false, 2), (true, 3)]);
    assert_eq!(names(&read(&log, 0).await), ["price/1#2", "price/1#3", "price/1#4"]);
    assert_eq!((script.met().len(), script.calls(Call::Append)), (2, 4));
}

#[tokio::test]
async fn a_held_call_begins_when_its_gate_opens() {
    let script = Script::seeded(1);
    let gate = Gate::closed();
    script.once(Call::Append, 0, Fault::Hold(gate.clone()));
    let log = log(&script);
    let held = tokio::spawn({
        let log = log.clone();
        async move { log.append(&[write("price/1", 1)]).await }
    });
    gate.arrived(1).await;
    log.append(&[write("price/1", 2)]).await.unwrap();
    assert!(!held.is_finished());
    gate.open();
    held.await.unwrap().unwrap();
    assert_eq!(names(&read(&log, 0).await), ["price/1#2", "price/1#1"]);
}

#[tokio::test]
async fn reordering_keeps_each_entity_and_every_mark_in_place() {
    for call in [Call::Append, Call::Read] {
        let mut orders = Vec::new();
        for seed in 0..10 {
            let script = Script::seeded(seed);
            script.once(call, 0, Fault::Reorder);
            let log = log(&script);
            log.append(&batch()).await.unwrap();
            let names = names(&read(&log, 0).await);
            assert!(is_each_in_order(&names), "seed {seed}: {names:?}");
            assert_eq!(names.iter().position(|name| name == "mark"), Some(10));
            orders.push(names);
        }
        orders.sort();
        orders.dedup();
        assert!(orders.len() > 5, "{call:?}: ten seeds, {} orders", orders.len());
    }
}

#[tokio::test]
async fn each_twist_of_a_read_does_what_it_says_and_only_then() {
    let count = batch().len();
    for seed in 0..10 {
        let script = Script::seeded(seed);
        let faults = [Fault::Double, Fault::Lose, Fault::Garble, Fault::Gap];
        for (nth, fault) in (0..).zip(faults.clone()) {
            script.once(Call::Read, nth, fault);
        }
        let log = log(&script);
        log.append(&batch()).await.unwrap();
        let doubled = read(&log, 0).await;
        assert_eq!(doubled.len(), count + 1);
        assert_eq!(doubled.windows(2).filter(|pair| pair[0].offset == pair[1].offset).count(), 1);
        let lost = read(&log, 0).await;
        assert_eq!(lost.len(), count - 1);
        assert_eq!(lost.last().map(|stored| stored.offset.0), Some(count as u64 - 1), "never the last");
        let garbled = names(&read(&log, 0).await);
        assert_eq!(garbled.iter().filter(|name| *name == "unreadable").count(), 1);
        let gap = log.read(&at(0), ReadLimit::default()).await.unwrap();
        assert!(matches!(gap, Read::Gap { resume } if resume.0 == count as u64), "{gap:?}");
        assert_eq!(read(&log, 0).await.len(), count, "after the script");
        assert_eq!(script.met().len(), faults.len());
    }
}

#[tokio::test]
async fn a_doubled_append_is_written_twice_as_a_whole() {
    let script = Script::seeded(1);
    script.once(Call::Append, 0, Fault::Double);
    let log = log(&script);
    log.append(&batch()).await.unwrap();
    let names = names(&read(&log, 0).await);
    let (first, second) = names.split_at(batch().len());
    assert_eq!(first, second);
}

#[tokio::test]
async fn the_same_seed_meets_the_same_faults_until_it_heals() {
    let mut runs = Vec::new();
    for (seed, reads_between) in [(7, 0), (7, 3), (8, 0)] {
        let script = Script::seeded(seed);
        script.sometimes(Call::Append, 0.3, Fault::FailBefore(Code::BUSY));
        script.sometimes(Call::Append, 0.3, Fault::FailAfter(Code::BUSY));
        let log = log(&script);
        for version in 1..=100 {
            let _ = log.append(&[write("price/1", version)]).await;
            for _ in 0..reads_between {
                let _ = log.bounds(&partition()).await;
            }
        }
        let met: Vec<_> = script.met().iter().map(|(_, nth, fault)| format!("{nth} {fault:?}")).collect();
        assert!((30..80).contains(&met.len()), "{} of 100 calls", met.len());
        script.heal();
        for version in 101..=200 {
            log.append(&[write("price/1", version)]).await.unwrap();
        }
        runs.push(met);
    }
    assert_eq!(runs[0], runs[1], "calls of other kinds in between change nothing");
    assert_ne!(runs[0], runs[2], "another seed does");
}

#[tokio::test]
async fn an_outbox_row_comes_twice_or_unreadable() {
    let script = Script::seeded(1);
    script.once(Call::Scan, 0, Fault::Double).once(Call::Scan, 1, Fault::Garble);
    script.once(Call::Acknowledge, 0, Fault::FailAfter(Code::BUSY));
    let inner = MemoryOutbox::new("/faults");
    inner.commit(&[sample::draft("price/1", None), sample::draft("price/1", None)]).unwrap();
    let outbox = FaultyOutbox::new(inner, script);
    assert_eq!(outbox.scan(Cursor(0), 10).await.unwrap().rows.len(), 3);
    let garbled = outbox.scan(Cursor(0), 10).await.unwrap().rows;
    assert_eq!(garbled.iter().filter(|row| row.event.is_err()).count(), 1);
    assert!(outbox.acknowledge(Cursor(1)).await.is_err());
    assert_eq!(outbox.acknowledged().await.unwrap(), Cursor(1), "done, but the answer was lost");
}

#[test]
#[should_panic(expected = "Gap cannot happen to Append")]
fn a_script_refuses_what_cannot_happen() {
    Script::seeded(1).once(Call::Append, 0, Fault::Gap);
}
