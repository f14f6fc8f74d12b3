//! Views of two levels over a real server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use services::Redis;
use tidings::{Clock, Fence, FenceSettings, Fill, Loaded, Path, Shared, Topic, Truth, View};
use tidings_core::port::{Batch, Store};
use tidings_core::{Action, Offset, Partition, Position, Version};

use crate::support::{Shop, at, event, namespace, pos, settings, shared_server, skipped};

/// One of several processes.
struct Copy {
    fence: Arc<Fence>,
    view: View<String, u64>,
}

impl Copy {
    async fn over(shop: &Shop) -> Self {
        let clock = Clock::system();
        let fence = Fence::new(FenceSettings::default(), clock);
        let decode = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
        let encode = |value: &u64| value.to_be_bytes().to_vec();
        let name = |key: &String| key.clone();
        let shared = Shared::new(Arc::new(shop.level.clone()), shop.source.clone(), name, encode, decode);
        let builder = View::builder("product", &fence).truth(Truth::Push(Duration::from_secs(60)));
        let view = builder.sources([&topic()]).shared(shared).build().unwrap();
        let copy = Self { fence, view };
        copy.mark().await;
        // Some read makes it ask the source where it stands.
        let asked = shop.source.asked.load(Ordering::SeqCst);
        copy.view.get(&"nothing".into(), async |_| Ok(Loaded::unversioned(0))).await.unwrap();
        while shop.source.asked.load(Ordering::SeqCst) == asked {
            tokio::task::yield_now().await;
        }
        copy
    }

    async fn apply(&self, batch: Batch<'_>) {
        self.fence.apply(batch).await.unwrap();
    }

    async fn mark(&self) {
        let (next, caught_up) = (next(), Some(self.fence.clock().wall()));
        let (actions, events, parked) = (&[], &[], &[]);
        self.apply(Batch { consumer: "shop", actions, events, parked, next: &next, caught_up }).await;
    }

    async fn hear(&self, version: u64, position: u64) {
        let events = &[Arc::new(event("price/42", version, Some(position)))];
        let actions = &[Action::Raise { entity: events[0].entity.clone(), floor: at(version) }];
        let (next, parked, caught_up) = (next(), &[], None);
        self.apply(Batch { consumer: "shop", actions, events, parked, next: &next, caught_up }).await;
    }

    /// Reads; the source would show this version, at this position.
    async fn read(&self, loads: &AtomicU64, version: u64, position: u64) -> (Option<u64>, Path) {
        let load = async |fill: Fill| {
            loads.fetch_add(1, Ordering::SeqCst);
            fill.read_at(pos(position));
            let version = Version::new(version).unwrap();
            fill.depends("price", "42", version);
            Ok(Loaded::new(version, version.number()))
        };
        let answer = self.view.get(&"42".into(), load).await.unwrap();
        (answer.value().copied(), answer.certificate().path)
    }
}

fn topic() -> Topic {
    Topic::new("prices").unwrap()
}

fn next() -> Position {
    Position { partition: Partition { topic: topic(), index: 0 }, offset: Offset(1) }
}

/// Offers are made in the background.
async fn kept(shop: &Shop, fills: u64) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while shop.level.counts().kept < fills {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", shop.level.counts());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_one_process_has_loaded_answers_another_until_there_is_news() {
    if skipped() {
        return;
    }
    let shop = Shop::open(settings(&shared_server(), &namespace())).await;
    let (first, second, loads) = (Copy::over(&shop).await, Copy::over(&shop).await, AtomicU64::new(0));
    assert_eq!(first.read(&loads, 7, 9).await, (Some(7), Path::Source));
    kept(&shop, 1).await;
    assert_eq!(second.read(&loads, 7, 9).await, (Some(7), Path::L2));
    assert_eq!(second.read(&loads, 7, 9).await, (Some(7), Path::L1));
    // R10: the copy has heard, the server has not.
    second.hear(8, 12).await;
    assert_eq!(second.read(&loads, 8, 12).await, (Some(8), Path::Source));
    assert_eq!(second.view.counts().l2_refused, 1);
    shop.hear(8, 12).await.unwrap();
    first.hear(8, 12).await;
    assert_eq!(first.read(&loads, 8, 12).await, (Some(8), Path::Source));
    kept(&shop, 2).await;
    let third = Copy::over(&shop).await;
    assert_eq!(third.read(&loads, 8, 12).await, (Some(8), Path::L2));
    assert_eq!(loads.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn one_process_loads_for_many() {
    if skipped() {
        return;
    }
    let shop = Shop::open(settings(&shared_server(), &namespace())).await;
    let mut copies = Vec::new();
    for _ in 0..3 {
        copies.push(Arc::new(Copy::over(&shop).await));
    }
    let loads = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..50)
        .map(|reader| {
            let (copy, loads) = (copies[reader % 3].clone(), loads.clone());
            tokio::spawn(async move { copy.read(&loads, 7, 9).await })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap().0, Some(7));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_was_flushed_answers_nothing_until_it_is_opened() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let (copy, loads) = (Copy::over(&shop).await, AtomicU64::new(0));
    copy.read(&loads, 7, 9).await;
    kept(&shop, 1).await;
    server.command(&["FLUSHALL"]).unwrap();
    let other = Copy::over(&shop).await;
    assert_eq!(other.read(&loads, 7, 9).await, (Some(7), Path::Source));
    assert!(other.view.counts().l2_bypasses > 0, "{:?}", other.view.counts());
    shop.source.reach(12);
    shop.store.tend().await.unwrap();
    // Opened where the source stands: what lags behind that is not offered for it.
    let third = Copy::over(&shop).await;
    assert_eq!(third.read(&loads, 8, 12).await, (Some(8), Path::Source));
    kept(&shop, 2).await;
}
