//! The drivers on a paused runtime: the same run each time, and what observers hear, in which order.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidings::memory::{MemoryLog, MemoryOutbox};
use tidings::{
    Clock, Consumer, Draft, Entity, Event, Fence, FenceSettings, Observer, Outcome, Partition, Position,
    Relay, Time, Topic, Version, Window,
};
use tidings_core::port::{Append, Log, Record};
use tidings_testkit::faults::{Call, Fault, FaultyLog, FaultyOutbox, Script};
use tokio::time::Instant;

use crate::shop::settle;

/// Writes down what it hears, and when.
struct Scribe {
    name: usize,
    began: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Scribe {
    fn write(&self, what: &str) {
        self.lines.lock().push(format!("{:?} {}: {what}", self.began.elapsed(), self.name));
    }
}

impl Observer for Scribe {
    fn outcomes(&self, outcomes: &[(Arc<Event>, Outcome)]) {
        for (event, outcome) in outcomes {
            self.write(&format!("{} {} {outcome:?}", event.entity, event.stamp));
        }
    }

    fn began(&self, positions: &[Position]) {
        self.write(&format!("began {}", positions.len()));
    }

    fn caught_up(&self, partition: &Partition, time: Time) {
        self.write(&format!("{partition} caught up with {}", time.micros()));
    }

    fn gap(&self, partition: &Partition, why: &str) {
        self.write(&format!("{partition} gap: {why}"));
    }
}

fn draft(id: &str) -> Draft {
    Draft {
        kind: "pricing.Changed".into(),
        entity: Entity::new("price", id).unwrap(),
        version: None,
        window: Window::default(),
        traceparent: None,
        data: tidings::Data::Empty,
    }
}

fn topic() -> Topic {
    Topic::new("pricing").unwrap()
}

fn small() -> FenceSettings {
    FenceSettings { floors: 64, seed: Some(7), ..FenceSettings::default() }
}

/// Six consumers of a log with two partitions that two relays feed; calls fail now and then.
async fn play(commits: u32) -> Vec<String> {
    let (clock, began) = (Clock::of_runtime(Time::from_micros(1_000_000)), Instant::now());
    let dated = || {
        let clock = clock.clone();
        move || clock.wall()
    };
    let log = MemoryLog::with_clock(NonZeroU32::new(2).unwrap(), dated());
    let outbox = MemoryOutbox::with_clock("/pricing", dated());
    let script = Script::seeded(3);
    for call in [Call::Append, Call::Scan, Call::Acknowledge] {
        script.sometimes(call, 0.1, Fault::FailBefore(tidings::Code::BUSY));
    }
    let lines = Arc::new(Mutex::new(Vec::new()));
    let consumers: Vec<_> = (0..6)
        .map(|name| {
            let fence = Fence::new(small(), clock.clone());
            let scribe = Scribe { name, began, lines: lines.clone() };
            let builder = Consumer::builder("copy", log.clone());
            let builder = builder.topics([&topic()]).store(fence).observer(Arc::new(scribe));
            builder.build().unwrap().spawn()
        })
        .collect();
    let relay = || {
        let outbox = FaultyOutbox::new(outbox.clone(), script.clone());
        Relay::new(topic(), outbox, FaultyLog::new(log.clone(), script.clone())).spawn()
    };
    let relays = [relay(), relay()];
    for number in 0..commits {
        tokio::time::advance(Duration::from_millis(u64::from(number % 7))).await;
        outbox.commit(&[draft(&(number % 5).to_string())]).unwrap();
    }
    for running in relays.into_iter().chain(consumers) {
        running.stop(Duration::from_secs(60)).await.unwrap();
    }
    Arc::into_inner(lines).map(Mutex::into_inner).unwrap()
}

#[test]
fn a_run_on_a_paused_clock_can_be_repeated() {
    let run = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(play(100))
    };
    let first = run();
    assert!(first.len() > 6 * 100, "{} lines", first.len());
    for _ in 0..3 {
        let again = run();
        let differs = first.iter().zip(&again).find(|(first, again)| first != again);
        assert_eq!(differs, None);
        assert_eq!(first.len(), again.len());
    }
}

#[tokio::test(start_paused = true)]
async fn observers_hear_of_marks_after_what_they_cover_and_of_gaps_before_what_follows() {
    let (clock, began) = (Clock::of_runtime(Time::from_micros(0)), Instant::now());
    let log = MemoryLog::new(NonZeroU32::MIN);
    let fence = Fence::new(small(), clock);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let scribe = Scribe { name: 0, began, lines: lines.clone() };
    let consumer = Consumer::builder("copy", log.clone())
        .topics([&topic()])
        .store(fence.clone())
        .observer(Arc::new(scribe))
        .build()
        .unwrap()
        .spawn();
    settle().await;
    let epochs = fence.epochs();
    assert_eq!(epochs, 1, "who begins may have missed something");
    let outbox = MemoryOutbox::with_clock("/pricing", || Time::from_micros(5));
    outbox.commit(&[draft("1")]).unwrap();
    let event = tidings_core::port::Outbox::scan(&*outbox, Default::default(), 1).await.unwrap();
    let event = event.rows[0].event.clone().unwrap();
    let mark =
        |micros| Record::Mark(tidings_core::position::Mark { time: Time::from_micros(micros), head: 1 });
    let records = [Record::Gap("a row".into()), Record::Event(event), mark(6)];
    let partition = Partition { topic: topic(), index: 0 };
    let batch = records.map(|record| Append { partition: partition.clone(), record });
    log.append(&batch).await.unwrap();
    settle().await;
    assert_eq!(fence.epochs(), epochs + 1);
    consumer.stop(Duration::from_secs(1)).await.unwrap();
    let lines: Vec<_> = lines.lock().iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    let expected = [
        "0: began 1",
        "0: pricing/0 gap: the source could not publish a row: a row",
        "0: price/1 1 Applied",
        "0: pricing/0 caught up with 6",
    ];
    assert_eq!(lines, expected);
}

/// A fence of any size guards what it is told of.
#[tokio::test]
async fn a_small_fence_is_a_fence() {
    let price = Entity::new("price", "42").unwrap();
    for floors in [1, 64, 5_000, 100_000] {
        let settings = FenceSettings { floors, ..small() };
        let fence = Fence::new(settings, Clock::manual());
        for version in 1..=3 {
            let version = Version::new(version).unwrap();
            fence.raise(&price, tidings::Stamp::of(version));
            assert_eq!(fence.floor(&price).map(|floor| floor.version), Some(version), "of {floors}");
        }
    }
}
