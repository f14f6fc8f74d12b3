use std::sync::Arc;

use tempfile::TempDir;
use tidings_core::port::{Cursor, Outbox};

use super::*;
use crate::store::Home;
use crate::witness::Unobserved;

fn open(dir: &TempDir, clock: &Clock) -> Pricing {
    let owner: (_, Arc<dyn crate::Witness>) = (Arc::new(Catalogue::generate(1, 1)), Arc::new(Unobserved));
    let open = Open { place: dir.path().into(), readers: 1, owner: Some(owner) };
    Pricing::open(&open, clock.clone()).unwrap()
}

async fn told(pricing: &Pricing) -> Vec<(String, u64)> {
    let Home::File { outbox: Some(outbox) } = &pricing.context.home else { panic!("no outbox") };
    let rows = outbox.scan(Cursor(0), 100).await.unwrap().rows;
    let told =
        |row: tidings_core::port::Pending| row.event.map(|e| (e.kind.to_string(), e.stamp.version.number()));
    rows.into_iter().map(|row| told(row).unwrap()).collect()
}

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test]
async fn a_promotion_is_in_force_by_the_clock_and_told_by_the_timer() {
    let (dir, clock) = (TempDir::new().unwrap(), Clock::manual());
    let pricing = open(&dir, &clock);
    let (sku, market) = (Sku::numbered(1), Market::Eu);
    let base = pricing.price(&sku, market).await.unwrap().unwrap().cents;
    let offer = Offer { sku: sku.clone(), market, percent: 50, starts_in: second(10), lasts: second(20) };
    let window = pricing.promote(offer).await.unwrap().window;
    // Time passes; the price in force turns with it, whether or not the timer has looked.
    for (advance, cents, percent, boundary) in
        [(0, base, None, window.from), (10, base / 2, Some(50), window.until), (20, base, None, None)]
    {
        clock.advance(second(advance));
        let price = pricing.price(&sku, market).await.unwrap().unwrap();
        assert_eq!((price.cents, price.percent_off, price.boundary), (cents, percent, boundary));
        assert_eq!(price.version.number(), 2, "the timer has not looked");
    }
    assert_eq!(pricing.turn().await.unwrap(), None, "nothing is due any more");
    let expected = [
        ("pricing.PromotionScheduled", 2),
        ("pricing.PromotionActivated", 3),
        ("pricing.PromotionExpired", 4),
    ];
    assert_eq!(told(&pricing).await, expected.map(|(kind, version)| (kind.to_owned(), version)));
}

#[tokio::test]
async fn a_restart_forgets_no_promotion() {
    let (dir, clock) = (TempDir::new().unwrap(), Clock::manual());
    let (sku, market) = (Sku::numbered(1), Market::Eu);
    let pricing = open(&dir, &clock);
    for percent in [10, 20] {
        let offer = Offer { sku: sku.clone(), market, percent, starts_in: second(10), lasts: second(20) };
        pricing.promote(offer).await.unwrap();
    }
    pricing.context.stop().await;
    drop(pricing);
    let pricing = open(&dir, &clock);
    let next = pricing.turn().await.unwrap();
    assert_eq!(next, Some(clock.wall().plus(second(10))));
    clock.advance(second(10));
    assert_eq!(pricing.turn().await.unwrap(), Some(clock.wall().plus(second(20))));
    assert_eq!(told(&pricing).await.len(), 4, "two scheduled, two activated");
    assert_eq!(pricing.turn().await.unwrap(), Some(clock.wall().plus(second(20))), "once");
    assert_eq!(told(&pricing).await.len(), 4);
}

#[tokio::test]
async fn a_price_that_stays_is_no_news() {
    let (dir, clock) = (TempDir::new().unwrap(), Clock::manual());
    let pricing = open(&dir, &clock);
    let (sku, market) = (Sku::numbered(1), Market::Eu);
    let base = pricing.price(&sku, market).await.unwrap().unwrap().base_cents;
    let same = pricing.set_base(&sku, market, base).await.unwrap();
    assert_eq!((same.published, same.token.version.number()), (false, 1));
    let other = pricing.set_base(&sku, market, base + 1).await.unwrap();
    assert_eq!((other.published, other.token.version.number()), (true, 2));
    assert_eq!(told(&pricing).await, [("pricing.BasePriceChanged".to_owned(), 2)]);
}
