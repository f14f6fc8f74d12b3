//! Answers that are outdated without news that says so: rows that follow their events, loads that lag or cross without
//! versions, views that hear no marks. Each fails if its guard is removed.

use std::time::Duration;

use tidings::{
    BoxError, Clock, Fence, FenceSettings, Fill, Freshness, Loaded, Offset, Partition, Path, Position, Topic,
    Truth, View,
};
use tidings_core::certificate::Cause;
use tidings_core::port::{Batch, Store};

use crate::shop::{BOUND, Pause, Rule, Shop, Source, v, within};

/// How long before their rows events come, where they do.
const EARLY: Duration = Duration::from_secs(1);

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

fn open(settings: FenceSettings) -> Shop {
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(100));
    Shop { fence: Fence::new(settings, clock.clone()), clock }
}

/// A shop whose source publishes commits before they can be read, and its view.
fn early() -> (Shop, View<String, u64>) {
    let shop = open(FenceSettings { visible_within: EARLY, ..FenceSettings::default() });
    let view = heard(&shop);
    (shop, view)
}

fn heard(shop: &Shop) -> View<String, u64> {
    shop.builder().truth(Truth::Push(Duration::from_secs(10))).sources([&topic()]).build().unwrap()
}

async fn begin(shop: &Shop) {
    shop.fence.begin("shop", &[partition()]).await.unwrap();
}

/// Everything that was committed until now is known here.
async fn mark(shop: &Shop) {
    let next = Position { partition: partition(), offset: Offset(1) };
    let caught_up = Some(shop.clock.wall());
    let batch = Batch { consumer: "shop", actions: &[], events: &[], parked: &[], next: &next, caught_up };
    shop.fence.apply(batch).await.unwrap();
}

/// The age that what is held admits to.
fn age(view: &View<String, u64>) -> Option<Duration> {
    match view.cached(&key())?.freshness() {
        Freshness::Within(age) => Some(age),
        other => panic!("{other}"),
    }
}

/// Reads this now, and tells no version.
async fn bare(fill: Fill, seen: u64) -> Result<Loaded<u64>, BoxError> {
    fill.depends_unversioned("price", "42");
    Ok(Loaded::unversioned(seen))
}

/// Reads this now, with its version.
async fn versioned(fill: Fill, seen: u64) -> Result<Loaded<u64>, BoxError> {
    fill.depends("price", "42", v(seen));
    Ok(Loaded::new(v(seen), seen))
}

/// The row of an event may follow it, and the event may lie before the head that a consumer begins at, or in a gap.
#[tokio::test(start_paused = true)]
async fn marks_do_not_vouch_for_a_row_that_may_follow_an_event_which_was_missed() {
    for is_gap in [false, true] {
        let (shop, view) = early();
        if is_gap {
            begin(&shop).await;
            shop.clock.advance(ms(5_000));
            shop.fence.open_epoch("a gap").await.unwrap();
        } else {
            begin(&shop).await;
        }
        // Version 2 was published just before, and can be read in a moment.
        shop.clock.advance(EARLY - ms(100));
        within(view.get(&key(), |fill| versioned(fill, 1))).await.unwrap();
        shop.clock.advance(ms(50));
        let visible = shop.clock.elapsed();
        shop.clock.advance(ms(3_000));
        mark(&shop).await;
        let told = age(&view).unwrap();
        assert!(told >= shop.clock.elapsed() - visible, "gap {is_gap}: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn marks_do_not_vouch_for_a_row_that_may_follow_an_event_which_was_heard() {
    let (shop, view) = early();
    begin(&shop).await;
    shop.clock.advance(ms(5_000));
    shop.hear("price", "42", 2);
    shop.clock.advance(EARLY - ms(100));
    within(view.get(&key(), |fill| bare(fill, 1))).await.unwrap();
    shop.clock.advance(ms(50));
    let visible = shop.clock.elapsed();
    shop.clock.advance(ms(3_000));
    mark(&shop).await;
    let told = age(&view);
    assert!(told.is_none_or(|told| told >= shop.clock.elapsed() - visible), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn marks_vouch_for_what_was_loaded_once_every_row_could_be_read() {
    let (shop, view) = early();
    begin(&shop).await;
    shop.hear("price", "42", 2);
    shop.clock.advance(EARLY);
    within(view.get(&key(), |fill| bare(fill, 2))).await.unwrap();
    shop.clock.advance(ms(5_000));
    mark(&shop).await;
    let told = age(&view).unwrap();
    assert!(told <= ms(100), "{told:?}");
}

/// Without a version no floor judges what a replica brings: when it was read does.
#[tokio::test(start_paused = true)]
async fn what_was_read_before_news_already_heard_is_not_kept() {
    for (read_ago, is_kept) in [(1_500, false), (1_000, false), (999, true)] {
        let shop = Shop::open(Rule::On);
        begin(&shop).await;
        let view = heard(&shop);
        shop.clock.advance(ms(3_000));
        shop.hear("price", "42", 2);
        shop.clock.advance(ms(1_000));
        let lagging = |fill: Fill| {
            fill.as_of(shop.clock.wall().minus(ms(read_ago)));
            bare(fill, 1)
        };
        let hit = within(view.get(&key(), lagging)).await.unwrap();
        assert_eq!(view.cached(&key()).is_some(), is_kept, "read {read_ago} ms ago");
        let is_behind = hit.freshness() == Freshness::Stale(Cause::SourceBehind);
        assert_eq!(is_behind, !is_kept, "read {read_ago} ms ago: {}", hit.freshness());
    }
}

/// A second load begins, since the first has asked about something that moved; but it does not depend on that.
#[tokio::test(start_paused = true)]
async fn of_two_loads_without_versions_the_one_that_read_earlier_does_not_win() {
    for apart in [Duration::from_micros(3), Duration::from_secs(30), Duration::from_secs(7_000)] {
        let shop = open(FenceSettings { keep: Duration::from_secs(9_000), ..FenceSettings::default() });
        begin(&shop).await;
        let (view, source, pause) = (heard(&shop), Source::at(1), Pause::first());
        let read = async |fill: Fill| {
            fill.floor("stock", "7");
            let seen = source.read();
            pause.pass().await;
            bare(fill, seen).await
        };
        let key = key();
        let early = view.get(&key, &read);
        let late = async {
            pause.reached().await;
            source.commit(2);
            shop.clock.advance(apart);
            shop.hear("stock", "7", 1);
            let late = view.get(&key, &read).await;
            pause.release();
            late
        };
        let (early, late) = within(async { tokio::join!(early, late) }).await;
        let (early, late) = (early.unwrap(), late.unwrap());
        assert_eq!((late.value(), late.certificate().path), (Some(&2), Path::Source), "{apart:?} apart");
        assert_eq!(view.cached(&key).unwrap().value(), Some(&2), "{apart:?} apart");
        assert!(early.value() == Some(&2) || early.certificate().path == Path::SourceUnkept);
    }
}

/// Marks settle it for the views that hear them, and for the others with them.
#[tokio::test(start_paused = true)]
async fn i1_what_a_view_without_sources_has_shown_binds_the_others() {
    let shop = Shop::open(Rule::On);
    begin(&shop).await;
    let view = heard(&shop);
    let deaf: View<String, u64> =
        View::builder("deaf", &shop.fence).truth(Truth::Push(BOUND)).build().unwrap();
    let shown = within(deaf.get(&key(), |fill| versioned(fill, 2))).await.unwrap();
    assert_eq!(shown.value(), Some(&2));
    // The event has not come yet, and a replica lags.
    let hit = within(view.get(&key(), |fill| versioned(fill, 1))).await.unwrap();
    assert_eq!(hit.freshness(), Freshness::Stale(Cause::SourceBehind));
    assert!(view.cached(&key()).is_none());
}
