//! From a commit to an answer that is no longer served: relay, log, consumer and fence together, in memory, with
//! whatever can go wrong between them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidings::memory::{MemoryLog, MemoryOutbox};
use tidings::{
    Clock, Consumer, Decision, DomainEvent, Draft, Entity, Event, Fence, FenceSettings, Observer, Outcome,
    Region, Relay, Running, Start, Topic,
};
use tidings_core::port::{Log, Outbox, Parking};
use tidings_testkit::faults::{Call, Fault, FaultyLog, FaultyOutbox, Script};
use tidings_testkit::{Disorder, Reorder, assert_converged, deliveries};

use crate::shop::{DEADLINE, stamp, within};

#[derive(Serialize, Deserialize, DomainEvent)]
#[event(context = "pricing", entity = "price", key = "sku")]
struct PriceChanged {
    sku: String,
}

fn changed(sku: u64) -> Draft {
    PriceChanged { sku: sku.to_string() }.draft().unwrap()
}

#[derive(Default)]
struct Heard(Mutex<Vec<(Arc<Event>, Outcome)>>);

impl Observer for Heard {
    fn outcomes(&self, outcomes: &[(Arc<Event>, Outcome)]) {
        self.0.lock().extend_from_slice(outcomes);
    }
}

struct Flow {
    outbox: Arc<MemoryOutbox>,
    log: Arc<MemoryLog>,
    fence: Arc<Fence>,
    heard: Arc<Heard>,
    topic: Topic,
}

impl Flow {
    fn new() -> Self {
        Self {
            outbox: MemoryOutbox::new("/pricing"),
            log: MemoryLog::new(NonZeroU32::new(3).unwrap()),
            fence: Fence::new(FenceSettings::default(), Clock::system()),
            heard: Arc::default(),
            topic: Topic::new("pricing").unwrap(),
        }
    }

    fn relay(&self, outbox: Arc<dyn Outbox>, log: Arc<dyn Log>) -> Running {
        Relay::new(self.topic.clone(), outbox, log).spawn()
    }

    fn consumer(&self, start: Start) -> Running {
        Consumer::builder("experience", self.log.clone())
            .topics([&self.topic])
            .start(start)
            .on(|_: &PriceChanged, _| Decision::Invalidate)
            .store(self.fence.clone())
            .observer(self.heard.clone())
            .build()
            .unwrap()
            .spawn()
    }

    fn floors(&self, skus: u64) -> Vec<(u64, Option<u64>)> {
        let floor = |sku| self.fence.floor(&Entity::new("price", &format!("{sku}")).unwrap());
        (0..skus).map(|sku| (sku, floor(sku).map(|floor| floor.version.number()))).collect()
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        let reached = async {
            while !what(self) {
                tokio::task::yield_now().await;
            }
        };
        within(reached).await;
    }
}

#[tokio::test]
async fn s27_a_commit_raises_the_floor_and_bounds_the_age_at_its_consumer() {
    let flow = Flow::new();
    let (relay, consumer) = (flow.relay(flow.outbox.clone(), flow.log.clone()), flow.consumer(Start::Head));
    flow.until(|flow| flow.fence.caught_up(&flow.topic).is_some()).await;
    flow.outbox.commit(&[changed(1), changed(1), changed(2)]).unwrap();
    flow.until(|flow| flow.floors(3) == [(0, None), (1, Some(2)), (2, Some(1))]).await;
    relay.stop(DEADLINE).await.unwrap();
    consumer.stop(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn s9_s26_whatever_fails_between_them_every_commit_arrives_and_nothing_goes_back() {
    const SKUS: u64 = 20;
    for seed in 1..=20 {
        let flow = Flow::new();
        let script = Script::seeded(seed);
        for call in [Call::Append, Call::Scan, Call::Acknowledge] {
            script.sometimes(call, 0.2, Fault::FailBefore(tidings::Code::BUSY));
        }
        for call in [Call::Append, Call::Acknowledge] {
            script.sometimes(call, 0.2, Fault::FailAfter(tidings::Code::BUSY));
        }
        let outbox = FaultyOutbox::new(flow.outbox.clone(), script.clone());
        let log = FaultyLog::new(flow.log.clone(), script.clone());
        // Two relays of one outbox: each sends what the other sends too.
        let relays = [flow.relay(outbox.clone(), log.clone()), flow.relay(outbox, log)];
        let consumer = flow.consumer(Start::Group);
        for round in 0..30 {
            let drafts: Vec<_> = (0..SKUS).filter(|sku| (sku + round) % 3 != 0).map(changed).collect();
            flow.outbox.commit(&drafts).unwrap();
            tokio::task::yield_now().await;
        }
        script.heal();
        for relay in relays {
            within(relay.stop(DEADLINE)).await.unwrap();
        }
        within(consumer.stop(DEADLINE)).await.unwrap();
        let expected: Vec<_> = (0..SKUS).map(|sku| (sku, Some(20))).collect();
        assert_converged(expected, [("the fence", flow.floors(SKUS))]);
        assert!(!script.met().is_empty(), "seed {seed}: no fault was met");
        every_commit_is_accounted_for(&flow, SKUS * 20, seed);
    }
}

fn every_commit_is_accounted_for(flow: &Flow, commits: u64, seed: u64) {
    let heard = flow.heard.0.lock();
    let mut ids: Vec<_> = heard.iter().map(|(event, _)| event.id.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len() as u64, commits, "seed {seed}");
}

#[tokio::test]
async fn s53_a_consumer_that_is_killed_goes_on_where_its_effects_end() {
    let flow = Flow::new();
    let relay = flow.relay(flow.outbox.clone(), flow.log.clone());
    for round in 1..=10 {
        let consumer = flow.consumer(Start::Group);
        flow.outbox.commit(&[changed(round % 3), changed(7)]).unwrap();
        flow.until(|flow| flow.floors(8).last() == Some(&(7, Some(round)))).await;
        // Not stopped: dropped in the middle of whatever it does.
        drop(consumer);
    }
    let consumer = flow.consumer(Start::Group);
    relay.stop(DEADLINE).await.unwrap();
    consumer.stop(DEADLINE).await.unwrap();
    every_commit_is_accounted_for(&flow, 20, 0);
}

#[tokio::test]
async fn s56_s57_what_cannot_be_read_is_parked_and_its_entity_is_fenced() {
    let flow = Flow::new();
    let (relay, consumer) = (flow.relay(flow.outbox.clone(), flow.log.clone()), flow.consumer(Start::Group));
    let unreadable = Draft { data: tidings::Data::Json("{\"other\":1}".into()), ..changed(1) };
    flow.outbox.commit(&[changed(0), unreadable, changed(2)]).unwrap();
    flow.until(|flow| flow.floors(3) == [(0, Some(1)), (1, Some(1)), (2, Some(1))]).await;
    relay.stop(DEADLINE).await.unwrap();
    consumer.stop(DEADLINE).await.unwrap();
    let (parked, total) = flow.log.parked("experience", 10).await.unwrap();
    assert_eq!((parked.len(), total), (1, 1));
    let reason = parked[0].reason.to_string();
    assert!(reason.contains("price/1") && reason.contains("TD1011"), "{reason}");
}

#[tokio::test]
async fn s54_a_gap_in_the_log_leaves_nothing_vouched_for() {
    let flow = Flow::new();
    let view = tidings::View::<u64, u64>::builder("product", &flow.fence)
        .truth(tidings::Truth::Push(Duration::from_secs(2)))
        .build()
        .unwrap();
    let relay = flow.relay(flow.outbox.clone(), flow.log.clone());
    flow.outbox.commit(&[changed(1)]).unwrap();
    relay.stop(DEADLINE).await.unwrap();
    // Everything was removed before this consumer ever ran.
    let everything = tidings_core::port::Retention { age: Some(Duration::ZERO), bytes: None };
    assert!(flow.log.retain(everything).await.unwrap() > 0);
    within(view.get(&1, |_| async { Ok(tidings::Loaded::unversioned(1)) })).await.unwrap();
    let consumer = Consumer::builder("experience", flow.log.clone())
        .topics([&flow.topic])
        .start(Start::Group)
        .store(flow.fence.clone())
        .build()
        .unwrap();
    let counts = consumer.counts();
    let consumer = consumer.spawn();
    flow.until(|_| counts.gaps() > 0).await;
    assert!(view.cached(&1).is_none());
    consumer.stop(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_panic_in_a_handler_costs_one_event_and_a_panic_in_a_driver_is_reported() {
    struct Broken;
    impl tidings_core::port::Store for Broken {
        fn apply<'a>(
            &'a self,
            _: tidings_core::port::Batch<'a>,
        ) -> tidings_core::port::Boxed<'a, tidings::Result<()>> {
            panic!("a store with a defect")
        }
        fn open_epoch<'a>(&'a self, _: &'a str) -> tidings_core::port::Boxed<'a, tidings::Result<()>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }
    let flow = Flow::new();
    let relay = flow.relay(flow.outbox.clone(), flow.log.clone());
    let consumer =
        Consumer::builder("broken", flow.log.clone()).topics([&flow.topic]).store(Arc::new(Broken));
    let mut consumer = consumer.build().unwrap().spawn();
    flow.outbox.commit(&[changed(1)]).unwrap();
    let error = within(consumer.finished()).await.unwrap_err();
    assert!(error.to_string().contains("the consumer broken panicked"), "{error}");
    relay.stop(DEADLINE).await.unwrap();
}

#[test]
fn s52_i9_any_order_and_any_repetition_ends_in_the_same_floors() {
    let events: Vec<Event> = (0..60_u64)
        .map(|n| Event {
            id: n.to_string().into(),
            source: "/pricing".into(),
            kind: "pricing.PriceChanged".into(),
            entity: Entity::new("price", &(n % 5).to_string()).unwrap(),
            stamp: stamp(n / 5 + 1),
            time: tidings::Time::from_micros(0),
            window: tidings::Window::default(),
            traceparent: None,
            schema: None,
            extensions: Vec::new(),
            data: tidings::Data::Empty,
        })
        .collect();
    for seed in 0..50 {
        let disorder = Disorder { reorder: Reorder::Anywhere, double: 0.5, drop: 0.0 };
        let fence = Fence::new(FenceSettings::default(), Clock::manual());
        for event in deliveries(&events, seed, disorder) {
            fence.raise(&event.entity, event.stamp);
        }
        let floors = (0..5_u64).map(|n| (n, fence.floor(&Entity::new("price", &n.to_string()).unwrap())));
        assert_converged(
            (0..5_u64).map(|n| (n, Some(stamp(12)))),
            [("the fence", floors.collect::<Vec<_>>())],
        );
    }
}

#[test]
fn a_consumer_that_lacks_something_is_refused() {
    let flow = Flow::new();
    let build = |builder: tidings::ConsumerBuilder| builder.build().map(|_| ()).unwrap_err().to_string();
    let consumer = || Consumer::builder("experience", flow.log.clone());
    let twice = || {
        let decide = |_: &PriceChanged, _: &Event| Decision::Bump(Region::new("a", "b").unwrap());
        consumer().topics([&flow.topic]).store(flow.fence.clone()).on(decide).on(decide)
    };
    for (error, says) in [
        (build(consumer()), "no topic"),
        (build(consumer().topics([&flow.topic])), "no store"),
        (build(twice()), "two handlers for pricing.PriceChanged"),
    ] {
        assert!(error.contains(says) && error.contains("consumer experience"), "{error}");
    }
}
