//! Events as headers and a body.

use tidings_core::envelope::{Limits, decode_binary, decode_message, encode_binary};
use tidings_core::{Code, Data, Event, Result};

use super::{decode, with};

const BASE: [(&str, &str); 7] = [
    ("ce_specversion", "1.0"),
    ("ce_id", "e-1"),
    ("ce_source", "/pricing"),
    ("ce_type", "pricing.BasePriceChanged"),
    ("ce_subject", "price/42"),
    ("ce_time", "2026-11-23T10:00:00Z"),
    ("ce_aggregateversion", "7"),
];

fn read(more: &[(&str, &str)], body: &[u8]) -> Result<Event> {
    let all: Vec<_> = BASE.iter().chain(more).map(|(name, value)| (*name, value.as_bytes())).collect();
    decode_binary(all.iter().copied(), body, &Limits::default())
}

#[test]
fn the_same_event_as_in_structured_mode() {
    let members =
        r#""timeline":"2","effectivefrom":"2026-11-23T10:00:00Z","partitionkey":"price/42","region":"eu","#;
    for (data, more, body) in [
        (r#""data":{"a":1}"#, &[("content-type", "application/json")][..], &b"{\"a\":1}"[..]),
        (r#""data":{"a":1}"#, &[], b" {\"a\":1}\n"),
        (r#""datacontenttype":"application/json""#, &[("Content-Type", "application/json")], b""),
        (r#""data":null"#, &[("content-type", "application/json")], b"null"),
        (
            r#""data_base64":"AAH/","datacontenttype":"image/png""#,
            &[("content-type", "image/png")],
            &[0, 1, 255],
        ),
        (r#""data_base64":"","datacontenttype":"image/png""#, &[("content-type", "image/png")], b""),
    ] {
        let mut headers = vec![
            ("ce_timeline", "2"),
            ("ce_effectivefrom", "2026-11-23T10:00:00Z"),
            ("ce_partitionkey", "price/42"),
            ("ce_region", "eu"),
            ("x-request-id", "\u{202E}passed over"),
            ("ce", "passed over"),
        ];
        headers.extend(more);
        let event = read(&headers, body).unwrap();
        assert_eq!(event, decode(&with(&format!("{members}{data}"))).unwrap(), "{data}");
    }
}

#[test]
fn what_is_written() {
    let event = decode(&with(r#""timeline":"2","region":"eu","data":[1]"#)).unwrap();
    let message = encode_binary(&event);
    let headers: Vec<_> =
        message.headers.iter().map(|(n, v)| (&**n, std::str::from_utf8(v).unwrap())).collect();
    let expected = [
        ("ce_specversion", "1.0"),
        ("ce_id", "e-1"),
        ("ce_source", "/pricing"),
        ("ce_type", "pricing.BasePriceChanged"),
        ("ce_subject", "price/42"),
        ("ce_time", "2026-11-23T10:00:00.000000Z"),
        ("ce_aggregateversion", "7"),
        ("ce_timeline", "2"),
        ("ce_partitionkey", "price/42"),
        ("ce_region", "eu"),
        ("content-type", "application/json"),
    ];
    assert_eq!((headers.as_slice(), message.body), (&expected[..], &b"[1]"[..]));
}

#[test]
fn refusals() {
    let deep = "[".repeat(33) + &"]".repeat(33);
    let big = "x".repeat(1 << 20);
    for (more, body, code, says) in [
        (&[("ce_id", "e-2")][..], "", Code::ATTRIBUTE_REPEATED, "the id is given twice"),
        (&[("ce-Id", "e-2")], "", Code::ATTRIBUTE_REPEATED, "the id is given twice"),
        (
            &[("ce_region", "a"), ("ce_region", "a")],
            "",
            Code::ATTRIBUTE_REPEATED,
            "the region is given twice",
        ),
        (&[("content-type", "a/b"), ("ce_datacontenttype", "a/b")], "", Code::ATTRIBUTE_REPEATED, "twice"),
        (&[("ce_Region", "eu")], "", Code::ATTRIBUTE_INVALID, "the attribute name"),
        (&[("ce_", "eu")], "", Code::ATTRIBUTE_INVALID, "the attribute name"),
        (&[("ce_data", "1")], "", Code::ATTRIBUTE_INVALID, "carries data"),
        (&[("ce_data_base64", "AA==")], "", Code::ATTRIBUTE_INVALID, "carries data"),
        (&[("ce_timeline", "1.0")], "", Code::ATTRIBUTE_INVALID, "the timeline is \"1.0\""),
        (&[("ce_partitionkey", "price/43")], "", Code::ATTRIBUTE_INVALID, "not the subject"),
        (&[("ce-region", "100%")], "", Code::ATTRIBUTE_INVALID, "percent-encoded"),
        (&[("ce-region", "%zz")], "", Code::ATTRIBUTE_INVALID, "percent-encoded"),
        (&[("ce-region", "%FF")], "", Code::ATTRIBUTE_INVALID, "percent-encoded"),
        (&[("ce-region", "%00")], "", Code::ATTRIBUTE_INVALID, "control character"),
        (&[("content-type", "")], "x", Code::NAME_INVALID, "datacontenttype is empty"),
        (&[], "{", Code::LINE_TRUNCATED, "the data ends"),
        (&[], " ", Code::LINE_TRUNCATED, "the data ends"),
        (&[], "{]", Code::MALFORMED, "the data is not JSON"),
        (&[("content-type", "application/json")], "{} {}", Code::MALFORMED, "the data is not JSON"),
        (&[], &deep, Code::TOO_DEEP, "32 levels"),
        (&[("content-type", "a/b")], &big, Code::OVERSIZED, "1048576 bytes"),
        (&[("ce_note", &big)], "", Code::OVERSIZED, "1048576 bytes"),
        (&[("ce_note", &big[..17_000])], "", Code::OVERSIZED, "16384 bytes"),
    ] {
        let error = read(more, body.as_bytes()).unwrap_err();
        assert_eq!(error.code().id(), code.id(), "{:?}: {error}", more.first().map(|m| m.0));
        assert!(error.what().contains(says), "{error}");
    }
    for absent in BASE {
        let rest: Vec<_> = BASE.iter().filter(|h| **h != absent).map(|(n, v)| (*n, v.as_bytes())).collect();
        let error = decode_binary(rest.iter().copied(), b"", &Limits::default()).unwrap_err();
        assert_eq!(error.code(), Code::ATTRIBUTE_MISSING, "{error}");
    }
    let headers = BASE.iter().map(|(n, v)| (*n, v.as_bytes())).chain([("ce_region", &b"\xFF"[..])]);
    let error = decode_binary(headers, b"", &Limits::default()).unwrap_err();
    assert_eq!(error.code(), Code::ATTRIBUTE_INVALID, "{error}");
}

#[test]
fn http_headers_are_percent_encoded_and_kafka_headers_are_not() {
    let value = |event: Event| event.extensions.into_iter().next().map(|(_, value)| value);
    assert_eq!(
        value(read(&[("ce-region", "Gr%C3%B6%c3%9fe%20%25")], b"").unwrap()).as_deref(),
        Some("Größe %")
    );
    assert_eq!(value(read(&[("ce_region", "Gr%C3")], b"").unwrap()).as_deref(), Some("Gr%C3"));
    assert_eq!(value(read(&[("CE-Region", "eu")], b"").unwrap()).as_deref(), Some("eu"));
}

#[test]
fn the_content_type_tells_the_modes_apart() {
    let limits = Limits::default();
    let text = with(r#""data":[1]"#);
    let expected = decode(&text).unwrap();
    for content_type in ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=UTF-8"] {
        let headers = [("content-type", content_type.as_bytes())];
        assert_eq!(decode_message(headers, text.as_bytes(), &limits).unwrap(), expected);
    }
    let headers = BASE.map(|(n, v)| (n, v.as_bytes()));
    assert_eq!(decode_message(headers, b"[1]", &limits).unwrap(), expected);
    let batch = [("content-type", &b"application/cloudevents-batch+json"[..])];
    let error = decode_message(batch, b"[]", &limits).unwrap_err();
    assert_eq!(error.code(), Code::MALFORMED, "{error}");
    assert_eq!(expected.data, Data::Json("[1]".into()));
}
