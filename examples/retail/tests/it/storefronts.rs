//! Several copies beside the owners, and owners whose server comes and goes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use retail::load::Load;
use retail::{Market, Parts, Place, Storefront, Unobserved};
use services::embedded_only;
use tempfile::TempDir;
use tidings::{Code, Event, Observer, Outcome};
use tidings_testkit::until;

use crate::databases::Databases;
use crate::fixture::{DRAIN, Fixture, settings};

struct Deaf;

impl Observer for Deaf {
    fn outcomes(&self, _: &[(Arc<Event>, Outcome)]) {}
}

async fn copy(shop: &Fixture, dir: &TempDir, name: &str) -> Arc<Storefront> {
    let place = match shop.place() {
        Place::Files(files) => Place::Files(files),
        Place::Postgres { server, prefix, .. } => Place::Postgres { server, prefix, dir: dir.path().into() },
    };
    let parts = Parts {
        witness: Arc::new(Unobserved),
        observer: Arc::new(Deaf),
        clock: shop.clock.clone(),
        levels: None,
    };
    Arc::new(Storefront::start(&place, settings(), shop.log.clone(), parts, name).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_copy_comes_to_what_the_owners_have() {
    let Some(shop) = Fixture::on_postgres(settings()).await else { return };
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let copies = [copy(&shop, &dirs[0], "copy-1").await, copy(&shop, &dirs[1], "copy-2").await];
    let load = Load { changes_per_s: 100, reads_per_change: 5, seed: 4 };
    let loads = copies.clone().map(|copy| load.spawn_reads(copy));
    let load = load.spawn(shop.platform.clone());
    until("200 changes are made, and both copies were asked", async || {
        let read = loads.iter().all(|load| load.totals().reads >= 500);
        (load.totals().changes >= 200 && read).then_some(())
    })
    .await;
    assert_eq!(load.stop().await.unwrap().changes_failed, 0);
    for load in loads {
        let totals = load.stop().await.unwrap();
        assert_eq!((totals.changes, totals.reads_failed), (0, 0));
    }
    shop.stop().await;
    let newest: HashMap<_, _> = shop.platform.newest().await.unwrap().into_iter().collect();
    for copy in copies {
        copy.stop_consumer(DRAIN).await.unwrap();
        assert_eq!(copy.unapplied().await.unwrap(), 0);
        let held = copy.held().await.unwrap();
        assert!(held.len() >= 400 * 11);
        for shown in held {
            assert_eq!(shown.stamp.as_ref(), newest.get(&shown.entity), "{}", shown.entity);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_away_commands_are_refused_and_afterwards_they_are_not() {
    if embedded_only() {
        println!("skipped: needs PostgreSQL");
        return;
    }
    let mut server = services::Postgres::start(&[]).unwrap();
    let shop = Fixture::on_databases(Databases::on(server.url()), settings()).await;
    let sku = shop.sku(0);
    shop.platform.set_price(&sku, Market::Eu, 1001).await.unwrap();
    server.stop_immediately().unwrap();
    let from = std::time::Instant::now();
    let refused = shop.platform.set_price(&sku, Market::Eu, 1002).await.unwrap_err();
    assert_eq!(refused.code(), Code::DATABASE_UNREACHABLE.id());
    let refused = shop.platform.pricing().price(&sku, Market::Eu).await.unwrap_err();
    assert_eq!(refused.code(), Code::DATABASE_UNREACHABLE.id());
    assert!(from.elapsed() < Duration::from_secs(5), "nobody waits for it");
    server.restart().unwrap();
    let written = until("the price can be set again", async || {
        shop.platform.set_price(&sku, Market::Eu, 1003).await.ok()
    })
    .await;
    // Each read connection waits out a pause of its own.
    let page = until("the page can be read again", async || {
        shop.platform.product_at_least(&sku, Market::Eu, &written.token).await.ok()
    })
    .await;
    assert_eq!(page.value().unwrap().base_cents, 1003);
    shop.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_is_refused_and_a_lost_session_hands_over() {
    let Some(shop) = Fixture::on_postgres(settings()).await else { return };
    let sku = shop.sku(0);
    let dir = TempDir::new().unwrap();
    let Place::Postgres { server, prefix, .. } = shop.place() else { panic!("on files") };
    let place = Place::Postgres { server, prefix, dir: dir.path().into() };
    let parts = Parts {
        witness: Arc::new(Unobserved),
        observer: Arc::new(Deaf),
        clock: shop.clock.clone(),
        levels: None,
    };
    let second = retail::Platform::start(place, settings(), shop.log.clone(), parts).await;
    assert_eq!(second.err().unwrap().code(), Code::STORE_LOCKED);

    // The session ends between two commands: the next one does not notice.
    shop.platform.set_price(&sku, Market::Eu, 1001).await.unwrap();
    shop.end_sessions("retail pricing").await;
    let written = until("the writer has another session", async || {
        shop.platform.set_price(&sku, Market::Eu, 1002).await.ok()
    })
    .await;
    assert_eq!(written.token.version.number(), 3);
    shop.settle().await;
}
