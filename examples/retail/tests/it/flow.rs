//! From a commit to a fresh read, under load, and across a restart.

use retail::load::Load;
use retail::{ListingKey, Market, Sort};

use std::sync::atomic::Ordering::Relaxed;
use tidings_testkit::Checker;
use tidings_testkit::history::Record;

use tidings_testkit::until;

use crate::fixture::{COPY, Fixture, shown};

on_each_engine! {
    crate::fixture::settings();
    a_price_reaches_the_page_and_every_number_adds_up,
    a_restart_forgets_nothing,
}

/// With the bound that the platform has by default.
mod tight {
    on_each_engine! {
        retail::Settings { bound: retail::Settings::default().bound, ..crate::fixture::settings() };
        under_load_everything_committed_is_applied_and_shown,
    }

    use super::under_load_everything_committed_is_applied_and_shown;
}

async fn a_price_reaches_the_page_and_every_number_adds_up(shop: Fixture) {
    let sku = shop.sku(0);
    let before = shop.cache_page(&sku, Market::Eu).await;
    let written = shop.platform.set_price(&sku, Market::Eu, before.cents + 1).await.unwrap();
    let page = until("the cached page shows the price", async || {
        let page = shop.platform.product(&sku, Market::Eu).await.unwrap();
        (page.certificate().path == tidings::Path::L1)
            .then(|| page.value().cloned().unwrap())
            .filter(|page| page.cents != before.cents)
    })
    .await;
    assert_eq!((page.cents, page.price_version), (before.cents + 1, written.token.version));

    // 400 products, content once and price and stock in five regions.
    assert_eq!(shop.seen.baseline.load(Relaxed), 400 * 11);
    let stats = shop.platform.stats();
    let told: Vec<_> = stats.contexts.iter().map(|c| (c.name, c.commits, c.events)).collect();
    assert_eq!(told, [("catalog", 0, 0), ("pricing", 1, 1), ("inventory", 0, 0)]);
    assert_eq!((stats.consumer.applied, stats.consumer.parked, stats.consumer.gaps), (1, 0, 0));
    let reads = shop.seen.reads.load(Relaxed) as u64;
    let counted: u64 = stats.views.iter().map(|view| view.counts.hits + view.counts.misses).sum();
    assert_eq!(counted, reads);
    assert!(stats.contexts.iter().all(|c| c.caught_up.is_some()));
}

async fn under_load_everything_committed_is_applied_and_shown(shop: Fixture) {
    let load = Load { changes_per_s: 200, reads_per_change: 5, seed: 3 }.spawn(shop.platform.clone());
    until("300 changes and 1,500 reads are done", async || {
        let totals = load.totals();
        (totals.changes >= 300 && totals.reads >= 1_500).then_some(())
    })
    .await;
    let totals = load.stop().await.unwrap();
    assert_eq!((totals.changes_failed, totals.reads_failed), (0, 0));
    shop.stop().await;

    let committed = shop.seen.committed.lock().unwrap().clone();
    assert_eq!(committed, *shop.seen.applied.lock().unwrap());
    let events: u64 = shop.platform.stats().contexts.iter().map(|context| context.events).sum();
    assert_eq!(events, committed.len() as u64);

    let (upto, held) = (shop.seen.history.now(), shop.platform.held().await.unwrap());
    assert!(held.len() >= 400 * 11, "the read model alone holds so much: {}", held.len());
    for held in held.into_iter().map(shown) {
        let at = shop.seen.history.now();
        shop.seen.history.record(Record::Held { copy: COPY.into(), shown: held, upto, at });
    }

    let mut checker = Checker::new();
    shop.seen.history.drain().into_iter().for_each(|record| checker.record(record));
    let verdict = checker.verdict().unwrap();
    assert!(verdict.is_clean(), "{verdict}");
    assert!(verdict.counts.reads >= 1_500 && verdict.counts.commits == events, "{verdict}");
    assert_eq!(verdict.accounts.iter().map(|account| account.parked).sum::<u64>(), 0);
}

async fn a_restart_forgets_nothing(shop: Fixture) {
    let sku = shop.sku(0);
    let before = shop.cache_page(&sku, Market::Eu).await;
    let written = shop.platform.set_price(&sku, Market::Eu, before.cents + 7).await.unwrap();
    let shop = shop.restart().await;
    let page = shop.cache_page(&sku, Market::Eu).await;
    assert_eq!((page.cents, page.price_version), (before.cents + 7, written.token.version));
    let key = ListingKey::new(&page.category, Market::Eu, Sort::Popularity).unwrap();
    let listing = shop.cache_listing(&key).await;
    let line = listing.lines.iter().find(|line| line.sku == sku).unwrap();
    assert_eq!((line.cents, line.price_version), (before.cents + 7, written.token.version));
    let again = shop.platform.set_price(&sku, Market::Eu, before.cents + 8).await.unwrap();
    assert_eq!(again.token.version, written.token.version.next());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_from_a_newer_version_is_refused() {
    let shop = Fixture::start().await;
    let refused = shop
        .reopen_after(|dir| {
            let db = rusqlite::Connection::open(dir.join("pricing.db")).unwrap();
            db.execute("UPDATE baseline SET format = 99", []).unwrap();
        })
        .await
        .err();
    let refused = refused.unwrap();
    assert_eq!(refused.code(), tidings::Code::STORE_TOO_NEW);
    assert!(refused.to_string().contains("pricing.db"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_read_model_begins_again_with_what_the_owners_say() {
    let shop = Fixture::start().await;
    let sku = shop.sku(0);
    let page = shop.cache_page(&sku, Market::Eu).await;
    shop.platform.set_price(&sku, Market::Eu, 1).await.unwrap();
    let shop = shop
        .reopen_after(|dir| {
            for file in ["experience.db", "experience.db-wal", "experience.db-shm"] {
                // The last two are gone already if the file was closed in order.
                let _ = std::fs::remove_file(dir.join(file));
            }
            assert!(!dir.join("experience.db").exists());
        })
        .await
        .unwrap();
    let key = ListingKey::new(&page.category, Market::Eu, Sort::Price).unwrap();
    let listing = shop.cache_listing(&key).await;
    assert_eq!((&listing.lines[0].sku, listing.lines[0].cents), (&sku, 1));
}
