//! Events of every shape.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use tidings_core::{Data, Entity, Event, Stamp, Time, Timeline, Version, Window};

/// Times that four digits of a year can say.
fn time() -> impl Strategy<Value = Time> {
    (-62_167_219_200_000_000_i64..253_402_300_800_000_000).prop_map(Time::from_micros)
}

fn name() -> impl Strategy<Value = String> {
    // Quotes, backslashes and percent signs are what an encoding trips over.
    "[ -~äß商😀\"\\\\%]{1,24}"
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        "-?[1-9][0-9]{0,3}\\.[0-9]{1,3}[eE][+-]?[0-9]{1,3}",
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
    ];
    leaf.prop_recursive(8, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[ {}\n]", items.join(","))),
            vec((name(), inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(n, v)| format!("{} :{v}", serde_json::to_string(n).unwrap()))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        Just(Data::Empty),
        json().prop_map(|text| Data::Json(text.into())),
        ("[a-z]{1,8}/[a-z.]{1,12}x", vec(any::<u8>(), 0..64)).prop_map(|(content_type, bytes)| Data::Bytes {
            content_type: content_type.into(),
            bytes: bytes.into()
        }),
    ]
}

fn extensions() -> impl Strategy<Value = Vec<(Box<str>, Box<str>)>> {
    btree_map("x[a-z0-9]{0,19}", "[ -~äß商😀\"\\\\%]{0,16}", 0..5)
        .prop_map(|map| map.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
}

fn window() -> impl Strategy<Value = Window> {
    (option::of(time()), option::of(time())).prop_map(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => Window { from: Some(a.min(b)), until: Some(a.max(b)) },
        (from, until) => Window { from, until },
    })
}

/// An event that passes `check`.
pub(super) fn event() -> impl Strategy<Value = Event> {
    let names = (name(), name(), name(), "[a-z ]{1,8}", name());
    let stamp = (prop_oneof![Just(0), any::<u32>()], 1..=i64::MAX as u64);
    let optional = (option::of(name()), option::of(name()), extensions());
    (names, stamp, time(), window(), optional, data()).prop_map(
        |(names, stamp, time, window, optional, data)| {
            let (id, source, kind, entity_kind, entity_id) = names;
            let (traceparent, schema, extensions) = optional;
            Event {
                id: id.into(),
                source: source.into(),
                kind: kind.into(),
                entity: Entity::new(&entity_kind, &entity_id).unwrap(),
                stamp: Stamp { timeline: Timeline(stamp.0), version: Version::new(stamp.1).unwrap() },
                time,
                window,
                traceparent: traceparent.map(Into::into),
                schema: schema.map(Into::into),
                extensions,
                data,
            }
        },
    )
}
