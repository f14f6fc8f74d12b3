//! Buying, with caches that are wrong.

use retail::checkout::Order;
use retail::{Market, Sku};
use tidings::Path;

use crate::fixture::{DRAIN, Fixture};

on_each_engine! {
    crate::fixture::settings();
    s89_an_order_is_placed_on_the_truth_while_the_cache_shows_something_else,
    the_last_units_are_sold_once,
}

fn order(sku: &Sku, quantity: u32, expected_cents: Option<u32>) -> Order {
    Order { sku: sku.clone(), market: Market::Eu, quantity, expected_cents }
}

async fn s89_an_order_is_placed_on_the_truth_while_the_cache_shows_something_else(shop: Fixture) {
    let sku = shop.sku(0);
    shop.platform.adjust_stock(&sku, Market::Eu, "eu-ham", 5).await.unwrap();
    shop.settle().await;
    let shown = shop.cache_page(&sku, Market::Eu).await;
    // The copy may be blind for a minute, so it goes on serving what is wrong.
    shop.platform.stop_consumer(DRAIN).await.unwrap();
    let price = shop.platform.set_price(&sku, Market::Eu, shown.cents + 100).await.unwrap();

    let page = shop.platform.product(&sku, Market::Eu).await.unwrap();
    assert_eq!(page.certificate().path, Path::L1);
    assert_eq!(page.value().unwrap().cents, shown.cents, "the cache is stale, as it was meant to be");

    let refused = shop.platform.check_out(order(&sku, 2, Some(shown.cents))).await.unwrap_err();
    assert_eq!(refused.code(), "PRICE_CHANGED");
    let placed = shop.platform.check_out(order(&sku, 2, None)).await.unwrap();
    assert_eq!((placed.unit_cents, placed.price_version), (shown.cents + 100, price.token.version));
    assert_eq!(placed.total_cents, u64::from(placed.unit_cents) * 2);

    let left = shop.platform.inventory().stock(&sku, Market::Eu).await.unwrap().unwrap().available;
    assert_eq!(left, shown.available - 2);
    let greedy = order(&sku, u32::try_from(shown.available).unwrap(), None);
    assert_eq!(
        shop.platform.check_out(greedy).await.unwrap_err().code(),
        "STOCK_SHORT",
        "as the cache would allow"
    );

    shop.platform.resume_consumer().await.unwrap();
    shop.settle().await;
    let page = shop.platform.product(&sku, Market::Eu).await.unwrap();
    assert_eq!(page.value().map(|page| (page.cents, page.available)), Some((shown.cents + 100, left)));
}

async fn the_last_units_are_sold_once(shop: Fixture) {
    let sku = shop.sku(5);
    let has = shop.platform.inventory().stock(&sku, Market::Eu).await.unwrap().unwrap().available;
    for node in Market::Eu.nodes() {
        // Leave nothing but what is added below.
        let mut taken = 0;
        while shop.platform.adjust_stock(&sku, Market::Eu, node, -1).await.is_ok() {
            taken += 1;
        }
        assert!(taken <= has);
    }
    shop.platform.adjust_stock(&sku, Market::Eu, "eu-ham", 3).await.unwrap();
    shop.platform.adjust_stock(&sku, Market::Eu, "eu-lyo", 2).await.unwrap();
    let buyers = (0..8).map(|_| {
        let (platform, order) = (shop.platform.clone(), order(&sku, 2, None));
        tokio::spawn(async move { platform.check_out(order).await.is_ok() })
    });
    let mut sold = 0;
    for buyer in buyers.collect::<Vec<_>>() {
        sold += usize::from(buyer.await.unwrap());
    }
    assert_eq!(sold, 2, "two orders of two fit into five");
    let left = shop.platform.inventory().stock(&sku, Market::Eu).await.unwrap().unwrap().available;
    assert_eq!(left, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_left_pending_by_a_crash_is_settled_once() {
    let shop = Fixture::start().await;
    let sku = shop.sku(0);
    shop.platform.adjust_stock(&sku, Market::Eu, "eu-ham", 50).await.unwrap();
    let before = shop.platform.inventory().stock(&sku, Market::Eu).await.unwrap().unwrap().available;
    let leave_pending = |dir: &std::path::Path| {
        let db = rusqlite::Connection::open(dir.join("checkout.db")).unwrap();
        let sql = "INSERT INTO orders (number, sku, region, quantity, unit_cents, price_version)
                   VALUES (7, ?1, 'eu', 4, 100, 1) ON CONFLICT DO UPDATE SET state = 'pending'";
        db.execute(sql, [sku.as_str()]).unwrap();
    };
    let mut shop = shop;
    for _ in 0..2 {
        shop = shop.reopen_after(leave_pending).await.unwrap();
        let left = shop.platform.inventory().stock(&sku, Market::Eu).await.unwrap().unwrap().available;
        assert_eq!(left, before - 4);
    }
}
