//! What a view promises its readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidings::{
    Code, Decision, Entity, Fill, Freshness, Loaded, Offset, Partition, Path, Position, Time, Topic, Truth,
    View,
};
use tidings_core::port::{Batch, Store};
use tidings_core::{Action, Event};

use crate::shop::{BOUND, Pause, Rule, Shop, Source, load, settle, stamp, v, within};

fn key() -> String {
    "k".to_owned()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

async fn get(view: &View<String, u64>, source: &Source) -> tidings::Cached<u64> {
    let open = Pause::none();
    within(view.get(&key(), |fill| load(fill, source, &open))).await.unwrap()
}

/// Applies a mark as a consumer would.
pub(crate) async fn mark(shop: &Shop, topic: &Topic, time: Time) {
    let next = Position { partition: Partition { topic: topic.clone(), index: 0 }, offset: Offset(1) };
    let batch = Batch {
        consumer: "shop",
        actions: &[],
        events: &[],
        parked: &[],
        next: &next,
        caught_up: Some(time),
    };
    shop.fence.apply(batch).await.unwrap();
}

pub(crate) async fn begin(shop: &Shop, topic: &Topic) {
    shop.fence.begin("shop", &[Partition { topic: topic.clone(), index: 0 }]).await.unwrap();
}

#[tokio::test]
async fn the_first_reader_gets_fresh_and_the_next_a_bound() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    let view = shop.view();
    let first = get(&view, &source).await;
    assert_eq!((first.freshness(), first.certificate().path), (Freshness::Fresh, Path::Source));
    shop.clock.advance(ms(500));
    let second = get(&view, &source).await;
    assert_eq!(second.certificate().path, Path::L1);
    let Freshness::Within(age) = second.freshness() else { panic!("{:?}", second.freshness()) };
    assert!((ms(500)..=ms(530)).contains(&age), "never less than the truth, and not much more: {age:?}");
    assert_eq!((view.counts().hits, view.counts().misses, view.counts().loads), (1, 1, 1));
}

#[tokio::test]
async fn marks_bound_the_age_of_what_stays_unchanged() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    let topic = Topic::new("pricing").unwrap();
    begin(&shop, &topic).await;
    let view = shop.builder().sources([&topic]).build().unwrap();
    get(&view, &source).await;
    for _ in 0..20 {
        shop.clock.advance(ms(500));
        mark(&shop, &topic, shop.clock.wall()).await;
        assert!(view.cached(&key()).is_some(), "it is still known to be good");
    }
    assert_eq!(view.counts().loads, 1);
    shop.clock.advance(BOUND);
    assert!(view.cached(&key()).is_none(), "silence is not freshness");
}

#[tokio::test]
async fn an_answer_that_declared_nothing_is_not_made_younger_by_marks() {
    let shop = Shop::open(Rule::On);
    let topic = Topic::new("pricing").unwrap();
    begin(&shop, &topic).await;
    let view = shop.builder().sources([&topic]).build().unwrap();
    within(view.get(&key(), |_| async { Ok(Loaded::unversioned(1)) })).await.unwrap();
    shop.clock.advance(BOUND);
    mark(&shop, &topic, shop.clock.wall()).await;
    assert!(view.cached(&key()).is_none(), "no event could have unseated it");
}

#[tokio::test]
async fn a_consumer_that_begins_may_have_missed_what_came_before() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    let topic = Topic::new("pricing").unwrap();
    let view = shop.builder().sources([&topic]).build().unwrap();
    get(&view, &source).await;
    source.commit(2);
    begin(&shop, &topic).await;
    mark(&shop, &topic, shop.clock.wall()).await;
    assert!(view.cached(&key()).is_none());
    assert_eq!(get(&view, &source).await.value(), Some(&2));
}

#[tokio::test]
async fn s41_one_of_many_goes_and_the_rest_keep_hitting() {
    const ENTITIES: u64 = 10_000;
    let shop = Shop::open(Rule::On);
    let view = shop.builder().capacity(20_000).build().unwrap();
    for n in 0..ENTITIES {
        let fill = |fill: Fill| async move {
            fill.depends("price", &n.to_string(), v(1));
            Ok(Loaded::new(v(1), n))
        };
        view.get(&n.to_string(), fill).await.unwrap();
    }
    shop.hear("price", "4711", 2);
    let gone: Vec<_> = (0..ENTITIES).filter(|n| view.cached(&n.to_string()).is_none()).collect();
    assert_eq!(gone, [4711]);
}

#[tokio::test]
async fn i1_what_one_key_has_shown_no_other_key_takes_back() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    let view = shop.builder().sources([&Topic::new("pricing").unwrap()]).build().unwrap();
    let open = Pause::none();
    let read = async |key: &str| view.get(&key.to_owned(), |fill| load(fill, &source, &open)).await.unwrap();
    read("page/de").await;
    source.commit(2);
    // The event is still on its way, but this load sees the new version.
    assert_eq!(read("page/fr").await.value(), Some(&2));
    assert_eq!(read("page/de").await.value(), Some(&2));
}

#[tokio::test]
async fn a_key_that_changes_faster_than_it_loads_is_still_cached() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    let view = shop.view();
    // Each load is overtaken by the news of what it has itself just read.
    let load = async |fill: Fill| {
        let seen = source.read() + 1;
        source.commit(seen);
        shop.hear("price", "42", seen);
        fill.depends("price", "42", v(seen));
        Ok(Loaded::new(v(seen), seen))
    };
    within(view.get(&key(), load)).await.unwrap();
    assert!(view.cached(&key()).is_some(), "a versioned fill is not refused because a ticket moved");
}

#[tokio::test]
async fn s110_five_thousand_callers_are_one_load() {
    let (shop, source, pause) = (Shop::open(Rule::On), Source::at(1), Pause::first());
    let view = shop.view();
    let callers: Vec<_> = (0..5_000)
        .map(|_| {
            let (view, source, pause) = (view.clone(), source.clone(), pause.clone());
            tokio::spawn(async move { view.get(&key(), |fill| load(fill, &source, &pause)).await })
        })
        .collect();
    pause.reached().await;
    settle().await;
    pause.release();
    for caller in callers {
        assert_eq!(within(caller).await.unwrap().unwrap().value(), Some(&1));
    }
    assert_eq!(view.counts().loads, 1);
}

#[tokio::test]
async fn when_the_caller_who_loads_goes_away_another_takes_over() {
    let (shop, source, pause) = (Shop::open(Rule::On), Source::at(1), Pause::first());
    let view = shop.view();
    let read = || {
        let (view, source, pause) = (view.clone(), source.clone(), pause.clone());
        tokio::spawn(async move { view.get(&key(), |fill| load(fill, &source, &pause)).await })
    };
    let first = read();
    pause.reached().await;
    let second = read();
    settle().await;
    first.abort();
    assert_eq!(within(second).await.unwrap().unwrap().value(), Some(&1));
}

#[tokio::test]
async fn s18_a_token_reads_ones_own_write() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    let view = shop.view();
    get(&view, &source).await;
    source.commit(2);
    let price = Entity::new("price", "42").unwrap();
    let open = Pause::none();
    let read = async |at_least| {
        view.get_at_least(&key(), (&price, stamp(at_least)), |fill| load(fill, &source, &open)).await
    };
    assert_eq!(within(read(2)).await.unwrap().value(), Some(&2));
    assert_eq!(within(read(2)).await.unwrap().certificate().path, Path::L1);
    assert_eq!(within(read(3)).await.unwrap_err().code(), Code::SOURCE_BEHIND);
}

#[tokio::test]
async fn s18_a_token_goes_with_the_load_to_the_view_that_a_page_is_made_of() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    let truth = source.clone();
    let part = View::builder("part", &shop.fence).truth(Truth::Push(BOUND)).loader(move |_: String, fill| {
        let truth = truth.clone();
        async move { load(fill, &truth, &Pause::none()).await }
    });
    let (part, page) = (part.build().unwrap(), shop.view());
    let price = Entity::new("price", "42").unwrap();
    let read = async |at_least: Option<u64>| {
        let assemble = async |fill: Fill| {
            let shown = match fill.token() {
                Some((entity, stamp)) => part.read_at_least(&key(), (&entity, stamp)).await?,
                None => part.read(&key()).await?,
            };
            let version = v(shown.value().copied().unwrap_or_default());
            fill.depends("price", "42", version);
            Ok(Loaded::new(version, version.number()))
        };
        match at_least {
            Some(version) => page.get_at_least(&key(), (&price, stamp(version)), assemble).await,
            None => page.get(&key(), assemble).await,
        }
    };
    assert_eq!(within(read(None)).await.unwrap().value(), Some(&1));
    // The part that is held is good by its bound, and older than what this reader has written.
    source.commit(2);
    assert_eq!(within(read(Some(2))).await.unwrap().value(), Some(&2));
}

#[tokio::test]
async fn past_the_soft_time_to_live_one_caller_loads_and_the_others_are_served() {
    let (shop, source, pause) = (Shop::open(Rule::On), Source::at(1), Pause::first());
    let view =
        shop.builder().truth(Truth::Tolerant(Duration::from_secs(60))).soft_ttl(ms(1_000)).build().unwrap();
    get(&view, &source).await;
    source.commit(2);
    shop.clock.advance(ms(1_100));
    let loading = tokio::spawn({
        let (view, source, pause) = (view.clone(), source.clone(), pause.clone());
        async move { view.get(&key(), |fill| load(fill, &source, &pause)).await }
    });
    pause.reached().await;
    assert_eq!(get(&view, &source).await.value(), Some(&1), "nobody else waits");
    pause.release();
    within(loading).await.unwrap().unwrap();
    assert_eq!((get(&view, &source).await.value(), view.counts().loads), (Some(&2), 2));
}

#[tokio::test]
async fn s104_every_entry_has_an_end_and_they_do_not_come_together() {
    let shop = Shop::open(Rule::On);
    let ttl = Duration::from_secs(10);
    let view = shop.builder().truth(Truth::Tolerant(ttl)).jitter(0.5).build().unwrap();
    for n in 0..100_u64 {
        within(view.get(&n.to_string(), |_| async { Ok(Loaded::unversioned(1)) })).await.unwrap();
    }
    let alive = || (0..100_u64).filter(|n| view.cached(&n.to_string()).is_some()).count();
    shop.clock.advance(ms(4_900));
    assert_eq!(alive(), 100, "none before half of it");
    shop.clock.advance(ms(2_600));
    assert!((20..80).contains(&alive()), "about half in the middle: {}", alive());
    shop.clock.advance(ms(2_500));
    assert_eq!(alive(), 0);
}

#[tokio::test]
async fn s105_what_the_time_to_live_corrects_is_counted_as_missed() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    let view = shop.builder().truth(Truth::Tolerant(Duration::from_secs(5))).build().unwrap();
    get(&view, &source).await;
    shop.clock.advance(Duration::from_secs(5));
    get(&view, &source).await;
    assert_eq!(view.counts().corrected_by_ttl, 0, "the same version: nothing was missed");
    source.commit(2);
    shop.clock.advance(Duration::from_secs(5));
    get(&view, &source).await;
    assert_eq!(view.counts().corrected_by_ttl, 1);
}

#[tokio::test]
async fn no_entry_outlives_a_known_boundary() {
    let shop = Shop::open(Rule::On);
    let view = shop.builder().truth(Truth::Effective(Duration::from_secs(60))).build().unwrap();
    let boundary = shop.clock.wall().plus(ms(800));
    let load = |fill: Fill| async move {
        fill.depends("price", "42", v(1));
        fill.valid_until(boundary);
        Ok(Loaded::new(v(1), 1))
    };
    within(view.get(&key(), load)).await.unwrap();
    shop.clock.advance(ms(700));
    assert!(view.cached(&key()).is_some());
    shop.clock.advance(ms(100));
    assert!(view.cached(&key()).is_none());
}

#[tokio::test]
async fn when_the_source_fails_the_class_decides() {
    for (truth, served) in [(Truth::Push(BOUND), true), (Truth::Revocable(BOUND), false)] {
        let (shop, source) = (Shop::open(Rule::On), Source::at(1));
        let view = shop.builder().truth(truth).build().unwrap();
        get(&view, &source).await;
        shop.clock.advance(BOUND);
        let down = |_: Fill| async { Err::<Loaded<u64>, _>("the database is down".into()) };
        match within(view.get(&key(), down)).await {
            Ok(hit) => {
                assert!(served && matches!(hit.freshness(), Freshness::Stale(_)), "{:?}", hit.freshness());
            }
            Err(error) => {
                assert!(!served);
                assert!(error.to_string().contains("the database is down"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_known_to_be_old_is_not_served_even_when_the_source_fails() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    let view = shop.view();
    get(&view, &source).await;
    shop.hear("price", "42", 2);
    let down = |_: Fill| async { Err::<Loaded<u64>, _>("down".into()) };
    assert_eq!(within(view.get(&key(), down)).await.unwrap_err().code(), Code::LOAD_FAILED);
}

#[tokio::test]
async fn a_source_that_stays_behind_is_labelled_or_refused_and_never_kept() {
    for (truth, served) in [(Truth::Push(BOUND), true), (Truth::Revocable(BOUND), false)] {
        let (shop, source) = (Shop::open(Rule::On), Source::at(1));
        let view = shop.builder().truth(truth).build().unwrap();
        shop.hear("price", "42", 2);
        let open = Pause::none();
        let answer = within(view.get(&key(), |fill| load(fill, &source, &open))).await;
        assert_eq!(answer.is_ok(), served);
        if let Ok(hit) = answer {
            assert!(matches!(hit.freshness(), Freshness::Stale(_)), "{:?}", hit.freshness());
        }
        assert!(view.cached(&key()).is_none());
    }
}

#[tokio::test]
async fn what_lags_says_so_itself() {
    let shop = Shop::open(Rule::On);
    let view = shop.view();
    let then = shop.clock.wall().minus(ms(1_500));
    let load = |fill: Fill| async move {
        fill.depends("price", "42", v(1));
        fill.as_of(then);
        Ok(Loaded::new(v(1), 1))
    };
    let hit = within(view.get(&key(), load)).await.unwrap();
    assert_eq!(hit.freshness(), Freshness::Within(ms(1_500)));
    shop.clock.advance(ms(600));
    assert!(view.cached(&key()).is_none(), "the bound counts from what the source looked like");
}

#[tokio::test]
async fn after_an_epoch_one_caller_checks_and_the_others_are_told() {
    let (shop, source, pause) = (Shop::open(Rule::On), Source::at(1), Pause::first());
    let view = shop.view();
    get(&view, &source).await;
    shop.fence.open_epoch("a gap").await.unwrap();
    let checking = tokio::spawn({
        let (view, source, pause) = (view.clone(), source.clone(), pause.clone());
        async move { view.get(&key(), |fill| load(fill, &source, &pause)).await }
    });
    pause.reached().await;
    assert_eq!(get(&view, &source).await.freshness(), Freshness::Unverified);
    pause.release();
    assert_eq!(within(checking).await.unwrap().unwrap().freshness(), Freshness::Fresh);
    assert!(view.cached(&key()).is_some());
}

#[tokio::test]
async fn s47_an_event_that_carries_state_changes_the_answer_without_a_read() {
    let (shop, source) = (Shop::open(Rule::On), Source::at(1));
    let view = shop
        .builder()
        .keys(|text| Some(text.to_owned()))
        .updated_by(|_, _, event| Some(event.stamp.version.number()))
        .build()
        .unwrap();
    get(&view, &source).await;
    let event = Arc::new(news(2));
    let mut plan = tidings_core::Plan::default();
    plan.add(&event, vec![Decision::update("product", "k")]);
    let actions = plan.into_actions();
    assert!(matches!(actions.as_slice(), [Action::Raise { .. }, Action::Update { .. }]), "the fence first");
    let next =
        Position { partition: Partition { topic: Topic::new("t").unwrap(), index: 0 }, offset: Offset(1) };
    let batch =
        Batch { consumer: "shop", actions: &actions, events: &[], parked: &[], next: &next, caught_up: None };
    shop.fence.apply(batch).await.unwrap();
    assert_eq!(view.cached(&key()).and_then(|hit| hit.value().copied()), Some(2));
    assert_eq!(view.counts().loads, 1);
}

#[tokio::test]
async fn s113_the_source_sees_no_more_loads_at_a_time_than_allowed() {
    let shop = Shop::open(Rule::On);
    let view = shop.builder().max_fills(3).build().unwrap();
    let (now, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..300)
        .map(|n: u64| {
            let (view, now, most) = (view.clone(), now.clone(), most.clone());
            tokio::spawn(async move {
                let load = async |_: Fill| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(Loaded::unversioned(n))
                };
                view.get(&n.to_string(), load).await
            })
        })
        .collect();
    for caller in callers {
        within(caller).await.unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[test]
fn s13_a_view_without_a_truth_class_is_refused_and_so_is_what_contradicts_it() {
    let shop = Shop::open(Rule::On);
    let build =
        |builder: tidings::ViewBuilder<String, u64>| builder.build().map(|_| ()).unwrap_err().to_string();
    let view = || View::<String, u64>::builder("product", &shop.fence);
    for (error, says) in [
        (build(view()), "no truth class"),
        (build(view().truth(Truth::NeverCache)), "never_cache"),
        (build(view().truth(Truth::Tolerant(ms(500))).ttl(ms(501))), "beyond what"),
        (build(view().truth(Truth::Push(BOUND)).soft_ttl(ms(900)).ttl(ms(800))), "soft time to live"),
        (
            build(view().truth(Truth::Push(BOUND)).load_timeout(Duration::from_secs(3600))),
            "outlive the floors",
        ),
        (build(view().truth(Truth::Push(ms(1)))), "cannot be kept"),
        (build(view().truth(Truth::Push(BOUND)).max_fills(0)), "at least 1"),
    ] {
        assert!(error.contains(says) && error.contains("view product"), "{error}");
    }
}

#[tokio::test]
async fn a_loader_that_declares_nonsense_is_told_and_nothing_is_kept() {
    let shop = Shop::open(Rule::On);
    let view = shop.view();
    let load = |fill: Fill| async move {
        fill.depends("pri/ce", "42", v(1));
        Ok(Loaded::new(v(1), 1))
    };
    assert_eq!(within(view.get(&key(), load)).await.unwrap_err().code(), Code::NAME_INVALID);
    assert_eq!(view.entries(), 0);
}

fn news(version: u64) -> Event {
    Event {
        id: version.to_string().into(),
        source: "/pricing".into(),
        kind: "pricing.BasePriceChanged".into(),
        entity: Entity::new("price", "42").unwrap(),
        stamp: stamp(version),
        time: Time::from_micros(0),
        window: tidings::Window::default(),
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data: tidings::Data::Empty,
    }
}
