//! What is cached under which key, and what news does to it.

use retail::catalog::Revision;
use retail::experience::ProductKey;
use retail::pricing::Offer;
use retail::{ListingKey, Market, Sku, Sort};
use std::time::Duration;
use tidings::Path;

use tidings_testkit::until;

use crate::fixture::Fixture;

on_each_engine! {
    crate::fixture::settings();
    s87_a_price_reaches_its_page_and_every_order_of_its_listings,
    a_product_that_moves_leaves_one_listing_and_enters_another,
    a_promotion_begins_and_ends_by_the_clock_of_pricing_and_never_early,
    what_does_not_exist_is_cached_as_absent,
}

#[test]
fn s87_details_are_kept_by_sku_and_region_and_listings_by_category_region_and_sort() {
    let detail = ProductKey { sku: Sku::parse("SKU-00042").unwrap(), market: Market::Uk };
    assert_eq!(detail.to_string(), "SKU-00042/uk");
    let listings =
        Sort::ALL.map(|sort| ListingKey::new("running-shoes", Market::Jp, sort).unwrap().to_string());
    assert_eq!(
        listings,
        ["running-shoes/jp/price", "running-shoes/jp/popularity", "running-shoes/jp/newest"]
    );
}

async fn s87_a_price_reaches_its_page_and_every_order_of_its_listings(shop: Fixture) {
    let sku = shop.sku(0);
    let category = shop.cache_page(&sku, Market::Eu).await.category;
    let listing = |market, sort| ListingKey::new(&category, market, sort).unwrap();
    for sort in Sort::ALL {
        shop.cache_listing(&listing(Market::Eu, sort)).await;
    }
    let elsewhere = shop.cache_listing(&listing(Market::Us, Sort::Price)).await;
    shop.platform.set_price(&sku, Market::Eu, 1).await.unwrap();
    shop.settle().await;

    assert_eq!(shop.platform.product(&sku, Market::Eu).await.unwrap().value().unwrap().cents, 1);
    for sort in Sort::ALL {
        let page = shop.platform.listing(&listing(Market::Eu, sort)).await.unwrap();
        let line = page.value().unwrap().lines.iter().find(|line| line.sku == sku).unwrap();
        assert_eq!(line.cents, 1, "{sort:?}");
    }
    let cheapest = shop.platform.listing(&listing(Market::Eu, Sort::Price)).await.unwrap();
    assert_eq!(cheapest.value().unwrap().lines[0].sku, sku, "it has moved to the front");
    let untouched = shop.platform.listing(&listing(Market::Us, Sort::Price)).await.unwrap();
    assert_eq!((untouched.certificate().path, untouched.value()), (Path::L1, Some(&elsewhere)));
}

async fn a_product_that_moves_leaves_one_listing_and_enters_another(shop: Fixture) {
    let sku = shop.sku(0);
    let before = shop.cache_page(&sku, Market::Jp).await.category;
    let after = if before == "toys" { "tents" } else { "toys" };
    let listing = |category: &str| ListingKey::new(category, Market::Jp, Sort::Popularity).unwrap();
    assert!(shop.cache_listing(&listing(&before)).await.lines.iter().any(|line| line.sku == sku));
    assert!(!shop.cache_listing(&listing(after)).await.lines.iter().any(|line| line.sku == sku));
    let moved = Revision { category: Some(after.into()), ..Revision::default() };
    shop.platform.revise(&sku, moved).await.unwrap();
    shop.settle().await;
    for (category, expected) in [(before.as_str(), false), (after, true)] {
        let page = shop.platform.listing(&listing(category)).await.unwrap();
        assert_eq!(page.value().unwrap().lines.iter().any(|line| line.sku == sku), expected, "{category}");
    }
}

async fn a_promotion_begins_and_ends_by_the_clock_of_pricing_and_never_early(shop: Fixture) {
    let sku = shop.sku(3);
    let base = shop.cache_page(&sku, Market::Eu).await.cents;
    let (starts_in, lasts) = (Duration::from_millis(300), Duration::from_millis(700));
    let offer = Offer { sku: sku.clone(), market: Market::Eu, percent: 50, starts_in, lasts };
    let window = shop.platform.promote(offer).await.unwrap().window;
    let shown = async |percent: Option<u8>| {
        until("the page shows the promotion's turn", async || {
            let page = shop.platform.product(&sku, Market::Eu).await.unwrap();
            page.value().cloned().filter(|page| page.percent_off == percent)
        })
        .await
    };
    let page = shown(Some(50)).await;
    assert!(shop.clock.wall() >= window.from.unwrap(), "not before it begins");
    assert_eq!((page.cents, page.base_cents), (base / 2, base));
    let page = shown(None).await;
    assert!(shop.clock.wall() >= window.until.unwrap(), "not after it has ended");
    assert_eq!(page.cents, base);
    let told = until("the end is told", async || {
        let kinds: Vec<_> = shop.events("pricing").await.iter().map(|event| event.kind.to_string()).collect();
        (kinds.len() == 3).then_some(kinds)
    })
    .await;
    let expected = ["pricing.PromotionScheduled", "pricing.PromotionActivated", "pricing.PromotionExpired"];
    assert_eq!(told, expected);
}

async fn what_does_not_exist_is_cached_as_absent(shop: Fixture) {
    let unknown = Sku::parse("SKU-99999").unwrap();
    until("its absence is cached", async || {
        let page = shop.platform.product(&unknown, Market::Eu).await.unwrap();
        assert_eq!(page.value(), None);
        (page.certificate().path == Path::L1).then_some(())
    })
    .await;
}
