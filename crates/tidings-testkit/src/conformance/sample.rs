//! Events to test with.

use tidings_core::event::{Data, Draft};
use tidings_core::{Entity, Event, Stamp, Time, Version, Window};

use super::must;

pub(crate) fn entity(text: &str) -> Entity {
    must("name an entity", Entity::parse(text))
}

pub(crate) fn version(number: u64) -> Version {
    must(
        "number a version",
        Version::new(number).ok_or_else(|| {
            tidings_core::Error::new(tidings_core::Code::ATTRIBUTE_INVALID, number.to_string())
        }),
    )
}

/// A plain event.
pub(crate) fn event(entity_text: &str, number: u64) -> Event {
    Event {
        id: format!("{entity_text}#{number}").into(),
        source: "/conformance".into(),
        kind: "conformance.Changed".into(),
        entity: entity(entity_text),
        stamp: Stamp::of(version(number)),
        time: Time::from_micros(1_700_000_000_000_000 + (number % 1_000_000) as i64),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Json(format!("{{\"number\":{number}}}").into()),
    }
}

/// Events that between them fill every field.
pub(crate) fn varied() -> Vec<Event> {
    let mut full = event("größe/商品 1/eu", 7);
    full.window = Window { from: Some(Time::from_micros(-1)), until: Some(Time::from_micros(1)) };
    full.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    full.schema = Some("https://example.com/schemas/changed/2".into());
    full.extensions = vec![("tenant".into(), "north".into()), ("zone".into(), "ö".into())];
    let mut binary = event("image/1", 1);
    binary.data =
        Data::Bytes { content_type: "image/png".into(), bytes: (0..=255).collect::<Vec<u8>>().into() };
    let mut empty = event("price/2", Version::MAX.number());
    empty.data = Data::Empty;
    let mut large = event("page/1", 3);
    large.data = Data::Json(format!("\"{}\"", "x".repeat(200_000)).into());
    vec![full, binary, empty, large]
}

pub(crate) fn draft(entity_text: &str, number: Option<u64>) -> Draft {
    Draft {
        kind: "conformance.Changed".into(),
        entity: entity(entity_text),
        version: number.map(version),
        window: Window::default(),
        traceparent: None,
        data: Data::Json("{}".into()),
    }
}
