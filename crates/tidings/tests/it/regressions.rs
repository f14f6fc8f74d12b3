//! What an attack on the fence, the views and the drivers once found; each fails if its guard is removed.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::memory::{MemoryLog, MemoryOutbox};
use tidings::{
    BoxError, Cached, Clock, Code, Consumer, Data, Decision, DomainEvent, Draft, Entity, Error, Event, Fence,
    FenceSettings, Fill, Freshness, Loaded, Offset, Partition, Path, Position, Region, Relay, Result, Stamp,
    Start, Time, Timeline, Topic, Truth, View, Window,
};
use tidings_core::Plan;
use tidings_core::port::{Batch, Boxed, Store};
use tidings_testkit::until;

use crate::shop::{BOUND, DEADLINE, Pause, Rule, Shop, Source, load, settle, stamp, v, within};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn key() -> String {
    "k".to_owned()
}

fn topic() -> Topic {
    Topic::new("pricing").unwrap()
}

fn partition() -> Partition {
    Partition { topic: topic(), index: 0 }
}

fn price() -> Entity {
    Entity::new("price", "42").unwrap()
}

impl Shop {
    async fn begin(&self) {
        self.fence.begin("shop", &[partition()]).await.unwrap();
    }

    async fn mark(&self) {
        let next = Position { partition: partition(), offset: Offset(1) };
        let caught_up = Some(self.clock.wall());
        let batch =
            Batch { consumer: "shop", actions: &[], events: &[], parked: &[], next: &next, caught_up };
        self.fence.apply(batch).await.unwrap();
    }

    async fn decide(&self, decided: &[(&Arc<Event>, Decision)]) {
        let mut plan = Plan::default();
        for (event, decision) in decided {
            plan.add(event, vec![decision.clone()]);
        }
        let (actions, next) = (plan.into_actions(), Position { partition: partition(), offset: Offset(1) });
        let batch = Batch {
            consumer: "shop",
            actions: &actions,
            events: &[],
            parked: &[],
            next: &next,
            caught_up: None,
        };
        self.fence.apply(batch).await.unwrap();
    }
}

fn event(kind: &str, version: u64) -> Arc<Event> {
    Arc::new(Event {
        id: version.to_string().into(),
        source: "/pricing".into(),
        kind: kind.into(),
        entity: price(),
        stamp: stamp(version),
        time: Time::from_micros(0),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: vec![],
        data: Data::Empty,
    })
}

/// How old an answer says it may be.
fn claimed<V>(hit: &Cached<V>) -> Duration {
    match hit.freshness() {
        Freshness::Within(age) => age,
        Freshness::Fresh | Freshness::Direct => Duration::ZERO,
        Freshness::Stale(_) | Freshness::Unverified => Duration::MAX,
    }
}

fn old(version: u64) -> impl Fn(Fill) -> std::future::Ready<Result<Loaded<u64>, BoxError>> {
    move |fill| {
        fill.depends("price", "42", v(version));
        std::future::ready(Ok(Loaded::new(v(version), version)))
    }
}

#[tokio::test]
async fn marks_do_not_vouch_for_a_state_from_before_the_consumer_began() {
    let shop = Shop::open(Rule::On);
    let view =
        shop.builder().truth(Truth::Push(Duration::from_secs(10))).sources([&topic()]).build().unwrap();
    let replica = shop.clock.wall();
    shop.clock.advance(ms(3_000));
    // Version 2 is committed and published here, before the head that the consumer begins at.
    let committed = shop.clock.elapsed();
    shop.clock.advance(ms(1_000));
    shop.begin().await;
    let lagging = |fill: Fill| async move {
        fill.as_of(replica);
        old(1)(fill).await
    };
    within(view.get(&key(), lagging)).await.unwrap();
    shop.clock.advance(ms(1_000));
    shop.mark().await;
    let honest = |hit: Cached<u64>| claimed(&hit) >= shop.clock.elapsed() - committed;
    assert!(view.cached(&key()).is_none_or(honest));
}

#[tokio::test]
async fn r6_marks_do_not_vouch_for_what_lagged_behind_news_already_heard() {
    let shop = Shop::open(Rule::On);
    shop.begin().await;
    let view =
        shop.builder().truth(Truth::Push(Duration::from_secs(10))).sources([&topic()]).build().unwrap();
    let replica = shop.clock.wall();
    shop.clock.advance(ms(3_000));
    let committed = shop.clock.elapsed();
    shop.hear("price", "42", 2);
    shop.clock.advance(ms(1_000));
    let lagging = |fill: Fill| async move {
        fill.depends_unversioned("price", "42");
        fill.as_of(replica);
        Ok(Loaded::unversioned(1))
    };
    within(view.get(&key(), lagging)).await.unwrap();
    shop.mark().await;
    let honest = |hit: Cached<u64>| claimed(&hit) >= shop.clock.elapsed() - committed;
    assert!(view.cached(&key()).is_none_or(honest));
}

#[tokio::test]
async fn what_lags_in_step_with_this_copy_is_vouched_for() {
    let shop = Shop::open(Rule::On);
    shop.begin().await;
    let view = shop.builder().sources([&topic()]).build().unwrap();
    shop.clock.advance(ms(500));
    let in_step = |fill: Fill| {
        fill.depends_on_region("category", "lamps");
        fill.as_of(shop.clock.wall().minus(ms(300)));
        fill.in_step();
        std::future::ready(Ok(Loaded::unversioned(1)))
    };
    within(view.get(&key(), in_step)).await.unwrap();
    shop.clock.advance(BOUND);
    shop.mark().await;
    assert!(view.cached(&key()).is_some());
}

/// A mark is published after the floors that it vouches for, so it must be read before them.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_mark_vouches_for_a_floor_that_was_read_before_it() {
    const ROUNDS: u64 = 4_000;
    let shop = Shop::open(Rule::On);
    shop.begin().await;
    let view =
        shop.builder().truth(Truth::Push(Duration::from_secs(3_600))).sources([&topic()]).build().unwrap();
    let committed: Arc<Vec<AtomicU64>> =
        Arc::new((0..ROUNDS + 2).map(|_| AtomicU64::new(u64::MAX)).collect());
    let (done, lies) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let (view, clock, committed) = (view.clone(), shop.clock.clone(), committed.clone());
            let (done, lies) = (done.clone(), lies.clone());
            std::thread::spawn(move || {
                while done.load(Ordering::Relaxed) == 0 {
                    let began = clock.elapsed();
                    let Some(hit) = view.cached(&key()) else { continue };
                    let successor = usize::try_from(hit.value().unwrap() + 1).unwrap();
                    let successor = committed[successor].load(Ordering::SeqCst);
                    if u128::from(successor) < began.saturating_sub(claimed(&hit)).as_nanos() {
                        lies.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for round in 1..=ROUNDS {
        view.get(&key(), old(round)).await.unwrap();
        shop.mark().await;
        let successor = usize::try_from(round + 1).unwrap();
        committed[successor].store(u64::try_from(shop.clock.elapsed().as_nanos()).unwrap(), Ordering::SeqCst);
        // Its news takes half a second, and comes together with a mark.
        shop.clock.advance(ms(500));
        // The readers must be at it when the news comes, or nothing is shown.
        (0..2_000).for_each(|_| std::hint::spin_loop());
        shop.hear("price", "42", round + 1);
        shop.mark().await;
    }
    done.store(1, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(lies.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_update_changes_only_the_version_just_before_it() {
    let shop = Shop::open(Rule::On);
    let view: View<String, (u64, u64)> = View::builder("product", &shop.fence)
        .truth(Truth::Push(BOUND))
        .keys(|text| Some(text.to_owned()))
        .updated_by(|_, old: &(u64, u64), event: &Event| {
            let version = event.stamp.version.number();
            Some(if &*event.kind == "p.Amount" { (version, old.1) } else { (old.0, version) })
        })
        .build()
        .unwrap();
    let update = || Decision::update("product", "k");
    let first = |fill: Fill| async move {
        fill.depends("price", "42", v(1));
        Ok(Loaded::new(v(1), (1, 1)))
    };
    let cached = || view.cached(&key()).map(|hit| (*hit.value().unwrap(), hit.version()));
    within(view.get(&key(), first)).await.unwrap();
    // Two parts of the state in one batch: both count.
    shop.decide(&[(&event("p.Amount", 2), update()), (&event("p.Label", 3), update())]).await;
    assert_eq!(cached(), Some(((2, 3), Some(v(3)))));
    // What was invalidated does not come back by the update after it.
    shop.decide(&[(&event("p.Amount", 4), Decision::Invalidate)]).await;
    shop.decide(&[(&event("p.Label", 5), update())]).await;
    assert_eq!(cached(), None);
}

#[tokio::test]
async fn an_update_does_not_revive_what_the_fence_had_to_forget() {
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(100));
    let settings = FenceSettings { floors: 256, keep: Duration::from_secs(10), ..FenceSettings::default() };
    let shop = Shop { fence: Fence::new(settings, clock.clone()), clock };
    shop.begin().await;
    let builder = shop.builder().sources([&topic()]).keys(|text| Some(text.to_owned()));
    let view = builder.updated_by(|_, old, _| Some(old + 100)).build().unwrap();
    let two = |fill: Fill| async move {
        fill.depends("price", "42", v(1));
        fill.depends("stock", "42", v(7));
        Ok(Loaded::unversioned(7))
    };
    within(view.get(&key(), two)).await.unwrap();
    shop.hear("stock", "42", 8);
    (0..3_000).for_each(|n| shop.hear("other", &n.to_string(), 1));
    shop.clock.advance(Duration::from_secs(20));
    assert_eq!(shop.fence.floor(&Entity::new("stock", "42").unwrap()), None, "it is forgotten");
    shop.mark().await;
    shop.decide(&[(&event("p.Changed", 2), Decision::update("product", "k"))]).await;
    assert!(view.cached(&key()).is_none());
}

#[tokio::test]
async fn a_panic_in_an_update_leaves_the_answer_invalidated_and_the_consumer_alive() {
    let shop = Shop::open(Rule::On);
    let builder = shop.builder().keys(|text| Some(text.to_owned()));
    let view = builder.updated_by(|_, _, _| panic!("as the test wants")).build().unwrap();
    within(view.get(&key(), old(1))).await.unwrap();
    shop.decide(&[(&event("p.Changed", 2), Decision::update("product", "k"))]).await;
    assert!(view.cached(&key()).is_none());
    assert_eq!(view.counts().defects, 1);
}

#[tokio::test]
async fn clearing_reaches_the_load_in_flight() {
    let (shop, source, pause) = (Shop::open(Rule::On), Source::at(1), Pause::first());
    let view = shop.view();
    let reader = tokio::spawn({
        let (view, source, pause) = (view.clone(), source.clone(), pause.clone());
        async move { view.get(&key(), |fill| load(fill, &source, &pause)).await }
    });
    pause.reached().await;
    source.commit(2);
    view.clear();
    pause.release();
    within(reader).await.unwrap().unwrap();
    assert!(view.cached(&key()).is_none_or(|hit| hit.value() == Some(&2)));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_stops_polling_its_load_does_not_hold_up_the_others() {
    let shop = Shop::open(Rule::On);
    let view = shop.view();
    let (mine, theirs) = (key(), key());
    let stuck = |fill: Fill| async move {
        std::future::pending::<()>().await;
        old(1)(fill).await
    };
    let mut leader = Box::pin(view.get(&mine, stuck));
    tokio::select! {
        biased;
        _ = &mut leader => unreachable!(),
        () = std::future::ready(()) => {}
    }
    assert!(within(view.get(&theirs, old(1))).await.is_ok());
}

#[tokio::test]
async fn i1_what_fills_have_taught_is_settled_only_by_their_own_sources() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    shop.begin().await;
    let prices = Topic::new("prices").unwrap();
    let view = shop.builder().sources([&prices]).build().unwrap();
    let open = Pause::none();
    let read = async |key: &str| view.get(&key.to_owned(), |fill| load(fill, &source, &open)).await.unwrap();
    read("page/de").await;
    source.commit(2);
    assert_eq!(read("page/fr").await.value(), Some(&2));
    shop.clock.advance(ms(10));
    shop.mark().await;
    assert_eq!(read("page/de").await.value(), Some(&2), "the mark was of another topic");
}

#[tokio::test]
async fn i1_nothing_goes_back_when_fills_teach_more_than_can_be_remembered() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    let view = shop.builder().sources([&topic()]).capacity(400_000).build().unwrap();
    let open = Pause::none();
    let read = async |key: &str| view.get(&key.to_owned(), |fill| load(fill, &source, &open)).await.unwrap();
    read("page/de").await;
    source.commit(2);
    assert_eq!(read("page/fr").await.value(), Some(&2));
    for n in 0..90_000_u64 {
        let fill = |fill: Fill| async move {
            fill.depends("other", &n.to_string(), v(1));
            Ok(Loaded::new(v(1), n))
        };
        view.get(&n.to_string(), fill).await.unwrap();
    }
    assert_eq!(read("page/de").await.value(), Some(&2));
}

#[tokio::test]
async fn p3_a_load_that_saw_two_versions_of_one_entity_is_not_kept() {
    let shop = Shop::open(Rule::On);
    let view = shop.builder().sources([&topic()]).build().unwrap();
    let torn = |fill: Fill| async move {
        fill.depends("price", "42", v(1));
        fill.depends("price", "42", v(2));
        Ok(Loaded::unversioned(1))
    };
    within(view.get(&key(), torn)).await.unwrap();
    assert!(view.cached(&key()).is_none());
}

#[tokio::test]
async fn who_joins_a_slow_load_is_not_refused_while_the_source_is_well() {
    let (shop, source, pause) = (Shop::open(Rule::On), Source::at(1), Pause::first());
    let view = shop.builder().truth(Truth::Revocable(BOUND)).build().unwrap();
    let read = || {
        let (view, source, pause) = (view.clone(), source.clone(), pause.clone());
        tokio::spawn(async move { view.get(&key(), |fill| load(fill, &source, &pause)).await })
    };
    let first = read();
    pause.reached().await;
    shop.clock.advance(BOUND + ms(500));
    let second = read();
    settle().await;
    pause.release();
    assert!(within(first).await.unwrap().is_ok());
    assert!(within(second).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_path_is_where_the_answer_came_from() {
    let shop = Shop::open(Rule::On);
    let view = shop.view();
    shop.hear("price", "42", 2);
    let hit = within(view.get(&key(), old(1))).await.unwrap();
    assert_eq!(hit.certificate().path, Path::SourceUnkept);
}

#[tokio::test]
async fn ones_own_delete_can_be_read() {
    let shop = Shop::open(Rule::On);
    let view = shop.view();
    shop.hear("price", "42", 3);
    let gone = |fill: Fill| async move {
        fill.depends_unversioned("price", "42");
        Ok(Loaded::<u64>::absent())
    };
    let answer = within(view.get_at_least(&key(), (&price(), stamp(3)), gone)).await.unwrap();
    assert_eq!(answer.value(), None);
}

#[tokio::test]
async fn what_became_old_while_its_load_failed_is_not_served() {
    let shop = Shop::open(Rule::On);
    let view = shop.view();
    within(view.get(&key(), old(1))).await.unwrap();
    shop.clock.advance(BOUND);
    let down = |_: Fill| {
        shop.hear("price", "42", 2);
        std::future::ready(Err::<Loaded<u64>, BoxError>("down".into()))
    };
    assert_eq!(within(view.get(&key(), down)).await.unwrap_err().code(), Code::LOAD_FAILED);
}

#[tokio::test]
async fn a_new_timeline_leaves_nothing_vouched_for() {
    let shop = Shop::open(Rule::On);
    shop.begin().await;
    let view = shop.builder().sources([&topic()]).build().unwrap();
    within(view.get(&key(), old(9))).await.unwrap();
    // After a failover that lost version 9, the first news is of another price.
    let other = Entity::new("price", "7").unwrap();
    shop.fence.raise(&other, Stamp { timeline: Timeline(1), version: v(3) });
    shop.mark().await;
    assert!(view.cached(&key()).is_none());
}

#[derive(Serialize, Deserialize, DomainEvent)]
#[event(context = "pricing", entity = "price", key = "sku")]
struct PriceChanged {
    sku: String,
}

#[derive(Serialize, Deserialize, DomainEvent)]
#[event(context = "pricing", entity = "price", key = "sku")]
struct PriceWithdrawn {
    sku: String,
}

struct Flow {
    outbox: Arc<MemoryOutbox>,
    log: Arc<MemoryLog>,
    fence: Arc<Fence>,
    view: View<u64, u64>,
    _relay: tidings::Running,
}

impl Flow {
    fn new() -> Self {
        let (outbox, log) = (MemoryOutbox::new("/pricing"), MemoryLog::new(NonZeroU32::MIN));
        let fence = Fence::new(FenceSettings::default(), Clock::system());
        let view = View::builder("product", &fence)
            .truth(Truth::Push(DEADLINE))
            .sources([&topic()])
            .build()
            .unwrap();
        let relay = Relay::new(topic(), outbox.clone(), log.clone()).spawn();
        Self { outbox, log, fence, view, _relay: relay }
    }

    fn consumer(&self, name: &str) -> tidings::ConsumerBuilder {
        Consumer::builder(name, self.log.clone()).topics([&topic()]).start(Start::Head)
    }

    async fn caught_up(&self) {
        until("marks have come", async || self.fence.caught_up(&topic()).map(|_| ())).await;
    }

    async fn marked_again(&self) {
        let before = self.fence.caught_up(&topic());
        until("another mark has come", async || (self.fence.caught_up(&topic()) > before).then_some(()))
            .await;
    }
}

#[tokio::test]
async fn an_event_that_nobody_handles_still_invalidates_what_it_names() {
    let flow = Flow::new();
    let consumer = flow.consumer("shop").on(|_: &PriceChanged, _| Decision::Invalidate);
    let _consumer = consumer.store(flow.fence.clone()).build().unwrap().spawn();
    flow.caught_up().await;
    let price = |fill: Fill| async move {
        fill.depends("price", "1", v(1));
        Ok(Loaded::new(v(1), 1))
    };
    within(flow.view.get(&1, price)).await.unwrap();
    let withdrawn = || PriceWithdrawn { sku: "1".into() }.draft().unwrap();
    flow.outbox.commit(&[withdrawn(), withdrawn()]).unwrap();
    until("the price is not served", async || flow.view.cached(&1).is_none().then_some(())).await;
}

#[tokio::test]
async fn a_parked_event_fences_every_region_that_it_may_have_touched() {
    let flow = Flow::new();
    let bump = |_: &PriceChanged, _: &Event| Decision::Bump(Region::new("category", "lamps").unwrap());
    let _consumer = flow.consumer("shop").on(bump).store(flow.fence.clone()).build().unwrap().spawn();
    flow.caught_up().await;
    let listing = |fill: Fill| async move {
        fill.depends_on_region("category", "lamps");
        Ok(Loaded::unversioned(1))
    };
    within(flow.view.get(&1, listing)).await.unwrap();
    let unreadable =
        Draft { data: Data::Json("{}".into()), ..PriceChanged { sku: "1".into() }.draft().unwrap() };
    flow.outbox.commit(&[unreadable]).unwrap();
    until("the listing is not served", async || flow.view.cached(&1).is_none().then_some(())).await;
}

#[tokio::test]
async fn a_row_that_cannot_be_published_leaves_nothing_vouched_for() {
    let flow = Flow::new();
    let _consumer = flow.consumer("shop").store(flow.fence.clone()).build().unwrap().spawn();
    flow.caught_up().await;
    let price = |fill: Fill| async move {
        fill.depends("price", "1", v(1));
        Ok(Loaded::new(v(1), 1))
    };
    within(flow.view.get(&1, price)).await.unwrap();
    flow.outbox.commit(&[PriceChanged { sku: "1".into() }.draft().unwrap()]).unwrap();
    assert!(flow.outbox.damage(tidings_core::port::Cursor(1)), "before the relay gets its turn");
    until("the price is not served as good", async || flow.view.cached(&1).is_none().then_some(())).await;
}

/// Applies nothing until it is let.
struct Slow(tokio::sync::Semaphore);

impl Store for Slow {
    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            if !batch.events.is_empty() {
                self.0.acquire().await.map_err(|_| Error::new(Code::STOPPING, "the test"))?.forget();
            }
            Ok(())
        })
    }

    fn open_epoch<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn one_consumers_marks_do_not_vouch_for_what_another_has_not_applied() {
    let flow = Flow::new();
    let fast = flow.consumer("fast").on(|_: &PriceChanged, _| Decision::ignore("another consumer's"));
    let _fast = fast.store(flow.fence.clone()).build().unwrap().spawn();
    let slow = Arc::new(Slow(tokio::sync::Semaphore::new(0)));
    let _slow = flow.consumer("slow").store(slow).store(flow.fence.clone()).build().unwrap().spawn();
    flow.caught_up().await;
    flow.marked_again().await;
    let price = |fill: Fill| async move {
        fill.depends("price", "1", v(1));
        Ok(Loaded::new(v(1), 1))
    };
    within(flow.view.get(&1, price)).await.unwrap();
    let change = || PriceChanged { sku: "1".into() }.draft().unwrap();
    flow.outbox.commit(&[change(), change()]).unwrap();
    let committed = flow.fence.clock().elapsed();
    // Long enough for many marks to pass the fast one.
    until("some time has passed", async || {
        (flow.fence.clock().elapsed() > committed + ms(600)).then_some(())
    })
    .await;
    let asked = flow.fence.clock().elapsed();
    let honest = |hit: Cached<u64>| claimed(&hit) >= asked - committed;
    assert!(flow.view.cached(&1).is_none_or(honest));
}

#[tokio::test]
async fn what_has_ended_can_be_asked_twice() {
    struct Broken;
    impl Store for Broken {
        fn begin<'a>(&'a self, _: &'a str, _: &'a [Partition]) -> Boxed<'a, Result<()>> {
            Box::pin(std::future::ready(Err(Error::new(Code::DEFECT, "as the test wants"))))
        }
        fn apply<'a>(&'a self, _: Batch<'a>) -> Boxed<'a, Result<()>> {
            Box::pin(std::future::ready(Ok(())))
        }
        fn open_epoch<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<()>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }
    let flow = Flow::new();
    let mut consumer = flow.consumer("broken").store(Arc::new(Broken)).build().unwrap().spawn();
    assert!(within(consumer.finished()).await.is_err());
    assert!(within(consumer.stop(DEADLINE)).await.is_err());
}

#[tokio::test]
async fn what_a_process_resumes_from_may_be_older_than_the_process() {
    // A clock that has only just been made.
    let clock = Clock::manual();
    let shop = Shop { fence: Fence::new(FenceSettings::default(), clock.clone()), clock };
    shop.begin().await;
    let view = shop.builder().sources([&topic()]).build().unwrap();
    let before = shop.clock.wall().minus(Duration::from_secs(60));
    let lagging = |fill: Fill| async move {
        fill.as_of(before);
        old(1)(fill).await
    };
    let hit = within(view.get(&key(), lagging)).await.unwrap();
    assert!(claimed(&hit) >= Duration::from_secs(60), "{}", hit.freshness());
    // A mark from the run before, applied now.
    within(view.get(&"other".to_owned(), old(1))).await.unwrap();
    let next = Position { partition: partition(), offset: Offset(1) };
    let batch = Batch {
        consumer: "shop",
        actions: &[],
        events: &[],
        parked: &[],
        next: &next,
        caught_up: Some(before),
    };
    shop.fence.apply(batch).await.unwrap();
    assert!(view.knowledge_age().unwrap() >= Duration::from_secs(60));
}
