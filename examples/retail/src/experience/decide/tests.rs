use std::sync::Arc;

use tidings::DomainEvent;
use tidings_core::{Data, Entity, Stamp, Time};

use super::*;
use crate::seed::CATEGORIES;

fn lamp() -> Sku {
    Sku::parse("SKU-00007").unwrap()
}

fn categories() -> Categories {
    Categories::new([(lamp(), "desk-lamps", 3)])
}

fn bumped(decisions: &[Decision]) -> Vec<String> {
    let region = |decision: &Decision| match decision {
        Decision::Bump(region) => Some(region.to_string()),
        _ => None,
    };
    decisions.iter().filter_map(region).collect()
}

fn adjusted(available_before: u64, available: u64) -> AvailableToSellAdjusted {
    let (sku, region, node) = (lamp(), Market::Eu, "eu-ham".to_owned());
    AvailableToSellAdjusted {
        sku,
        region,
        node,
        quantity: available,
        version: 2,
        available,
        available_before,
    }
}

fn content(category: &str, previous: &str, version: u64) -> ProductContentUpdated {
    let (category, previous_category) = (category.to_owned(), previous.to_owned());
    ProductContentUpdated {
        sku: lamp(),
        version,
        category,
        previous_category,
        title: "A".into(),
        thumbnail: None,
    }
}

#[test]
fn every_listing_has_a_region() {
    for category in CATEGORIES {
        for market in Market::ALL {
            let expected = format!("listing/{}/{market}", category.slug);
            assert_eq!(listing_region(category.slug, market).map(|r| r.to_string()), Some(expected));
        }
    }
    assert_eq!(listing_region("nonsense", Market::Eu), None);
}

#[test]
fn a_price_invalidates_its_page_and_bumps_one_category_in_one_region() {
    let decisions = price_moved(&categories(), &lamp(), Market::Eu);
    assert!(decisions.contains(&Decision::Invalidate));
    assert_eq!(bumped(&decisions), ["listing/desk-lamps/eu"]);
}

#[test]
fn stock_bumps_listings_only_when_it_runs_out_or_comes_back() {
    for (before, after, flips) in [(5, 4, false), (1, 0, true), (0, 7, true), (0, 0, false)] {
        let decisions = stock_moved(&categories(), &adjusted(before, after));
        assert!(decisions.contains(&Decision::Invalidate), "the page shows the number");
        assert_eq!(!bumped(&decisions).is_empty(), flips, "{before} to {after}");
    }
}

#[test]
fn content_bumps_every_region_of_the_category_it_leaves_and_of_the_one_it_enters() {
    let categories = categories();
    assert_eq!(bumped(&content_moved(&categories, &content("desk-lamps", "desk-lamps", 4))).len(), 5);
    let moved = bumped(&content_moved(&categories, &content("toys", "desk-lamps", 5)));
    assert_eq!(moved.len(), 10);
    assert_eq!(categories.of(&lamp()), Some("toys"));
    content_moved(&categories, &content("desk-lamps", "desk-lamps", 4));
    assert_eq!(categories.of(&lamp()), Some("toys"), "late news does not move it back");
}

#[test]
fn an_event_that_cannot_be_read_is_decided_on_by_its_name() {
    let draft = adjusted(5, 4).draft().unwrap();
    let event = |entity: &str| Event {
        id: "1".into(),
        source: "/inventory".into(),
        kind: draft.kind.clone(),
        entity: Entity::parse(entity).unwrap(),
        stamp: Stamp::default(),
        time: Time::default(),
        window: draft.window,
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Empty,
    };
    for (entity, listings) in [
        ("stock/SKU-00007/eu", 1),
        ("price/SKU-00007/jp", 1),
        ("content/SKU-00007", 5),
        ("price/SKU-00007/moon", 0),
        ("price/SKU-00008/eu", 0),
        ("order/1", 0),
    ] {
        let decisions = parked(&categories(), &Arc::new(event(entity)));
        assert!(decisions.contains(&Decision::Invalidate), "{entity}");
        assert_eq!(bumped(&decisions).len(), listings, "{entity}");
    }
}
