//! The events as others receive them.

use retail::catalog::{ProductContentUpdated, Revision};
use retail::inventory::AvailableToSellAdjusted;
use retail::pricing::{At, BasePriceChanged, PromotionActivated, PromotionExpired, PromotionScheduled};
use retail::{Market, Sku};
use tidings::{Data, DomainEvent, Draft, Event, Stamp, Time, Window};

use tidings_testkit::until;

use crate::fixture::Fixture;

on_each_engine! {
    crate::fixture::settings();
    s84_an_adjustment_carries_its_node_and_touches_its_region_alone,
    s85_bookkeeping_is_no_news,
}

fn received(draft: Draft) -> Event {
    Event {
        id: "1".into(),
        source: "/test".into(),
        kind: draft.kind,
        entity: draft.entity,
        stamp: Stamp::of(draft.version.unwrap()),
        time: Time::from_micros(1),
        window: draft.window,
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data: draft.data,
    }
}

fn check<E: DomainEvent + PartialEq + std::fmt::Debug>(event: E, kind: &str, entity: &str, window: Window) {
    let draft = event.draft().unwrap();
    assert_eq!((&*draft.kind, draft.entity.as_str(), draft.window), (kind, entity, window));
    assert_eq!(draft.version.map(|version| version.number()), Some(7));
    assert!(matches!(draft.data, Data::Json(_)));
    assert_eq!(E::from_event(&received(draft)).unwrap(), event);
}

#[test]
fn every_event_reads_back_what_was_recorded() {
    let (sku, region, version) = (Sku::parse("SKU-00001").unwrap(), Market::Eu, 7);
    let (starts, ends) = (At(10), At(20));
    let window = Window { from: Some(Time::from_micros(10)), until: Some(Time::from_micros(20)) };
    let (promotion, percent, cents, open) = (3, 20, 800, Window::default());
    let price = "price/SKU-00001/eu";
    check(
        BasePriceChanged { sku: sku.clone(), region, version, base_cents: 1000, cents },
        "pricing.BasePriceChanged",
        price,
        open,
    );
    check(
        PromotionScheduled { sku: sku.clone(), region, version, promotion, percent, starts, ends, cents },
        "pricing.PromotionScheduled",
        price,
        window,
    );
    check(
        PromotionActivated { sku: sku.clone(), region, version, promotion, percent, starts, ends, cents },
        "pricing.PromotionActivated",
        price,
        window,
    );
    check(
        PromotionExpired { sku: sku.clone(), region, version, promotion, ended: ends, cents },
        "pricing.PromotionExpired",
        price,
        open,
    );
    let (quantity, available, available_before) = (4, 9, 10);
    let node = "eu-ham".to_owned();
    check(
        AvailableToSellAdjusted {
            sku: sku.clone(),
            region,
            node,
            quantity,
            version,
            available,
            available_before,
        },
        "inventory.AvailableToSellAdjusted",
        "stock/SKU-00001/eu",
        open,
    );
    let (category, previous_category) = ("toys".to_owned(), "tents".to_owned());
    let (title, thumbnail) = ("Größe 商品".to_owned(), Some("/media/1.webp".to_owned()));
    check(
        ProductContentUpdated { sku, version, category, previous_category, title, thumbnail },
        "catalog.ProductContentUpdated",
        "content/SKU-00001",
        open,
    );
}

async fn s84_an_adjustment_carries_its_node_and_touches_its_region_alone(shop: Fixture) {
    let sku = shop.sku(0);
    let (eu, us) = (shop.cache_page(&sku, Market::Eu).await, shop.cache_page(&sku, Market::Us).await);
    let written = shop.platform.adjust_stock(&sku, Market::Eu, "eu-lyo", 25).await.unwrap();
    shop.settle().await;

    let events = shop.events("inventory").await;
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(event.entity, written.token.entity);
    assert_eq!(event.stamp, Stamp::of(written.token.version));
    let told = AvailableToSellAdjusted::from_event(event).unwrap();
    assert_eq!((&told.sku, told.region, told.node.as_str()), (&sku, Market::Eu, "eu-lyo"));
    assert_eq!((told.version, told.available, told.available_before), (2, eu.available + 25, eu.available));

    let page = shop.platform.product(&sku, Market::Eu).await.unwrap();
    assert_eq!(page.value().unwrap().available, eu.available + 25);
    let untouched = shop.platform.product(&sku, Market::Us).await.unwrap();
    assert_eq!(untouched.certificate().path, tidings::Path::L1, "the other region stays cached");
    assert_eq!(untouched.value(), Some(&us));
}

async fn s85_bookkeeping_is_no_news(shop: Fixture) {
    let (quiet, loud) = (shop.sku(0), shop.sku(1));
    let page = shop.cache_page(&quiet, Market::Eu).await;
    let note = Revision { note: Some("supplier called".into()), ..Revision::default() };
    let same = Revision { title: Some(page.title.clone()), ..Revision::default() };
    for revision in [note, same] {
        let written = shop.platform.revise(&quiet, revision).await.unwrap();
        assert_eq!((written.published, written.token.version), (false, page.content_version));
    }
    // What is committed later stands later in the log: once this is there, anything before it would be, too.
    let title = Revision { title: Some("A lamp".into()), ..Revision::default() };
    let written = shop.platform.revise(&loud, title).await.unwrap();
    assert!(written.published);
    let events = until("the change is in the log", async || {
        Some(shop.events("catalog").await).filter(|events| !events.is_empty())
    })
    .await;
    let told: Vec<_> = events.iter().map(|event| event.entity.clone()).collect();
    assert_eq!(told, [written.token.entity]);
}
