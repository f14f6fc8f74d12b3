//! What a decoder takes, and what it makes of it.

use tidings_core::envelope::encode_json;
use tidings_core::{Data, Event, Stamp, Time, Timeline, Version};

use super::{decode, with};

fn stamp(timeline: u32, version: u64) -> Stamp {
    Stamp { timeline: Timeline(timeline), version: Version::new(version).unwrap() }
}

fn json(text: &str) -> Data {
    Data::Json(text.into())
}

fn bytes(content_type: &str, bytes: &[u8]) -> Data {
    Data::Bytes { content_type: content_type.into(), bytes: bytes.into() }
}

#[test]
fn every_attribute_arrives_in_its_field() {
    let text = with(
        r#""timeline":"3","effectivefrom":"2026-11-23T12:00:00+01:00","effectiveuntil":"2026-12-01T00:00:00Z",
        "partitionkey":"price/42","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "dataschema":"https://example.com/price.json","region":"eu","hot":true,"rank":-3,
        "datacontenttype":"application/json; charset=utf-8","data":{"amount": 1099, "note":"a\u0000b"}"#,
    );
    let event = decode(&text).unwrap();
    assert_eq!((&*event.id, &*event.source, &*event.kind), ("e-1", "/pricing", "pricing.BasePriceChanged"));
    assert_eq!((event.entity.kind(), event.entity.id()), ("price", "42"));
    assert_eq!(event.stamp, stamp(3, 7));
    assert_eq!(event.time, Time::parse("2026-11-23T10:00:00Z").unwrap());
    assert_eq!(event.window.from, Some(Time::parse("2026-11-23T11:00:00Z").unwrap()));
    assert_eq!(event.window.until, Some(Time::parse("2026-12-01T00:00:00Z").unwrap()));
    assert!(event.traceparent.as_deref().unwrap().ends_with("3331-01"));
    assert_eq!(event.schema.as_deref(), Some("https://example.com/price.json"));
    let extensions: Vec<_> = event.extensions.iter().map(|(n, v)| (&**n, &**v)).collect();
    assert_eq!(extensions, [("region", "eu"), ("hot", "true"), ("rank", "-3")]);
    assert_eq!(event.data, json(r#"{"amount": 1099, "note":"a\u0000b"}"#), "kept as it came");
}

type Change = Box<dyn Fn(&mut Event)>;

fn same() -> Change {
    Box::new(|_| ())
}

/// Reads the base event with each of these `members`, and expects it with one thing changed; then once more from
/// its own encoding.
fn check(cases: Vec<(String, Change)>) {
    for (members, change) in cases {
        let mut expected = decode(&with("")).unwrap();
        change(&mut expected);
        let shown = &members[..members.len().min(80)];
        let found = decode(&with(&members)).unwrap_or_else(|e| panic!("{shown}: {e}"));
        assert_eq!(found, expected, "{shown}");
        let mut again = Vec::new();
        encode_json(&found, &mut again);
        assert_eq!(decode(std::str::from_utf8(&again).unwrap()).unwrap(), expected, "{shown}");
    }
}

#[test]
fn attributes() {
    let long = "x".repeat(512);
    let version = |v: u64| -> Change { Box::new(move |e| e.stamp = stamp(0, v)) };
    let extension = |n: &'static str, v: &'static str| -> Change {
        Box::new(move |e| e.extensions.push((n.into(), v.into())))
    };
    check(vec![
        (r#""aggregateversion":7"#.into(), same()),
        (r#""aggregateversion":"1""#.into(), version(1)),
        (r#""aggregateversion":4294967296"#.into(), version(1 << 32)),
        (r#""aggregateversion":9223372036854775807"#.into(), version(i64::MAX as u64)),
        (r#""aggregateversion":"9223372036854775807""#.into(), version(i64::MAX as u64)),
        (r#""timeline":"0""#.into(), same()),
        (r#""timeline":null"#.into(), same()),
        (r#""timeline":4294967295"#.into(), Box::new(|e| e.stamp = stamp(u32::MAX, 7))),
        (r#""id":"\u0065-1""#.into(), same()),
        (r#""id":"a\/b\"c\\""#.into(), Box::new(|e| e.id = "a/b\"c\\".into())),
        (r#""id":"größe 商品""#.into(), Box::new(|e| e.id = "größe 商品".into())),
        (r#""id":"\ud83d\ude00""#.into(), Box::new(|e| e.id = "😀".into())),
        (format!(r#""id":"{long}""#), Box::new(move |e| e.id = long.as_str().into())),
        (
            r#""subject":"stock/SKU-1/eu""#.into(),
            Box::new(|e| e.entity = tidings_core::Entity::parse("stock/SKU-1/eu").unwrap()),
        ),
        (r#""partitionkey":"price/42""#.into(), same()),
        (r#""partitionkey":null"#.into(), same()),
        (r#""traceparent":null,"dataschema":null,"datacontenttype":null,"data_base64":null"#.into(), same()),
        (r#""effectivefrom":null,"effectiveuntil":null,"region":null"#.into(), same()),
        (r#""time":"2026-11-23T11:30:00.0000009+01:30""#.into(), same()),
        (
            r#""effectivefrom":"2026-11-23T10:00:00Z","effectiveuntil":"2026-11-23T10:00:00Z""#.into(),
            Box::new(|e| (e.window.from, e.window.until) = (Some(e.time), Some(e.time))),
        ),
        (r#""region":"""#.into(), extension("region", "")),
        (r#""region":"שלום""#.into(), extension("region", "שלום")),
        (r#""rank":18446744073709551615"#.into(), extension("rank", "18446744073709551615")),
        (r#""hot":false"#.into(), extension("hot", "false")),
        (r#""knativebrokerttlandmore24":"1""#.into(), extension("knativebrokerttlandmore24", "1")),
    ]);
}

#[test]
fn bodies() {
    let deep = format!("{}1{}", "[".repeat(32), "]".repeat(32));
    let wide = format!("[{}]", vec!["{}"; 5_000].join(","));
    let data = |d: Data| -> Change { Box::new(move |e| e.data = d.clone()) };
    check(vec![
        (r#""data":null"#.into(), data(json("null"))),
        (r#""data":1e400"#.into(), data(json("1e400"))),
        (r#""data":"[[[[""#.into(), data(json(r#""[[[[""#))),
        (r#""data": [1 , 2] "#.into(), data(json("[1 , 2]"))),
        (r#""data":{"a":1,"a":2}"#.into(), data(json(r#"{"a":1,"a":2}"#))),
        (format!(r#""data":{deep}"#), data(json(&deep))),
        (format!(r#""data":{wide}"#), data(json(&wide))),
        (r#""datacontenttype":"application/json""#.into(), same()),
        (r#""datacontenttype":"text/plain""#.into(), same()),
        (r#""datacontenttype":"text/plain","data":"a\nb""#.into(), data(bytes("text/plain", b"a\nb"))),
        (
            r#""data":"<a/>","datacontenttype":"application/xml""#.into(),
            data(bytes("application/xml", b"<a/>")),
        ),
        (r#""data_base64":"AAH/""#.into(), data(bytes("application/octet-stream", &[0, 1, 255]))),
        (r#""data_base64":"""#.into(), data(bytes("application/octet-stream", b""))),
        (
            r#""data_base64":"eyJhIjoxfQ==","datacontenttype":"application/json""#.into(),
            data(json(r#"{"a":1}"#)),
        ),
        (r#""data_base64":"AA==","datacontenttype":"image/png""#.into(), data(bytes("image/png", &[0]))),
    ]);
}

#[test]
fn space_order_and_escapes_do_not_matter() {
    assert_eq!(decode(&with("").replace("\"id\"", "\"\\u0069d\"")).unwrap(), decode(&with("")).unwrap());
    let text = " {\r\n\t\"data\" : [ 1 ] ,\"subject\":\"price/42\",\"aggregateversion\":7,\"type\":\"t\",\"source\":\"s\",\
        \"time\":\"2026-11-23T10:00:00Z\",\"id\":\"i\",\"specversion\":\"1.0\" } \n";
    assert_eq!(decode(text).unwrap().data, json("[ 1 ]"));
}
