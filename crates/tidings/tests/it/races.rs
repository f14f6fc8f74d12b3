//! The races between fills and invalidations (named as in the literature on caches), each played out step by step.
//!
//! Every scenario runs twice: with the accept rule, where nothing stale may be served; and without it, where the same
//! scenario must go wrong, or it would prove nothing.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidings::{Fill, Loaded};

use crate::shop::{BOUND, Pause, Rule, Shop, Source, honest, load, not_cached_below, settle, v, within};

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
    r1_s51_a_late_fill_cannot_land: late_fill;
    r2_who_comes_after_the_news_does_not_join_the_flight_from_before: joining_an_old_flight;
    r3_a_background_refresh_is_a_fill: late_refresh;
    r4_a_region_bump_reaches_the_fill_in_flight: late_fill_under_a_region;
    r5_an_old_filler_does_not_overwrite_a_newer_one: two_fillers;
    r7_s127_an_old_event_does_not_lower_the_floor: replayed_event;
    r9_promotion_is_a_fill: promotion;
    r10_the_floor_rises_before_the_shared_level_is_cleared: refill_between_levels;
    r11_s98_a_copy_that_hears_nothing_knows_that_it_is_blind: silence;
    r12_a_composite_is_held_to_each_of_its_parts: composite;
    r14_absence_is_held_to_what_would_appear: negative;
}

async fn late_fill(rule: Rule) -> Result<(), String> {
    let (shop, source, pause) = (Shop::open(rule), Source::at(1), Pause::first());
    let view = shop.view();
    let reader = tokio::spawn({
        let (view, source, pause) = (view.clone(), source.clone(), pause.clone());
        async move { view.get(&"k".into(), |fill| load(fill, &source, &pause)).await }
    });
    pause.reached().await;
    source.commit(2);
    shop.hear("price", "42", 2);
    pause.release();
    within(reader).await.unwrap().unwrap();
    not_cached_below(&view, "k", 2)
}

async fn joining_an_old_flight(rule: Rule) -> Result<(), String> {
    let (shop, source, pause) = (Shop::open(rule), Source::at(1), Pause::first());
    let view = shop.view();
    let read = || {
        let (view, source, pause) = (view.clone(), source.clone(), pause.clone());
        tokio::spawn(async move {
            let load = async |fill: Fill| {
                fill.floor("price", "42");
                load(fill, &source, &pause).await
            };
            view.get(&"k".into(), load).await
        })
    };
    let before = read();
    pause.reached().await;
    source.commit(2);
    shop.hear("price", "42", 2);
    let after = read();
    settle().await;
    if rule == Rule::On {
        // It does not even wait for the old flight.
        honest(&within(after).await.unwrap().unwrap(), 2)?;
        pause.release();
        within(before).await.unwrap().unwrap();
        return Ok(());
    }
    pause.release();
    within(before).await.unwrap().unwrap();
    honest(&within(after).await.unwrap().unwrap(), 2)
}

async fn late_refresh(rule: Rule) -> Result<(), String> {
    let (shop, source, pause) = (Shop::open(rule), Source::at(1), Pause::first());
    let resident = {
        let (source, pause) = (source.clone(), pause.clone());
        move |_: String, fill: Fill| {
            let (source, pause) = (source.clone(), pause.clone());
            async move { load(fill, &source, &pause).await }
        }
    };
    let view = shop.builder().soft_ttl(Duration::from_secs(1)).loader(resident).build().unwrap();
    // The first load is not the one to stop.
    let open = Pause::none();
    within(view.get(&"k".into(), |fill| load(fill, &source, &open))).await.unwrap();
    shop.clock.advance(Duration::from_millis(1_100));
    within(view.read(&"k".into())).await.unwrap();
    pause.reached().await;
    source.commit(2);
    shop.hear("price", "42", 2);
    pause.release();
    settle().await;
    not_cached_below(&view, "k", 2)
}

async fn late_fill_under_a_region(rule: Rule) -> Result<(), String> {
    let (shop, source, pause) = (Shop::open(rule), Source::at(1), Pause::first());
    let view = shop.view();
    let reader = tokio::spawn({
        let (view, source, pause) = (view.clone(), source.clone(), pause.clone());
        async move {
            let load = async |fill: Fill| {
                let seen = source.read();
                pause.pass().await;
                fill.depends_on_region("category", "lamps");
                Ok(Loaded::unversioned(seen))
            };
            view.get(&"k".into(), load).await
        }
    });
    pause.reached().await;
    source.commit(2);
    shop.bump("category", "lamps");
    pause.release();
    within(reader).await.unwrap().unwrap();
    not_cached_below(&view, "k", 2)
}

async fn two_fillers(rule: Rule) -> Result<(), String> {
    let (shop, source, pause) = (Shop::open(rule), Source::at(1), Pause::first());
    // Two nodes that fill one shared level: two views could not overwrite one another, two flights of one can.
    let view = shop.view();
    let slow = tokio::spawn({
        let (view, source, pause) = (view.clone(), source.clone(), pause.clone());
        async move {
            view.get_at_least(&"k".into(), (&price(), crate::shop::stamp(1)), |f| load(f, &source, &pause))
                .await
        }
    });
    pause.reached().await;
    source.commit(2);
    shop.hear("price", "42", 2);
    within(view.get(&"other".into(), |fill| load(fill, &source, &pause))).await.unwrap();
    pause.release();
    within(slow).await.unwrap().unwrap();
    not_cached_below(&view, "k", 2)?;
    not_cached_below(&view, "other", 2)
}

async fn replayed_event(rule: Rule) -> Result<(), String> {
    let shop = Shop::open(rule);
    let view = shop.view();
    shop.hear("price", "42", 3);
    shop.hear("price", "42", 2);
    // A replica that has not seen version 3 yet.
    let lagging = |fill: Fill| async move {
        fill.depends("price", "42", v(2));
        Ok(Loaded::new(v(2), 2))
    };
    let answer = within(view.get(&"k".into(), lagging)).await.unwrap();
    honest(&answer, 3)?;
    not_cached_below(&view, "k", 3)
}

/// Reads the shared level, or the source if that is empty.
async fn from_two_levels(
    fill: Fill,
    shared: &Mutex<Option<u64>>,
    source: &Source,
    pause: &Pause,
) -> Result<Loaded<u64>, tidings::BoxError> {
    let held = *shared.lock();
    let seen = held.unwrap_or_else(|| source.read());
    pause.pass().await;
    fill.depends("price", "42", v(seen));
    Ok(Loaded::new(v(seen), seen))
}

async fn promotion(rule: Rule) -> Result<(), String> {
    let (shop, source, pause) = (Shop::open(rule), Source::at(1), Pause::first());
    let shared = Arc::new(Mutex::new(Some(1)));
    let view = shop.view();
    let reader = tokio::spawn({
        let (view, source, pause, shared) = (view.clone(), source.clone(), pause.clone(), shared.clone());
        async move { view.get(&"k".into(), |fill| from_two_levels(fill, &shared, &source, &pause)).await }
    });
    pause.reached().await;
    source.commit(2);
    *shared.lock() = None;
    shop.hear("price", "42", 2);
    pause.release();
    honest(&within(reader).await.unwrap().unwrap(), 2)?;
    not_cached_below(&view, "k", 2)
}

async fn refill_between_levels(rule: Rule) -> Result<(), String> {
    let (shop, source) = (Shop::open(rule), Source::at(1));
    let shared = Mutex::new(Some(1));
    let view = shop.view();
    source.commit(2);
    shop.hear("price", "42", 2);
    // The shared level still has the old value when somebody reads.
    let open = Pause::none();
    let load = |fill| from_two_levels(fill, &shared, &source, &open);
    honest(&within(view.get(&"k".into(), load)).await.unwrap(), 2)?;
    *shared.lock() = None;
    not_cached_below(&view, "k", 2)
}

async fn silence(rule: Rule) -> Result<(), String> {
    let (shop, source) = (Shop::open(rule), Source::at(1));
    let view = shop.view();
    let open = Pause::none();
    within(view.get(&"k".into(), |fill| load(fill, &source, &open))).await.unwrap();
    source.commit(2);
    // No event comes, and no mark: the connection is gone.
    shop.clock.advance(BOUND + Duration::from_millis(1));
    honest(&within(view.get(&"k".into(), |fill| load(fill, &source, &open))).await.unwrap(), 2)
}

async fn composite(rule: Rule) -> Result<(), String> {
    let (shop, price, stock, pause) = (Shop::open(rule), Source::at(1), Source::at(7), Pause::first());
    let view = shop.view();
    let reader = tokio::spawn({
        let (view, price, stock, pause) = (view.clone(), price.clone(), stock.clone(), pause.clone());
        async move {
            let load = async |fill: Fill| {
                let (a, b) = (price.read(), stock.read());
                pause.pass().await;
                fill.depends("price", "42", v(a));
                fill.depends("stock", "42", v(b));
                Ok(Loaded::unversioned(b))
            };
            view.get(&"k".into(), load).await
        }
    });
    pause.reached().await;
    stock.commit(8);
    shop.hear("stock", "42", 8);
    pause.release();
    within(reader).await.unwrap().unwrap();
    not_cached_below(&view, "k", 8)
}

async fn negative(rule: Rule) -> Result<(), String> {
    let (shop, source, pause) = (Shop::open(rule), Source::at(0), Pause::first());
    let view = shop.view();
    let reader = tokio::spawn({
        let (view, source, pause) = (view.clone(), source.clone(), pause.clone());
        async move {
            let load = async |fill: Fill| {
                let seen = source.read();
                pause.pass().await;
                fill.depends_unversioned("price", "42");
                Ok(if seen == 0 { Loaded::absent() } else { Loaded::new(v(seen), seen) })
            };
            view.get(&"k".into(), load).await
        }
    });
    pause.reached().await;
    source.commit(1);
    shop.hear("price", "42", 1);
    pause.release();
    within(reader).await.unwrap().unwrap();
    match view.cached(&"k".to_owned()) {
        Some(hit) if hit.value().is_none() => Err("cached as absent, although it exists".into()),
        _ => Ok(()),
    }
}

fn price() -> tidings::Entity {
    tidings::Entity::new("price", "42").unwrap()
}
