//! The races of shared caches, by the names they have in the literature, each on a real server.

use std::sync::Arc;
use std::time::Duration;

use services::Redis;
use tidings_core::fence::{Fingerprint, Floors, Held, Limits, Tick};
use tidings_core::port::Store;
use tidings_core::shared::level::{Bypass, Found, Level, Missed, Part, Thing, Unfilled};
use tidings_core::shared::{NotLive, Passage, Unkept, promotes};
use tidings_core::{Action, Region, Timeline};
use tidings_redis::{Follows, RedisLevel, RedisStore};

use crate::support::{
    Shop, apply, at, event, hear, key, namespace, offer, pos, price, settings, shared_server, skipped,
};

/// What a copy in a process knows.
fn floors() -> Floors {
    Floors::new(Limits { raised: 8, learned: 8, keep: Duration::from_secs(60) })
}

#[tokio::test]
async fn r5_a_late_fill_does_not_replace_a_newer_one() {
    if skipped() {
        return;
    }
    let mut brief = settings(&shared_server(), &namespace());
    brief.lease = Duration::from_millis(1);
    let shop = Shop::open(brief).await;
    let slow = shop.miss().await;
    // Its lease runs out, and another loads what has been committed since, ahead of the news.
    let fast = loop {
        if let Found::Claim(claim) = shop.look().await {
            break claim;
        }
    };
    let late = shop.fill(&slow, 7, 8).await;
    assert!(matches!(late, Err(Unfilled::Refused(Unkept::Lost))), "{late:?}");
    shop.fill(&fast, 8, 9).await.unwrap();
    let late = shop.fill(&slow, 7, 8).await;
    assert!(matches!(late, Err(Unfilled::Refused(Unkept::Lost))), "{late:?}");
    assert_eq!(&*shop.hit().await.value, b"v8");
}

#[tokio::test]
async fn r5_one_process_loads_and_the_others_wait() {
    if skipped() {
        return;
    }
    let shop = Shop::shared().await;
    let claim = shop.miss().await;
    assert!(matches!(shop.look().await, Found::Wait(left) if !left.is_zero()));
    shop.level.abandon(&claim).await;
    let second = shop.miss().await;
    assert_ne!(claim.token, second.token);
    let first = shop.fill(&claim, 7, 9).await;
    assert!(matches!(first, Err(Unfilled::Refused(Unkept::Lost))), "{first:?}");
}

#[tokio::test]
async fn r6_a_fresh_lease_does_not_bring_what_a_lagging_replica_has() {
    if skipped() {
        return;
    }
    let shop = Shop::shared().await;
    // Nothing is cached, so nothing but the position remembers this.
    shop.hear(8, 12).await.unwrap();
    let claim = shop.miss().await;
    assert_eq!(claim.minimum, pos(12));
    let replica = shop.fill(&claim, 7, 9).await;
    assert!(
        matches!(replica, Err(Unfilled::Refused(Unkept::TooOld(needed))) if needed == pos(12)),
        "{replica:?}"
    );
    // News in the middle of a load: the version decides, not that something moved.
    shop.hear(9, 13).await.unwrap();
    let old = shop.fill(&claim, 8, 12).await;
    assert!(matches!(old, Err(Unfilled::Refused(Unkept::BelowFloor(floor))) if floor == at(9)), "{old:?}");
    shop.fill(&claim, 9, 13).await.unwrap();
    assert_eq!(&*shop.hit().await.value, b"v9");
}

#[tokio::test]
async fn r7_replayed_and_reordered_news_lower_nothing() {
    if skipped() {
        return;
    }
    let shop = Shop::shared().await;
    let claim = shop.miss().await;
    shop.hear(8, 12).await.unwrap();
    shop.hear(7, 9).await.unwrap();
    let old = shop.fill(&claim, 7, 9).await;
    assert!(matches!(old, Err(Unfilled::Refused(Unkept::BelowFloor(floor))) if floor == at(8)), "{old:?}");
    shop.fill(&claim, 8, 12).await.unwrap();
    shop.hear(7, 9).await.unwrap();
    shop.hear(8, 12).await.unwrap();
    assert_eq!(&*shop.hit().await.value, b"v8", "old news takes nothing newer away");
    assert_eq!(shop.level.counts().told, 4);
}

#[tokio::test]
async fn r8_a_failover_that_loses_the_last_news_is_another_life() {
    if skipped() {
        return;
    }
    let (primary, replica) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    follow(&replica, &primary);
    let shop = Shop::alone(&primary).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    caught_up(&replica, &primary);
    assert_eq!(&*shop.hit().await.value, b"v7");
    // It falls behind, and takes over without what was heard since.
    replica.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    shop.hear(8, 12).await.unwrap();
    let level = RedisLevel::connect(settings(&replica.url(), "shop"));
    let level = level.await.unwrap();
    let looked = level.lookup(&key(), &[]).await;
    assert!(matches!(looked, Found::Bypass(Bypass::NotLive(NotLive::Foreign))), "{looked:?}");
    let other = RedisStore::new(level.clone(), shop.source.clone(), Follows::Group);
    other.tend().await.unwrap();
    let Found::Claim(claim) = level.lookup(&key(), &[]).await else { panic!("opened, and empty") };
    assert_eq!(claim.minimum, pos(12), "asked of the source");
}

#[tokio::test]
async fn r8_a_node_that_is_promoted_again_is_another_life_even_on_the_same_connection() {
    if skipped() {
        return;
    }
    let (first, second) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    follow(&second, &first);
    let shop = Shop::alone(&first).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    second.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    // News is heard by the second, then the first follows it for a moment without having received anything of that.
    let pid = first.pid();
    assert_eq!(&*shop.hit().await.value, b"v7");
    first.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    first.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    assert_eq!(first.pid(), pid, "the same process");
    let looked = shop.look_again().await;
    assert!(matches!(looked, Found::Bypass(Bypass::NotLive(NotLive::Foreign))), "{looked:?}");
}

/// Makes one node the replica of another. With its first replica, a node also gets a new replication id: that is one
/// needless epoch.
fn follow(replica: &Redis, primary: &Redis) {
    replica.command(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]).unwrap();
    while told(replica, "master_link_status").as_deref() != Some("up") {
        std::thread::yield_now();
    }
}

fn caught_up(replica: &Redis, primary: &Redis) {
    while told(replica, "master_repl_offset") != told(primary, "master_repl_offset") {
        std::thread::yield_now();
    }
}

fn told(node: &Redis, name: &str) -> Option<String> {
    let info = node.command(&["INFO", "replication"]).unwrap();
    info.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned()))
}

#[tokio::test]
async fn r9_an_answer_that_the_copy_knows_to_be_old_is_not_promoted() {
    if skipped() {
        return;
    }
    let shop = Shop::shared().await;
    let claim = shop.miss().await;
    let composite = [Part { thing: price(), stamp: None }];
    shop.level.fill(&claim, offer(b"page", &composite, 9)).await.unwrap();
    // The copy has its ticket, and finds an answer of the shared level; the news reaches both before it lands.
    let ticket = Passage { least: pos(5), heard: pos(9) };
    let found = shop.hit().await;
    assert_eq!(promotes(None, found.as_of, ticket), Ok(()), "still good when the ticket was taken");
    shop.hear(8, 12).await.unwrap();
    assert!(matches!(shop.look().await, Found::Claim(_)), "nobody finds it any more");
    // A copy that had applied the news when it took its ticket, while the shared level had not.
    let ahead = Passage { heard: pos(12), ..ticket };
    assert!(promotes(None, found.as_of, ahead).is_err());
    let fingerprint = Fingerprint(1);
    let mut copy = floors();
    let now = Duration::ZERO;
    copy.raise(fingerprint, at(8), Tick(1), now);
    let held = Held::At(at(7));
    assert!(copy.check_fill(fingerprint, held, Tick(0), now).is_err(), "its own floor");
}

#[tokio::test]
async fn r10_an_answer_found_before_the_shared_level_hears_is_held_to_the_floor_of_the_copy() {
    if skipped() {
        return;
    }
    let shop = Shop::shared().await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    // The copy's floor is raised first. In between, a reader of that copy finds the old answer here.
    let fingerprint = Fingerprint(1);
    let mut copy = floors();
    let now = Duration::ZERO;
    copy.raise(fingerprint, at(8), Tick(1), now);
    let found = shop.hit().await;
    let stamp = found.parts[0].stamp.unwrap();
    let held = Held::At(stamp);
    assert!(copy.check_fill(fingerprint, held, Tick(1), now).is_err());
    // Then this level hears, and whoever comes now finds nothing old.
    shop.hear(8, 12).await.unwrap();
    assert!(matches!(shop.look().await, Found::Claim(_)));
}

#[tokio::test]
async fn r12_an_answer_of_several_parts_falls_with_each_of_them() {
    if skipped() {
        return;
    }
    let shop = Shop::shared().await;
    let shoes = Thing::Region(Region::new("category", "shoes").unwrap());
    let parts = [Part { thing: price(), stamp: Some(at(7)) }, Part { thing: shoes.clone(), stamp: None }];
    let bump = |region| [Action::Bump { region }];
    for (number, region) in [(20, Region::new("category", "shoes").unwrap()), (30, Region::every())] {
        let claim = match shop.level.lookup(&key(), &[price(), shoes.clone()]).await {
            Found::Claim(claim) => claim,
            other => panic!("{other:?}"),
        };
        shop.level.fill(&claim, offer(b"page", &parts, number - 1)).await.unwrap();
        assert_eq!(&*shop.hit().await.value, b"page");
        let other = Arc::new(event("product/1", 1, Some(number)));
        shop.source.reach(number);
        apply(&shop.store, &bump(region), &[other]).await.unwrap();
    }
    assert!(matches!(shop.look().await, Found::Claim(_)));
}

#[tokio::test]
async fn news_without_a_position_binds_by_what_the_source_says_now() {
    if skipped() {
        return;
    }
    let shop = Shop::shared().await;
    shop.source.put(0, 40);
    let event = Arc::new(event("price/42", 8, None));
    let raise = [Action::Raise { entity: event.entity.clone(), floor: event.stamp }];
    apply(&shop.store, &raise, &[event]).await.unwrap();
    assert_eq!(shop.miss().await.minimum, pos(40));
}

#[tokio::test]
async fn a_new_timeline_opens_an_epoch() {
    if skipped() {
        return;
    }
    let shop = Shop::shared().await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    shop.source.put(1, 6);
    let mut forked = event("price/42", 5, Some(6));
    forked.stamp.timeline = Timeline(1);
    let raise = [Action::Raise { entity: forked.entity.clone(), floor: forked.stamp }];
    apply(&shop.store, &raise, &[Arc::new(forked)]).await.unwrap();
    let claim = shop.miss().await;
    assert_eq!(claim.missed, Missed::Epoch);
    assert_eq!(claim.minimum.timeline, Timeline(1));
    let standby = shop.fill(&claim, 9, 1000).await;
    assert!(matches!(standby, Err(Unfilled::Refused(Unkept::TooOld(_)))), "{standby:?}");
}

#[tokio::test]
async fn nothing_is_heard_between_a_claim_and_its_opening() {
    if skipped() {
        return;
    }
    let shop = Shop::shared().await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    // While the source is asked, a reader looks and fills.
    let level = shop.level.clone();
    shop.source.meanwhile(async move {
        let looked = level.lookup(&key(), &[]).await;
        assert!(matches!(looked, Found::Bypass(Bypass::NotLive(NotLive::Opening))), "{looked:?}");
        let parts = [Part { thing: price(), stamp: None }];
        let filled = level.fill(&claim, offer(b"late", &parts, 99)).await;
        assert!(matches!(filled, Err(Unfilled::Refused(Unkept::NotLive(NotLive::Opening)))), "{filled:?}");
    });
    shop.store.open_epoch("an operator asked for it").await.unwrap();
    assert!(matches!(shop.look().await, Found::Claim(_)));
}

#[tokio::test]
async fn two_openers_end_with_one_epoch_and_both_are_heard() {
    if skipped() {
        return;
    }
    let shop = Shop::shared().await;
    let other = shop.store.clone();
    shop.source.meanwhile(async move { hear(&other, 8, 12).await.unwrap() });
    shop.source.put(0, 12);
    shop.store.open_epoch("the first is overtaken").await.unwrap();
    assert_eq!(shop.miss().await.minimum, pos(12));
}
