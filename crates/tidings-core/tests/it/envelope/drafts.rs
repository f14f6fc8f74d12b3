//! What may be left to the outbox, and what may not.

use tidings_core::envelope::{Limits, check_draft, decode_draft};
use tidings_core::{Code, Data, Draft, Entity, Time, Version, Window};

use super::{with, without};

#[test]
fn id_source_time_and_version_may_be_left_out() {
    let limits = Limits::default();
    let text =
        r#"{"specversion":"1.0","type":"pricing.BasePriceChanged","subject":"price/42","data":{"amount":1}}"#;
    let found = decode_draft(text.as_bytes(), &limits).unwrap();
    assert_eq!((found.id, found.source, found.time, found.timeline), (None, None, None, None));
    assert_eq!((found.draft.version, found.draft.data), (None, Data::Json(r#"{"amount":1}"#.into())));

    let found = decode_draft(with(r#""timeline":"2","region":"eu""#).as_bytes(), &limits).unwrap();
    assert_eq!((found.id.as_deref(), found.source.as_deref()), (Some("e-1"), Some("/pricing")));
    assert_eq!(found.time, Some(Time::parse("2026-11-23T10:00:00Z").unwrap()));
    assert_eq!(found.timeline.map(|t| t.0), Some(2));
    assert_eq!(found.draft.version.map(Version::number), Some(7));
    assert_eq!(found.extensions, [("region".into(), "eu".into())]);
}

#[test]
fn specversion_type_and_subject_may_not() {
    for name in ["specversion", "type", "subject"] {
        let error = decode_draft(without(name).as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(error.code(), Code::ATTRIBUTE_MISSING, "{error}");
    }
    let error = decode_draft(with(r#""aggregateversion":0"#).as_bytes(), &Limits::default()).unwrap_err();
    assert_eq!(error.code(), Code::ATTRIBUTE_INVALID, "a version that is given is a good one: {error}");
}

#[test]
fn a_draft_that_no_consumer_could_read_is_refused_before_it_is_committed() {
    let good = || Draft {
        kind: "pricing.BasePriceChanged".into(),
        entity: Entity::new("price", "42").unwrap(),
        version: None,
        window: Window::default(),
        traceparent: None,
        data: Data::Json(r#"{"amount":1}"#.into()),
    };
    let limits = Limits::default();
    check_draft(&good(), &limits).unwrap();
    let at = |micros| Some(Time::from_micros(micros));
    type Change = fn(&mut Draft);
    let cases: [(Change, Code); 7] = [
        (|d| d.kind = "a\u{202E}b".into(), Code::NAME_INVALID),
        (|d| d.version = Some(Version::ZERO), Code::ATTRIBUTE_INVALID),
        (|d| d.data = Data::Json("{amount:1}".into()), Code::MALFORMED),
        (|d| d.data = Data::Json(r#"1,"id":"x""#.into()), Code::MALFORMED),
        (|d| d.data = Data::Json("[".repeat(40).into()), Code::LINE_TRUNCATED),
        (|d| d.data = Data::Json(format!("\"{}\"", "x".repeat(1 << 20)).into()), Code::OVERSIZED),
        (|d| d.traceparent = Some("\n".into()), Code::NAME_INVALID),
    ];
    for (change, code) in cases {
        let mut draft = good();
        change(&mut draft);
        let error = check_draft(&draft, &limits).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    for window in [
        Window { from: at(2), until: at(1) },
        Window { from: at(i64::MIN), until: None },
        Window { from: None, until: at(i64::MAX) },
    ] {
        let error = check_draft(&Draft { window, ..good() }, &limits).unwrap_err();
        assert_eq!(error.code(), Code::ATTRIBUTE_INVALID, "{error}");
    }
}
