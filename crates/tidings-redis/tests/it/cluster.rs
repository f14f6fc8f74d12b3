//! The same in a Cluster, also while its slots move.

use services::{Redis, RedisCluster, Service};
use tidings_core::shared::NotLive;
use tidings_core::shared::level::{Bypass, Found, Key, Level, Part};
use tidings_redis::{RedisLevel, Settings, doctor};

use crate::support::{Shop, namespace, offer, pos, price, settings, skipped};

fn keys() -> impl Iterator<Item = Key> {
    (0..40).map(|n| Key { view: "product".into(), key: n.to_string().into() })
}

async fn fill_all(level: &RedisLevel, as_of: u64) {
    let parts = [Part { thing: price(), stamp: None }];
    for key in keys() {
        match level.lookup(&key, &[price()]).await {
            Found::Claim(claim) => level.fill(&claim, offer(b"page", &parts, as_of)).await.unwrap(),
            other => panic!("{key}: {other:?}"),
        }
        assert!(matches!(level.lookup(&key, &[]).await, Found::Hit(_)));
    }
}

#[tokio::test]
async fn news_reaches_every_bucket_on_every_node() {
    if skipped() {
        return;
    }
    let settings = settings(&services::address(Service::RedisCluster).unwrap(), &namespace());
    assert!(settings.cluster);
    let shop = Shop::open(settings).await;
    assert!(doctor(&shop.level).await.unwrap().is_empty());
    fill_all(&shop.level, 9).await;
    shop.hear(8, 12).await.unwrap();
    for key in keys() {
        let looked = shop.level.lookup(&key, &[]).await;
        assert!(matches!(&looked, Found::Claim(claim) if claim.minimum.at >= 9), "{key}: {looked:?}");
    }
}

/// The node that owns a key's slot, and one other primary.
fn owners(nodes: &mut [Redis], slot: u32) -> (usize, usize) {
    let mut primaries = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        let table = node.command(&["CLUSTER", "NODES"]).unwrap();
        let me = table.lines().find(|line| line.contains("myself")).unwrap();
        let ranges = me.split(' ').skip(8).filter_map(|range| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            Some(from.parse::<u32>().ok()?..=to.parse::<u32>().ok()?)
        });
        let owns = ranges.into_iter().any(|range| range.contains(&slot));
        if me.contains("master") {
            primaries.push((n, owns));
        }
    }
    let find = |owns| primaries.iter().find(|(_, mine)| *mine == owns).unwrap().0;
    (find(true), find(false))
}

fn slot_of(nodes: &[Redis], control: &str) -> String {
    nodes[0].command(&["CLUSTER", "KEYSLOT", control]).unwrap()
}

#[tokio::test]
async fn a_slot_that_moves_is_another_life() {
    if skipped() {
        return;
    }
    let mut cluster = RedisCluster::start(&[]).unwrap();
    let settings = Settings { buckets: 1, ..settings(&cluster.urls(), "shop") };
    let shop = Shop::open(settings).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    let nodes = cluster.nodes();
    let slot = slot_of(nodes, "td1:{shop:0}:c");
    let (from, to) = owners(nodes, slot.parse().unwrap());
    let id = |n: usize, nodes: &[Redis]| nodes[n].command(&["CLUSTER", "MYID"]).unwrap();
    let (from_id, to_id) = (id(from, nodes), id(to, nodes));
    nodes[to].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).unwrap();
    nodes[from].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).unwrap();
    // Halfway, some keys are here and some are there.
    let port = nodes[to].port().to_string();
    let keys = ["td1:{shop:0}:c", "td1:{shop:0}:k:product/42", "td1:{shop:0}:e:price/42"];
    for (moved, key) in keys.into_iter().enumerate() {
        let looked = shop.look().await;
        assert!(matches!(looked, Found::Hit(_)) == (moved == 0), "{moved} moved: {looked:?}");
        nodes[from].command(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000", "REPLACE"]).unwrap();
    }
    for n in [to, from] {
        nodes[n].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).unwrap();
    }
    let looked = shop.look_again().await;
    assert!(matches!(looked, Found::Bypass(Bypass::NotLive(NotLive::Foreign))), "{looked:?}");
    shop.hear(8, 12).await.unwrap();
    assert_eq!(shop.miss().await.minimum, pos(12));
}

#[tokio::test]
async fn a_replica_that_takes_over_is_another_life() {
    if skipped() {
        return;
    }
    let mut cluster = RedisCluster::start(&[]).unwrap();
    let settings = Settings { buckets: 1, ..settings(&cluster.urls(), "shop") };
    let shop = Shop::open(settings).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    let nodes = cluster.nodes();
    let slot = slot_of(nodes, "td1:{shop:0}:c");
    let (owner, _) = owners(nodes, slot.parse().unwrap());
    let owner_id = nodes[owner].command(&["CLUSTER", "MYID"]).unwrap();
    let follows = |node: &Redis| {
        let table = node.command(&["CLUSTER", "NODES"]).unwrap();
        table.lines().any(|line| line.contains("myself,slave") && line.contains(&owner_id))
    };
    let replica = nodes.iter().find(|node| follows(node)).unwrap();
    // Not by force: the replica first gets everything, so that it is its own life that is refused, not a lack of data.
    replica.command(&["CLUSTER", "FAILOVER"]).unwrap();
    while !replica.command(&["ROLE"]).unwrap().starts_with("master") {
        std::thread::yield_now();
    }
    // The one that owned it answers until it has learned of that; then the client follows.
    loop {
        match shop.look_again().await {
            Found::Hit(_) => tokio::task::yield_now().await,
            Found::Bypass(Bypass::NotLive(NotLive::Foreign)) => break,
            other => panic!("{other:?}"),
        }
    }
    shop.hear(8, 12).await.unwrap();
    assert_eq!(shop.miss().await.minimum, pos(12));
}
