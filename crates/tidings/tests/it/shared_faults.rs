//! Two levels when the shared one, the source, or a process fails; and how often the source is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidings::{Clock, FenceSettings, Fill, Freshness, Path, Time};
use tidings_core::port::{Boxed, Store};
use tidings_core::shared::level::{Claim, Found, Key, Level, Offer, Thing, Unfilled};
use tokio::time::Instant;

use crate::fleet::{Fleet, LEASE, Line, hear, load};
use crate::shop::{Pause, Rule, settle, within};

#[tokio::test(start_paused = true)]
async fn one_process_loads_for_the_whole_fleet() {
    let fleet = Fleet::on(Rule::On, Clock::of_runtime(Time::from_micros(0))).await;
    let mut copies = Vec::new();
    for _ in 0..3 {
        copies.push(fleet.copy().await);
    }
    tokio::time::advance(Duration::from_millis(20)).await;
    for copy in &copies {
        copy.mark().await;
    }
    let loads = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..50)
        .map(|reader| {
            let (copy, loads) = (copies[reader % 3].clone(), loads.clone());
            tokio::spawn(async move {
                let slow = async |fill: Fill| {
                    loads.fetch_add(1, Ordering::SeqCst);
                    // The clock of these tests stands still but for what waits on it.
                    let _ =
                        tokio::time::timeout(Duration::from_millis(300), std::future::pending::<()>()).await;
                    load(fill, copy.prices.clone(), Pause::none(), true).await
                };
                copy.view.get(&"k".into(), slow).await.unwrap()
            })
        })
        .collect();
    for reader in readers {
        assert_eq!(within(reader).await.unwrap().value(), Some(&1));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    let waits: u64 = copies.iter().map(|copy| copy.view.counts().l2_waits).sum();
    let hits: u64 = copies.iter().map(|copy| copy.view.counts().l2_hits).sum();
    assert_eq!((waits, hits), (2, 2), "one of each other process");
}

/// Somebody is always loading, and never done.
struct Busy;

impl Level for Busy {
    fn lookup<'a>(&'a self, _: &'a Key, _: &'a [Thing]) -> Boxed<'a, Found> {
        Box::pin(std::future::ready(Found::Wait(LEASE)))
    }

    fn fill<'a>(&'a self, _: &'a Claim, _: Offer<'a>) -> Boxed<'a, Result<(), Unfilled>> {
        unreachable!("nobody was handed a claim")
    }

    fn abandon<'a>(&'a self, _: &'a Claim) -> Boxed<'a, ()> {
        unreachable!("nobody was handed a claim")
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_for_the_whole_lease_loads_without_filling() {
    let fleet = Fleet::on(Rule::On, Clock::of_runtime(Time::from_micros(0))).await;
    let with = |builder: tidings::ViewBuilder<String, u64>| builder.truth(tidings::Truth::Push(10 * LEASE));
    let copy = fleet.copy_with(Arc::new(Busy), FenceSettings::default(), with).await;
    let began = Instant::now();
    assert_eq!(copy.read().await.certificate().path, Path::Source);
    let waited = began.elapsed();
    assert!(waited >= LEASE && waited < LEASE + Duration::from_millis(100), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_is_never_called_fresh() {
    let fleet = Fleet::on(Rule::On, Clock::of_runtime(Time::from_micros(0))).await;
    let (first, second, pause) = (fleet.copy().await, fleet.copy().await, Pause::first());
    let loading = first.spawn(&pause, true);
    pause.reached().await;
    let waiting = second.spawn(&Pause::none(), true);
    settle().await;
    tokio::time::advance(Duration::from_millis(500)).await;
    second.mark().await;
    pause.release();
    within(loading).await.unwrap();
    let answer = within(waiting).await.unwrap();
    assert_eq!(answer.certificate().path, Path::L2);
    assert_eq!(answer.freshness(), Freshness::Within(Duration::ZERO), "a mark came after the read had begun");
}

#[tokio::test]
async fn who_joins_a_promotion_that_is_too_old_for_him_asks_the_source() {
    let fleet = Fleet::open(Rule::On).await;
    let pause = Pause::first();
    let second = fleet.copy_over(Line::new(&fleet.level, pause.clone())).await;
    fleet.copy().await.read().await;
    fleet.clock.advance(Duration::from_millis(1900));
    let leads = second.spawn(&Pause::none(), true);
    pause.reached().await;
    fleet.clock.advance(Duration::from_millis(200));
    let joins = second.spawn(&Pause::none(), true);
    settle().await;
    pause.release();
    assert_eq!(within(leads).await.unwrap().certificate().path, Path::L2);
    let answer = within(joins).await.unwrap();
    assert_eq!((answer.certificate().path, answer.freshness()), (Path::Source, Freshness::Fresh));
}

#[tokio::test]
async fn what_was_not_kept_here_is_not_offered() {
    let fleet = Fleet::open(Rule::On).await;
    let (first, second, pause) = (fleet.copy().await, fleet.copy().await, Pause::first());
    let loading = first.spawn(&pause, false);
    pause.reached().await;
    // Outrun, though what it read has seen all that the level has heard of.
    first.hear(&fleet.prices.commit()).await;
    pause.release();
    within(loading).await.unwrap();
    assert_eq!(second.read_unversioned().await.value(), Some(&2));
    let counts = second.view.counts();
    assert_eq!((counts.l2_hits, counts.l2_waits), (0, 0));
}

#[tokio::test]
async fn a_load_that_fails_or_is_given_up_frees_the_key_for_others() {
    let fleet = Fleet::open(Rule::On).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    let fails = async |_: Fill| Err("no".into());
    within(first.view.get(&"k".into(), fails)).await.unwrap_err();
    settle().await;
    assert_eq!(second.read().await.certificate().path, Path::Source);
    let pause = Pause::first();
    hear(&*fleet.level, &fleet.prices.commit()).await;
    let third = fleet.copy().await;
    let reader = third.spawn(&pause, true);
    pause.reached().await;
    reader.abort();
    settle().await;
    fleet.copy().await.read().await;
    for copy in [second, third] {
        assert_eq!(copy.view.counts().l2_waits, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_level_that_fails_or_hangs_does_not_fail_a_read() {
    let fleet = Fleet::on(Rule::On, Clock::of_runtime(Time::from_micros(0))).await;
    let line = Line::new(&fleet.level, Pause::none());
    let copy = fleet.copy_over(line.clone()).await;
    line.is_down.store(true, Ordering::SeqCst);
    assert_eq!(copy.read().await.certificate().path, Path::Source);
    assert_eq!(copy.view.counts().l2_bypasses, 1);
    // Without a limit of its own, for no longer than a load may take.
    let hanging = Arc::new(Line {
        takes: Duration::from_secs(3600),
        ..Arc::into_inner(Line::new(&fleet.level, Pause::none())).unwrap()
    });
    let brief = |builder: tidings::ViewBuilder<String, u64>| builder.load_timeout(Duration::from_millis(200));
    let copy = fleet.copy_with(hanging, FenceSettings::default(), brief).await;
    let began = Instant::now();
    assert_eq!(copy.read().await.certificate().path, Path::Source);
    assert!(began.elapsed() < Duration::from_millis(250), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_to_be_renewed_is_not_answered_by_what_it_was_made_from() {
    let fleet = Fleet::open(Rule::On).await;
    let with = |builder: tidings::ViewBuilder<String, u64>| {
        builder.soft_ttl(Duration::from_secs(1)).ttl(Duration::from_secs(30))
    };
    let (first, second) =
        (fleet.copy().await, fleet.copy_with(fleet.level.clone(), FenceSettings::default(), with).await);
    first.read().await;
    assert_eq!(second.read().await.certificate().path, Path::L2);
    let loads = second.view.counts().loads;
    fleet.clock.advance(Duration::from_millis(1100));
    second.mark().await;
    second.read().await;
    settle().await;
    assert_eq!(second.view.counts().loads, loads + 1, "past its soft time to live");
    // After an epoch, and past its time to live.
    second.fence.raise(&tidings::Entity::new("other", "1").unwrap(), crate::shop::stamp(1));
    second.fence.open_epoch("a gap").await.unwrap();
    second.mark().await;
    second.read().await;
    assert_eq!(second.view.counts().loads, loads + 2, "unverified");
    fleet.clock.advance(Duration::from_secs(31));
    second.mark().await;
    second.read().await;
    assert_eq!(second.view.counts().loads, loads + 3, "expired");
    assert_eq!(second.view.counts().l2_hits, 1);
}

#[tokio::test]
async fn what_is_not_understood_is_loaded() {
    let fleet = Fleet::open(Rule::On).await;
    let fence = fleet.fence(FenceSettings::default());
    let odd = tidings::Shared::new(
        fleet.level.clone(),
        fleet.prices.clone(),
        |key: &String| key.clone(),
        |_: &u64| b"another release".to_vec(),
        |bytes: &[u8]| if bytes.len() == 15 { panic!("of ours") } else { None },
    );
    let builder = tidings::View::builder("product", &fence).truth(tidings::Truth::Push(crate::shop::BOUND));
    let view = builder.sources([&crate::fleet::topic()]).shared(odd).build().unwrap();
    let copy = crate::fleet::Copy { view, fence, prices: fleet.prices.clone() };
    copy.mark().await;
    copy.begin().await;
    copy.read().await;
    let other = fleet.copy().await;
    assert_eq!(other.read().await.certificate().path, Path::Source, "its bytes are not ours");
    copy.view.clear();
    copy.mark().await;
    fleet.clock.advance(Duration::from_millis(1));
    copy.begin().await;
    assert_eq!(copy.read().await.certificate().path, Path::Source);
    assert_eq!(copy.view.counts().defects, 1, "it panicked");
}

#[tokio::test]
async fn a_source_that_does_not_say_where_it_stands_is_counted_each_time_and_said_once() {
    let fleet = Fleet::open(Rule::On).await;
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let shared = {
        let told = told.clone();
        crate::fleet::shared(fleet.level.clone(), fleet.prices.clone())
            .telling(move |error| told.lock().push(error.code()))
    };
    let fence = fleet.fence(FenceSettings::default());
    let builder = tidings::View::builder("product", &fence).truth(tidings::Truth::Push(crate::shop::BOUND));
    let view = builder.sources([&crate::fleet::topic()]).shared(shared).build().unwrap();
    let copy = crate::fleet::Copy { view, fence, prices: fleet.prices.clone() };
    for outage in 1..=2 {
        fleet.prices.is_silent.store(true, Ordering::SeqCst);
        copy.fence.open_epoch("a gap").await.unwrap();
        for _ in 0..3 {
            fleet.clock.advance(Duration::from_secs(1));
            copy.begin().await;
        }
        fleet.prices.is_silent.store(false, Ordering::SeqCst);
        fleet.clock.advance(Duration::from_secs(1));
        copy.begin().await;
        assert_eq!(copy.view.counts().source_failures, outage * 3);
        assert_eq!(told.lock().len() as u64, outage, "{:?}", told.lock());
    }
    assert!(told.lock().iter().all(|code| *code == tidings::Code::BUSY));
}
