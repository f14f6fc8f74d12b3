//! What readers ask at once goes together, and each is answered for itself.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use services::Redis;
use tidings_core::Code;
use tidings_core::shared::level::{Bypass, Found, Key, Level, Part};
use tokio::task::JoinSet;

use crate::support::{Shop, at, offer, price, skipped};

const CALLERS: usize = 200;
const BROKEN: usize = 77;

fn nth(n: usize) -> Key {
    Key { view: "product".into(), key: n.to_string().into() }
}

/// What each of many finds who look at once, in their order.
async fn all_look(shop: &Shop) -> Vec<Found> {
    let mut looking = JoinSet::new();
    for n in 0..CALLERS {
        let level = shop.level.clone();
        looking.spawn(async move { (n, level.lookup(&nth(n), &[]).await) });
    }
    let mut found = looking.join_all().await;
    found.sort_by_key(|(n, _)| *n);
    found.into_iter().map(|(_, found)| found).collect()
}

/// How many were run since the counts were reset.
fn scripts(server: &Redis) -> usize {
    let stats = server.command(&["INFO", "commandstats"]).unwrap();
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap();
    calls.split(',').next().unwrap().parse().unwrap()
}

fn is_broken(found: &Found) -> bool {
    matches!(found, Found::Bypass(Bypass::Failed(error)) if error.code() == Code::REDIS_KEY_TYPE)
}

#[tokio::test]
async fn many_at_once_share_few_scripts_and_each_has_its_own_answer() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    server.command(&["RPUSH", &shop.level.slot(&nth(BROKEN)), "theirs"]).unwrap();
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let found = all_look(&shop).await;
    let calls = scripts(&server);
    assert!(calls < CALLERS / 4, "{calls} scripts for {CALLERS} callers");

    let mut filling = JoinSet::new();
    for (n, found) in found.into_iter().enumerate() {
        match found {
            Found::Claim(claim) => {
                let level = shop.level.clone();
                filling.spawn(async move {
                    let parts = [Part { thing: price(), stamp: Some(at(7)) }];
                    level.fill(&claim, offer(n.to_string().as_bytes(), &parts, 9)).await.unwrap();
                });
            }
            found => assert!(n == BROKEN && is_broken(&found), "{n}: {found:?}"),
        }
    }
    filling.join_all().await;
    for (n, found) in all_look(&shop).await.into_iter().enumerate() {
        match found {
            Found::Hit(kept) => assert_eq!(&*kept.value, n.to_string().as_bytes()),
            found => assert!(n == BROKEN && is_broken(&found), "{n}: {found:?}"),
        }
    }
}

/// So far that it has asked, or waits for its turn.
async fn begin<T>(mut request: Pin<&mut (impl Future<Output = T> + ?Sized)>) {
    std::future::poll_fn(|context| {
        assert!(request.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// Also by those who are not gone, and do not go on: their task does something else.
#[tokio::test]
async fn those_behind_callers_who_do_not_go_on_are_answered() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let keys: Vec<_> = (0..8).map(nth).collect();
    let mut before: Vec<_> = keys.iter().map(|key| shop.level.lookup(key, &[])).collect();
    for request in &mut before {
        begin(request.as_mut()).await;
    }
    let found = tokio::time::timeout(Duration::from_secs(60), before.pop().unwrap()).await.unwrap();
    assert!(matches!(found, Found::Claim(_)), "{found:?}");
}

/// Large answers come in several scripts, and all come.
#[tokio::test]
async fn large_answers_do_not_wait_for_all_others() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let large = vec![7; 200 << 10];
    for n in 0..40 {
        let Found::Claim(claim) = shop.level.lookup(&nth(n), &[]).await else { panic!("{n} is there") };
        let parts = [Part { thing: price(), stamp: Some(at(7)) }];
        shop.level.fill(&claim, offer(&large, &parts, 9)).await.unwrap();
    }
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let mut looking = JoinSet::new();
    for n in 0..40 {
        let level = shop.level.clone();
        looking.spawn(async move { level.lookup(&nth(n), &[]).await });
    }
    for found in looking.join_all().await {
        assert!(matches!(&found, Found::Hit(kept) if *kept.value == *large), "{found:?}");
    }
    let calls = scripts(&server);
    assert!((15..=30).contains(&calls), "two answers and more in a script, and no more: {calls} scripts");
}

#[tokio::test]
async fn those_behind_callers_who_go_away_are_answered() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let keys: Vec<_> = (0..8).map(nth).collect();
    let mut before: Vec<_> = keys.iter().map(|key| shop.level.lookup(key, &[])).collect();
    for request in &mut before {
        begin(request.as_mut()).await;
    }
    let mut last = before.pop().unwrap();
    drop(before);
    let found = tokio::time::timeout(Duration::from_secs(60), last.as_mut()).await.unwrap();
    assert!(matches!(found, Found::Claim(_)), "{found:?}");
}

#[tokio::test]
async fn who_went_away_before_being_asked_for_claims_nothing() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let keys: Vec<_> = (0..8).map(nth).collect();
    let mut requests: Vec<_> = keys.iter().map(|key| shop.level.lookup(key, &[])).collect();
    for request in &mut requests {
        begin(request.as_mut()).await;
    }
    drop(requests.pop());
    for request in requests {
        assert!(matches!(request.await, Found::Claim(_)));
    }
    let found = shop.level.lookup(&keys[7], &[]).await;
    assert!(matches!(found, Found::Claim(_)), "{found:?}");
}
