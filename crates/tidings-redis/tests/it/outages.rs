//! The store goes away, comes back empty, or comes back as it was long ago.

use std::time::Duration;

use services::Redis;
use tidings_core::shared::NotLive;
use tidings_core::shared::Unkept;
use tidings_core::shared::level::{Bypass, Found, Missed, Unfilled};
use tidings_redis::{BreakerSettings, Settings};

use crate::support::{Shop, pos, settings, skipped};

async fn not_live(shop: &Shop, expected: NotLive) {
    let looked = shop.look_again().await;
    assert!(matches!(&looked, Found::Bypass(Bypass::NotLive(why)) if *why == expected), "{looked:?}");
}

/// Whatever happened, the next news opens an epoch that begins where the source is.
async fn opens_again(shop: &Shop, missed: Missed) {
    let before = shop.level.counts().epochs;
    shop.hear(9, 20).await.unwrap();
    assert_eq!(shop.level.counts().epochs, before + 1);
    let claim = shop.miss().await;
    assert_eq!((claim.minimum, claim.missed), (pos(20), missed));
    let old = shop.fill(&claim, 8, 19).await;
    assert!(matches!(old, Err(Unfilled::Refused(Unkept::TooOld(_)))), "{old:?}");
    shop.fill(&claim, 9, 20).await.unwrap();
    assert_eq!(&*shop.hit().await.value, b"v9");
}

#[tokio::test]
async fn flushed() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let claim = shop.miss().await;
    shop.hear(8, 12).await.unwrap();
    server.command(&["FLUSHALL"]).unwrap();
    not_live(&shop, NotLive::Absent).await;
    let filled = shop.fill(&claim, 7, 9).await;
    assert!(matches!(filled, Err(Unfilled::Refused(Unkept::NotLive(NotLive::Absent)))), "{filled:?}");
    opens_again(&shop, Missed::Absent).await;
}

#[tokio::test]
async fn restarted_from_an_old_dump() {
    if skipped() {
        return;
    }
    let mut server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    let dump = server.dump().unwrap();
    shop.hear(8, 12).await.unwrap();
    server.restore(&dump).unwrap();
    not_live(&shop, NotLive::Foreign).await;
    opens_again(&shop, Missed::Epoch).await;
}

#[tokio::test]
async fn control_record_evicted() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    server.command(&["DEL", "td1:{shop:0}:c"]).unwrap();
    not_live(&shop, NotLive::Absent).await;
    opens_again(&shop, Missed::Epoch).await;
}

#[tokio::test]
async fn a_note_that_is_evicted_lets_nothing_old_stand() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    server.command(&["DEL", "td1:{shop:0}:e:price/42"]).unwrap();
    assert_eq!(&*shop.hit().await.value, b"v7", "nothing has been heard since");
    server.command(&["DEL", "td1:{shop:0}:e:price/42"]).unwrap();
    shop.hear(8, 12).await.unwrap();
    assert_eq!(shop.miss().await.minimum, pos(12));
}

#[tokio::test]
async fn a_store_that_hangs_is_left_alone_and_tried_again() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let rest = tidings_core::retry::Backoff {
        first: Duration::from_millis(100),
        longest: Duration::from_millis(100),
    };
    let breaker = BreakerSettings { failures: 2, probes: 1, rest };
    let timeout = Duration::from_millis(50);
    let shop = Shop::open(Settings { breaker, timeout, ..settings(&server.url(), "shop") }).await;
    server.pause().unwrap();
    for _ in 0..2 {
        let looked = shop.look().await;
        assert!(matches!(looked, Found::Bypass(Bypass::Failed(_))), "{looked:?}");
    }
    assert!(!shop.level.is_asked());
    let began = std::time::Instant::now();
    let looked = shop.look().await;
    assert!(matches!(looked, Found::Bypass(Bypass::Resting)), "{looked:?}");
    assert!(began.elapsed() < timeout, "no timeout is waited for");
    assert!(shop.hear(8, 12).await.is_err(), "the consumer keeps its news");
    server.resume().unwrap();
    let looked = shop.look_again().await;
    assert!(matches!(looked, Found::Claim(_)), "{looked:?}");
    assert!(shop.level.is_asked());
    shop.hear(8, 12).await.unwrap();
}

#[tokio::test]
async fn a_killed_store_comes_back_empty_and_is_opened_by_whoever_tends_it() {
    if skipped() {
        return;
    }
    let mut server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let store = shop.store.clone();
    let keeper = tokio::spawn(async move { store.keep_live(Duration::from_millis(20), |_| {}).await });
    server.kill().unwrap();
    let looked = shop.look().await;
    assert!(matches!(looked, Found::Bypass(_)), "{looked:?}");
    server.restart().unwrap();
    loop {
        if let Found::Claim(_) = shop.look_again().await {
            break;
        }
    }
    assert_eq!(shop.level.counts().epochs, 2);
    keeper.abort();
}

#[tokio::test]
async fn no_more_than_the_limit_is_under_way() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::open(Settings {
        in_flight: 2,
        timeout: Duration::from_millis(100),
        ..settings(&server.url(), "shop")
    })
    .await;
    server.pause().unwrap();
    let level = shop.level.clone();
    let looks = (0..8).map(|_| {
        let level = level.clone();
        tokio::spawn(async move {
            tidings_core::shared::level::Level::lookup(&level, &crate::support::key(), &[]).await
        })
    });
    let looks: Vec<_> = looks.collect();
    let mut overloaded = 0;
    for look in looks {
        overloaded += usize::from(matches!(look.await.unwrap(), Found::Bypass(Bypass::Overloaded)));
    }
    server.resume().unwrap();
    assert_eq!(overloaded, 6);
}
