//! Answers that are outdated without news that says so: rows that follow their events, loads that lag or cross without
//! versions, views that hear no marks. Each fails if its guard is removed.

use std::time::Duration;

use tidings::{
    BoxError, Cached, Clock, Fence, FenceSettings, Fill, Freshness, Loaded, Offset, Partition, Position,
    Topic, Truth, View,
};
use tidings_core::certificate::Cause;
use tidings_core::port::{Batch, Store};

use crate::shop::{Shop, v};

mod crossing;
mod early;
mod forgotten;
mod lagging;
mod learned;

const BEHIND: Freshness = Freshness::Stale(Cause::SourceBehind);

/// How long before their rows events come, where they do.
const EARLY: Duration = Duration::from_secs(1);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn key() -> String {
    "k".to_owned()
}

fn topic() -> Topic {
    Topic::new("pricing").unwrap()
}

fn partition() -> Partition {
    Partition { topic: topic(), index: 0 }
}

fn open(settings: FenceSettings) -> Shop {
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(100));
    Shop { fence: Fence::new(settings, clock.clone()), clock }
}

/// A shop whose source publishes commits before they can be read, and its view.
fn early() -> (Shop, View<String, u64>) {
    let shop = open(FenceSettings { visible_within: EARLY, ..FenceSettings::default() });
    let view = heard(&shop);
    (shop, view)
}

fn heard(shop: &Shop) -> View<String, u64> {
    shop.builder().truth(Truth::Push(Duration::from_secs(10))).sources([&topic()]).build().unwrap()
}

async fn begin(shop: &Shop) {
    shop.fence.begin("shop", &[partition()]).await.unwrap();
}

/// Everything that was committed until now is known here.
async fn mark(shop: &Shop) {
    let next = Position { partition: partition(), offset: Offset(1) };
    let caught_up = Some(shop.clock.wall());
    let batch = Batch { consumer: "shop", actions: &[], events: &[], parked: &[], next: &next, caught_up };
    shop.fence.apply(batch).await.unwrap();
}

/// The age that what is held admits to.
fn age(view: &View<String, u64>) -> Option<Duration> {
    match view.cached(&key())?.freshness() {
        Freshness::Within(age) => Some(age),
        other => panic!("{other}"),
    }
}

/// Reads this now, and tells no version.
async fn bare(fill: Fill, seen: u64) -> Result<Loaded<u64>, BoxError> {
    fill.depends_unversioned("price", "42");
    Ok(Loaded::unversioned(seen))
}

/// Reads this now, with its version.
async fn versioned(fill: Fill, seen: u64) -> Result<Loaded<u64>, BoxError> {
    fill.depends("price", "42", v(seen));
    Ok(Loaded::new(v(seen), seen))
}

/// Says nothing against itself.
fn claims(answer: &Cached<u64>) -> bool {
    !matches!(answer.freshness(), Freshness::Stale(_) | Freshness::Unverified)
}
