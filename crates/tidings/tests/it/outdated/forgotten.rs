//! What nobody can tell, and what an epoch must not hide.

use std::time::Duration;

use tidings::{FenceSettings, Fill, Freshness};

use super::{BEHIND, bare, begin, heard, key, ms, open, versioned};
use crate::shop::{Rule, Shop, within};

/// Older than news which there was no room for: with or without a version, nothing else remembers what it may lack.
#[tokio::test(start_paused = true)]
async fn i1_a_replica_from_before_forgotten_news_claims_nothing() {
    for (has_version, ago, is_known) in [(false, 8_000, false), (true, 8_000, false), (false, 6_999, true)] {
        let keep = Duration::from_secs(6);
        let shop = open(FenceSettings { floors: 1, keep, ..FenceSettings::default() });
        begin(&shop).await;
        let view = heard(&shop);
        shop.clock.advance(ms(2_000));
        shop.hear("price", "42", 2);
        // Late enough that nothing but what lags may lack it.
        shop.clock.advance(ms(7_000));
        shop.hear("price", "7", 1);
        assert_eq!(shop.fence.floors(), 1);
        let lagging = async |fill: Fill| {
            fill.as_of(shop.clock.wall().minus(ms(ago)));
            if has_version { versioned(fill, 1).await } else { bare(fill, 1).await }
        };
        let hit = within(view.get(&key(), lagging)).await.unwrap();
        let expected = if is_known { Freshness::Within(ms(ago)) } else { Freshness::Unverified };
        assert_eq!(hit.freshness(), expected, "version {has_version}, {ago} ms ago");
        assert_eq!(view.cached(&key()).is_some(), is_known, "version {has_version}, {ago} ms ago");
    }
}

#[tokio::test(start_paused = true)]
async fn i1_a_replica_from_before_this_copy_followed_claims_nothing() {
    for (has_version, ago, is_known) in [(false, 101, false), (true, 101, false), (false, 100, true)] {
        let shop = Shop::open(Rule::On);
        shop.clock.advance(ms(5_000));
        begin(&shop).await;
        let view = heard(&shop);
        shop.clock.advance(ms(100));
        let lagging = async |fill: Fill| {
            fill.as_of(shop.clock.wall().minus(ms(ago)));
            if has_version { versioned(fill, 1).await } else { bare(fill, 1).await }
        };
        let hit = within(view.get(&key(), lagging)).await.unwrap();
        let expected = if is_known { Freshness::Within(ms(ago)) } else { Freshness::Unverified };
        assert_eq!(hit.freshness(), expected, "version {has_version}, {ago} ms ago");
    }
}

/// Loaded each time while an epoch is opened, it is at last given as it is: as what it is known to be.
#[tokio::test(start_paused = true)]
async fn i1_an_epoch_does_not_hide_that_a_load_is_behind_or_that_nobody_can_tell() {
    for (lags, expected) in [(false, BEHIND), (true, Freshness::Unverified)] {
        let shop = Shop::open(Rule::On);
        begin(&shop).await;
        let view = heard(&shop);
        if !lags {
            shop.hear("price", "42", 2);
        }
        let load = async |fill: Fill| {
            view.open_epoch();
            if lags {
                fill.as_of(shop.clock.wall().minus(ms(1)));
            }
            versioned(fill, 1).await
        };
        let hit = within(view.get(&key(), load)).await.unwrap();
        assert_eq!(hit.freshness(), expected, "lags {lags}");
    }
}
