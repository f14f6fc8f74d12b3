//! Replicas that lag, held to what has been heard and shown.

use tidings::{BoxError, Fill, Freshness, Loaded, Path};

use super::{BEHIND, EARLY, bare, begin, claims, early, heard, key, mark, ms, versioned};
use crate::shop::{Rule, Shop, within};

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
        let is_behind = hit.freshness() == BEHIND;
        assert_eq!(is_behind, !is_kept, "read {read_ago} ms ago: {}", hit.freshness());
    }
}

/// A replica of this copy's source, as of so long ago.
async fn replica(shop: &Shop, fill: Fill, ago: u64, seen: u64) -> Result<Loaded<u64>, BoxError> {
    fill.as_of(shop.clock.wall().minus(ms(ago)));
    bare(fill, seen).await
}

/// The primary shows version 3 before its event has come; a replica of a moment ago still has version 2.
#[tokio::test(start_paused = true)]
async fn i1_a_replica_does_not_take_back_what_was_shown_without_a_version() {
    // Whether it is kept; whether it is dropped then.
    for (is_kept, is_dropped) in [(false, false), (true, false), (true, true)] {
        let shop = Shop::open(Rule::On);
        begin(&shop).await;
        let view = heard(&shop);
        let primary = async |fill: Fill| {
            fill.depends_unversioned("price", "42");
            if !is_kept {
                shop.hear("price", "42", 2);
            }
            shop.clock.advance(ms(500));
            bare(fill, 3).await
        };
        let shown = within(view.get(&key(), primary)).await.unwrap();
        assert_eq!((claims(&shown), shown.certificate().path == Path::Source), (true, is_kept));
        if is_dropped {
            view.clear();
        }
        shop.clock.advance(ms(100));
        // Later than the news, and than the ticket of the load that was shown; but not than what that may have read.
        let lagging = async |fill: Fill| replica(&shop, fill, 101, 2).await;
        if is_kept && !is_dropped {
            view.open_epoch();
        }
        let next = within(view.get(&key(), lagging)).await.unwrap();
        assert_eq!(next.freshness(), BEHIND, "kept {is_kept}, dropped {is_dropped}");
        assert!(view.cached(&key()).is_none_or(|hit| hit.value() == Some(&3)));
        let caught_up = async |fill: Fill| replica(&shop, fill, 100, 3).await;
        let next = within(view.get(&key(), caught_up)).await.unwrap();
        assert!(claims(&next), "kept {is_kept}, dropped {is_dropped}: {}", next.freshness());
    }
}

/// However often it is loaded again: a replica follows itself.
#[tokio::test(start_paused = true)]
async fn a_replica_that_always_lags_by_as_much_is_kept_each_time() {
    let shop = Shop::open(Rule::On);
    begin(&shop).await;
    let view = heard(&shop);
    shop.clock.advance(ms(2_000));
    for version in 1..5 {
        shop.clock.advance(ms(10));
        let hit =
            within(view.get(&key(), async |fill: Fill| replica(&shop, fill, 1_500, version).await)).await;
        assert_eq!(hit.unwrap().certificate().path, Path::Source, "version {version}");
        view.clear();
    }
}

/// Outrun by news, and behind it as well: it says the latter.
#[tokio::test(start_paused = true)]
async fn i1_a_replica_that_news_outran_is_behind() {
    let shop = Shop::open(Rule::On);
    begin(&shop).await;
    let view = heard(&shop);
    shop.clock.advance(ms(1_000));
    let outrun = async |fill: Fill| {
        shop.hear("price", "42", 2);
        replica(&shop, fill, 15, 1).await
    };
    let hit = within(view.get(&key(), outrun)).await.unwrap();
    assert_eq!(hit.freshness(), BEHIND);
}

/// Its state is younger than the news, and older than the row that the news is of.
#[tokio::test(start_paused = true)]
async fn i1_a_replica_may_lack_the_row_of_news_from_just_before_it() {
    let (shop, view) = early();
    begin(&shop).await;
    shop.clock.advance(ms(5_000));
    shop.hear("price", "42", 2);
    shop.clock.advance(EARLY + ms(10));
    for (ago, is_behind) in [(11, true), (10, false)] {
        let lagging = async |fill: Fill| replica(&shop, fill, ago, 1).await;
        let hit = within(view.get(&key(), lagging)).await.unwrap();
        assert_eq!(hit.freshness() == BEHIND, is_behind, "{ago} ms ago: {}", hit.freshness());
    }
}

/// Of an answer of two states each load reads another one from a replica. The present that it was shown with binds, too.
#[tokio::test(start_paused = true)]
async fn i1_a_composite_whose_parts_lag_by_turns_does_not_go_back() {
    for (second_ago, goes_back) in [(300, true), (100, false)] {
        let shop = Shop::open(Rule::On);
        begin(&shop).await;
        let view = heard(&shop);
        shop.clock.advance(ms(3_000));
        let load = async |fill: Fill, states: [u64; 2], seen: u64| {
            for ago in states {
                fill.as_of(shop.clock.wall().minus(ms(ago)));
            }
            fill.depends_unversioned("price", "1");
            bare(fill, seen).await
        };
        // The first part as of a second ago, the second as it is.
        let shown = within(view.get(&key(), async |fill| load(fill, [1_000, 0], 3).await)).await.unwrap();
        assert!(claims(&shown));
        view.clear();
        shop.clock.advance(ms(200));
        // Now the first as it is, the second from before or after it was shown.
        let next = within(view.get(&key(), async |fill| load(fill, [0, second_ago], 2).await)).await.unwrap();
        assert_eq!(next.freshness() == BEHIND, goes_back, "{second_ago} ms: {}", next.freshness());
    }
}

/// Before a restart it may have shown what was ahead of the news, and nobody remembers that.
#[tokio::test(start_paused = true)]
async fn i1_what_is_in_step_is_not_from_before_this_copy_began() {
    let shop = Shop::open(Rule::On);
    shop.clock.advance(ms(1_000));
    begin(&shop).await;
    let view = heard(&shop);
    shop.clock.advance(ms(100));
    for (is_marked, ago, is_kept) in [(false, 101, false), (true, 101, false), (true, 100, true)] {
        if is_marked {
            mark(&shop).await;
        }
        let in_step = async |fill: Fill| {
            fill.as_of(shop.clock.wall().minus(ms(ago)));
            fill.in_step();
            versioned(fill, 6).await
        };
        let hit = within(view.get(&key(), in_step)).await.unwrap();
        assert_eq!(view.cached(&key()).is_some(), is_kept, "as of {ago} ms ago");
        assert_eq!(hit.freshness() == Freshness::Unverified, !is_kept, "{ago} ms: {}", hit.freshness());
    }
}
