//! The races between two levels, by the names they have in the literature. Each runs with the accept rule, where nothing
//! old may be served as good, and without it, where it must go wrong, or it would prove nothing.

use std::time::Duration;

use tidings::{Freshness, Path};
use tidings_core::certificate::Cause;

use crate::fleet::{Fleet, LEASE, Line, hear};
use crate::shop::{Pause, Rule, honest, not_cached_below, settle, within};

macro_rules! races {
    ($($name:ident: $scenario:ident;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn is_closed() {
                assert_eq!($scenario(Rule::On).await, Ok(()));
            }

            #[tokio::test]
            async fn is_open_without_the_accept_rule() {
                assert!($scenario(Rule::Off).await.is_err(), "the scenario cannot show the race");
            }
        }
    )*};
}

races! {
    r9_a_promotion_in_flight_is_reached_by_news: promotion_in_flight;
    r9_a_promotion_without_a_version_is_reached_by_news: unversioned_promotion_in_flight;
    r10_the_copy_has_heard_and_the_shared_level_has_not: refill_from_behind;
    r10_the_same_without_a_version: unversioned_refill_from_behind;
    the_consumer_of_the_shared_level_stands_still: standing_still;
}

async fn promotion_in_flight(rule: Rule) -> Result<(), String> {
    in_flight(rule, true).await
}

async fn unversioned_promotion_in_flight(rule: Rule) -> Result<(), String> {
    in_flight(rule, false).await
}

async fn in_flight(rule: Rule, is_versioned: bool) -> Result<(), String> {
    let fleet = Fleet::open(rule).await;
    let (first, pause) = (fleet.copy().await, Pause::first());
    let second = fleet.copy_over(Line::new(&fleet.level, pause.clone())).await;
    first.read_at(&Pause::none(), is_versioned).await;
    let reader = second.spawn(&Pause::none(), is_versioned);
    pause.reached().await;
    let event = fleet.prices.commit();
    hear(&*fleet.level, &event).await;
    second.hear(&event).await;
    pause.release();
    honest(&within(reader).await.unwrap(), 2)?;
    not_cached_below(&second.view, "k", 2)
}

async fn refill_from_behind(rule: Rule) -> Result<(), String> {
    from_behind(rule, true).await
}

async fn unversioned_refill_from_behind(rule: Rule) -> Result<(), String> {
    from_behind(rule, false).await
}

async fn from_behind(rule: Rule, is_versioned: bool) -> Result<(), String> {
    let fleet = Fleet::open(rule).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    first.read_at(&Pause::none(), is_versioned).await;
    let event = fleet.prices.commit();
    second.hear(&event).await;
    honest(&second.read_at(&Pause::none(), is_versioned).await, 2)?;
    hear(&*fleet.level, &event).await;
    not_cached_below(&second.view, "k", 2)
}

/// For hours: far longer than floors are kept for.
async fn standing_still(rule: Rule) -> Result<(), String> {
    let fleet = Fleet::open(rule).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    first.read_unversioned().await;
    second.hear(&fleet.prices.commit()).await;
    for _ in 0..4 {
        fleet.clock.advance(Duration::from_secs(60));
        fleet.prices.pass();
        second.mark().await;
    }
    honest(&second.read_unversioned().await, 2)?;
    not_cached_below(&second.view, "k", 2)
}

#[tokio::test]
async fn r5_a_late_filler_does_not_replace_what_another_process_has_brought() {
    let fleet = Fleet::open(Rule::On).await;
    let (slow, fast, third) = (fleet.copy().await, fleet.copy().await, fleet.copy().await);
    let pause = Pause::first();
    let late = slow.spawn(&pause, true);
    pause.reached().await;
    fleet.clock.advance(LEASE);
    let event = fleet.prices.commit();
    for copy in [&fast, &third] {
        copy.mark().await;
    }
    // Ahead of the news.
    assert_eq!(fast.read().await.value(), Some(&2));
    pause.release();
    within(late).await.unwrap();
    let found = third.read().await;
    assert_eq!((found.value(), found.certificate().path), (Some(&2), Path::L2));
    hear(&*fleet.level, &event).await;
    assert_eq!(fleet.copy().await.read().await.value(), Some(&2));
}

#[tokio::test]
async fn r6_what_lags_behind_the_shared_level_is_not_taken_for_the_present() {
    let fleet = Fleet::open(Rule::On).await;
    let copy = fleet.copy().await;
    let (old, at) = fleet.prices.read();
    hear(&*fleet.level, &fleet.prices.commit()).await;
    // A replica that does not say that it lags.
    let replica = async |fill: tidings::Fill| {
        fill.read_at(at);
        fill.depends("price", "42", crate::shop::v(old));
        Ok(tidings::Loaded::new(crate::shop::v(old), old))
    };
    let answer = within(copy.view.get(&"k".into(), replica)).await.unwrap();
    assert_eq!(answer.freshness(), Freshness::Stale(Cause::SourceBehind));
    assert_eq!(copy.view.counts().loads, 1 + 3, "tried again");
    assert!(copy.view.cached(&"k".into()).is_none());
    settle().await;
    let answer = copy.read().await;
    assert_eq!((answer.value(), answer.freshness()), (Some(&2), Freshness::Fresh));
    assert_eq!(copy.view.counts().l2_waits, 0, "the claim was given up");
}

#[tokio::test]
async fn r7_replayed_news_lowers_nothing_and_takes_nothing_newer_away() {
    let fleet = Fleet::open(Rule::On).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    let (event, newer) = (fleet.prices.commit(), fleet.prices.commit());
    for event in [&newer, &event] {
        hear(&*fleet.level, event).await;
    }
    assert_eq!(first.read().await.value(), Some(&3));
    for event in [&event, &newer, &event] {
        hear(&*fleet.level, event).await;
        second.hear(event).await;
    }
    let found = second.read().await;
    assert_eq!((found.value(), found.certificate().path), (Some(&3), Path::L2));
}

#[tokio::test]
async fn r8_a_level_that_has_lost_its_news_is_passed_by_until_it_is_opened() {
    let lose: [fn(&Fleet); 2] = [|fleet| fleet.level.flush(), |fleet| fleet.level.fail_over()];
    for lose in lose {
        let fleet = Fleet::open(Rule::On).await;
        fleet.copy().await.read().await;
        lose(&fleet);
        fleet.prices.commit();
        let copy = fleet.copy().await;
        let answer = copy.read().await;
        assert_eq!((answer.value(), answer.certificate().path), (Some(&2), Path::Source));
        assert_eq!(copy.view.counts().l2_bypasses, 2);
        fleet.level.tend().await.unwrap();
        let copy = fleet.copy().await;
        let answer = copy.read().await;
        assert_eq!((answer.value(), answer.certificate().path), (Some(&2), Path::Source));
        assert_eq!(copy.view.counts().l2_misses, 2, "what was there is as good as absent");
    }
}

#[tokio::test]
async fn a_promotion_does_not_outlive_the_epoch_it_began_in() {
    let fleet = Fleet::open(Rule::On).await;
    let pause = Pause::first();
    let second = fleet.copy_over(Line::new(&fleet.level, pause.clone())).await;
    fleet.copy().await.read().await;
    let reader = second.spawn(&Pause::none(), true);
    pause.reached().await;
    fleet.prices.commit();
    tidings_core::port::Store::open_epoch(&*second.fence, "a gap").await.unwrap();
    pause.release();
    let answer = within(reader).await.unwrap();
    assert_eq!((answer.value(), answer.certificate().path), (Some(&2), Path::Source));
}
