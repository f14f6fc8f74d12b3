//! A copy that missed records: the log was cut under it, or retention passed while it was away.

use std::collections::HashMap;

use retail::catalog::Revision;
use retail::{ListingKey, ListingPage, Market, Sku, Sort};
use tidings::Freshness;
use tidings_core::port::{Log, Retention};
use tidings_testkit::history::Record;
use tidings_testkit::{Checker, until};

use crate::fixture::{COPY, DRAIN, Fixture, shown};

on_each_engine! {
    crate::fixture::settings();
    what_a_copy_missed_it_takes_from_the_owners,
}

async fn what_a_copy_missed_it_takes_from_the_owners(shop: Fixture) {
    let key = toys(&shop).await;
    shop.cache_listing(&key).await;
    let moved = miss(&shop, &key).await;
    shop.platform.resume_consumer().await.unwrap();
    repaired(&shop).await;

    let listing = shop.cache_listing(&key).await;
    assert_eq!(listing.lines[0].cents, 1, "the price that it was never told");
    assert!(listing.lines.iter().all(|line| line.sku != moved), "it is in another category");
    let freshness = shop.platform.listing(&key).await.unwrap().certificate().freshness;
    assert!(matches!(freshness, Freshness::Fresh | Freshness::Within(_)), "{freshness:?}");

    // What comes now counts, and what a product's news concerns is known.
    shop.platform.set_price(&moved, Market::Eu, 2).await.unwrap();
    shop.settle().await;
    let tents = ListingKey::new("tents", Market::Eu, Sort::Price).unwrap();
    assert_eq!(shop.cache_listing(&tents).await.lines[0].sku, moved);
    judge(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_outlives_owners_that_fail_and_a_restart() {
    let shop = Fixture::start().await;
    let key = toys(&shop).await;
    let rename = |dir: &std::path::Path, from: &str, to: &str| {
        let db = rusqlite::Connection::open(dir.join("pricing.db")).unwrap();
        db.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).unwrap();
    };
    miss(&shop, &key).await;
    let knew = shop.platform.experience().caught_up();
    let retail::Place::Files(dir) = shop.place() else { panic!("not in files") };
    rename(&dir, "price", "away");
    shop.platform.resume_consumer().await.unwrap();
    until("the owner failed a few times", async || {
        let repairs = shop.platform.storefront().repairs();
        (repairs.open && repairs.failed >= 3).then_some(())
    })
    .await;
    // Marks of all that came after do not move it.
    assert_eq!(
        (shop.platform.experience().caught_up(), shop.platform.storefront().repairs().done),
        (knew, 0)
    );
    let listing = shop.platform.listing(&key).await.unwrap();
    assert!(!matches!(listing.certificate().freshness, Freshness::Fresh), "{:?}", listing.certificate());

    let shop = shop.reopen_unfinished(|dir| rename(dir, "away", "price")).await;
    repaired(&shop).await;
    assert_eq!(shop.cache_listing(&key).await.lines[0].cents, 1);
    assert!(shop.platform.experience().caught_up() > knew);
    compare(&shop).await;
}

/// The listing of the most popular toy by price.
async fn toys(shop: &Fixture) -> ListingKey {
    let key = ListingKey::new("toys", Market::Eu, Sort::Price).unwrap();
    assert!(shop.cache_listing(&key).await.lines.len() > 3);
    key
}

/// While the consumer is away, what listings show changes, and the log forgets the news. Returns what went to the tents.
async fn miss(shop: &Fixture, key: &ListingKey) -> Sku {
    let ListingPage { lines, .. } = shop.cache_listing(key).await;
    let [.., sold, moved, cheap] = &lines[..] else { panic!("too few") };
    shop.platform.stop_consumer(DRAIN).await.unwrap();
    shop.platform.set_price(&cheap.sku, Market::Eu, 1).await.unwrap();
    let tent = Revision { category: Some("tents".into()), ..Revision::default() };
    shop.platform.revise(&moved.sku, tent).await.unwrap();
    shop.platform.adjust_stock(&sold.sku, Market::Eu, "eu-ham", 1).await.unwrap();
    for topic in retail::storefront::TOPICS {
        until("the news is in the log", async || (!shop.events(topic).await.is_empty()).then_some(())).await;
    }
    let removed = shop.log.retain(Retention { age: None, bytes: Some(0) }).await.unwrap();
    assert!(removed >= 3);
    moved.sku.clone()
}

async fn repaired(shop: &Fixture) {
    until("what was missed is repaired", async || {
        let repairs = shop.platform.storefront().repairs();
        (repairs.done > 0 && !repairs.open).then_some(())
    })
    .await;
}

/// What the copy holds is what the owners have.
async fn compare(shop: &Fixture) {
    shop.stop().await;
    let newest: HashMap<_, _> = shop.platform.newest().await.unwrap().into_iter().collect();
    let held = shop.platform.held().await.unwrap();
    assert!(held.len() >= 400 * 11);
    for held in held {
        assert_eq!(held.stamp.as_ref(), newest.get(&held.entity), "{}", held.entity);
    }
}

async fn judge(shop: &Fixture) {
    compare(shop).await;
    let upto = shop.seen.history.now();
    for held in shop.platform.held().await.unwrap().into_iter().map(shown) {
        let at = shop.seen.history.now();
        shop.seen.history.record(Record::Held { copy: COPY.into(), shown: held, upto, at });
    }
    let mut checker = Checker::new();
    shop.seen.history.drain().into_iter().for_each(|record| checker.record(record));
    let verdict = checker.verdict().unwrap();
    assert!(verdict.is_clean(), "{verdict}");
}
