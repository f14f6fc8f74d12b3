//! Typed events.

use serde::{Deserialize, Serialize};
use tidings::{Code, Data, DomainEvent, Event, Stamp, Time, Window};

#[derive(Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
#[event(context = "pricing", entity = "price", key = ["sku", "region"], version = "version")]
struct BasePriceChanged {
    sku: String,
    region: String,
    amount_cents: u64,
    version: u64,
}

fn event(data: Data) -> Event {
    let draft = changed("SKU-1").draft().unwrap();
    Event {
        id: "e-1".into(),
        source: "/pricing".into(),
        kind: draft.kind,
        entity: draft.entity,
        stamp: Stamp::of(draft.version.unwrap()),
        time: Time::from_micros(0),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data,
    }
}

fn changed(sku: &str) -> BasePriceChanged {
    BasePriceChanged { sku: sku.into(), region: "eu".into(), amount_cents: 4_900, version: 7 }
}

#[test]
fn s6_an_event_is_a_type_that_names_its_entity_and_version() {
    let draft = changed("SKU-1").draft().unwrap();
    assert_eq!((&*draft.kind, draft.entity.as_str()), ("pricing.BasePriceChanged", "price/SKU-1/eu"));
    assert_eq!(draft.version.map(|version| version.number()), Some(7));
    assert_eq!(BasePriceChanged::from_event(&event(draft.data)).unwrap(), changed("SKU-1"));
}

#[test]
fn what_cannot_be_read_or_named_says_so() {
    for data in [Data::Empty, Data::Json("{}".into()), Data::Json("[]".into())] {
        assert_eq!(BasePriceChanged::from_event(&event(data)).unwrap_err().code(), Code::DATA_UNREADABLE);
    }
    let too_high = BasePriceChanged { version: u64::MAX, ..changed("SKU-1") };
    assert_eq!(too_high.draft().unwrap_err().code(), Code::ATTRIBUTE_INVALID);
    assert_eq!(BasePriceChanged { version: 0, ..changed("SKU-1") }.draft().unwrap().version, None);
    assert_eq!(changed("a\nb").draft().unwrap_err().code(), Code::NAME_INVALID);
}
