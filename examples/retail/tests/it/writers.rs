//! Many who change the same things at once: each change counts, and follows the one before it.

use std::collections::BTreeSet;

use retail::Market;
use tidings::Code;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, settings};

on_each_engine! {
    crate::fixture::settings();
    changes_of_one_product_follow_each_other_and_none_is_lost,
}

async fn changes_of_one_product_follow_each_other_and_none_is_lost(shop: Fixture) {
    const EACH: u64 = 24;
    let (market, skus) = (Market::Eu, [shop.sku(0), shop.sku(1), shop.sku(2)]);
    let mut before = Vec::new();
    for sku in &skus {
        before.push(shop.platform.inventory().stock(sku, market).await.unwrap().unwrap());
    }
    let mut tasks = JoinSet::new();
    for number in 0..EACH {
        for (at, sku) in skus.iter().cloned().enumerate() {
            let platform = shop.platform.clone();
            let node = market.nodes()[usize::try_from(number % 2).unwrap()];
            tasks.spawn(async move { (at, platform.adjust_stock(&sku, market, node, 1).await.unwrap()) });
        }
    }
    let mut versions = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
    while let Some(done) = tasks.join_next().await {
        let (at, written) = done.unwrap();
        versions[at].insert(written.token.version.number());
    }
    for ((sku, before), versions) in skus.iter().zip(before).zip(versions) {
        let after = shop.platform.inventory().stock(sku, market).await.unwrap().unwrap();
        assert_eq!(after.available, before.available + EACH, "{sku}");
        let first = before.version.number() + 1;
        assert_eq!(versions, (first..first + EACH).collect(), "{sku}");
    }
    shop.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_a_context_waits_for_all_who_wrote_to_it_before() {
    let Some(shop) = Fixture::on_postgres(settings()).await else { return };
    let client = shop.database("pricing").await;
    // Whoever has the last of its sessions may have a commit under way. This one has it as soon as the shop lets go.
    let held = tokio::spawn(async move {
        client.execute("SELECT pg_advisory_lock(hashtext('retail.writer'), 3)", &[]).await.unwrap();
        client
    });
    let Err(error) = shop.reopen_after(|_| {}).await else { panic!("it is opened though another writes") };
    assert_eq!(error.code(), Code::STORE_LOCKED, "{error}");
    held.await.unwrap();
}
