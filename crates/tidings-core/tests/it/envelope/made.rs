//! Events made in a program, checked before they are committed.

use tidings_core::envelope::{Limits, check};
use tidings_core::{Code, Data, Event, Stamp, Time};

use super::{decode, with};

#[test]
fn what_cannot_be_read_back_is_refused() {
    let bytes =
        |content_type: &str| Data::Bytes { content_type: content_type.into(), bytes: b"x"[..].into() };
    let good = decode(&with("\"data\":[1]")).unwrap();
    let limits = Limits::default();
    check(&good, &limits).unwrap();
    type Change = Box<dyn Fn(&mut Event)>;
    let cases: Vec<(Change, Code)> = vec![
        (Box::new(|e| e.id = "".into()), Code::NAME_INVALID),
        (Box::new(|e| e.source = "a\nb".into()), Code::NAME_INVALID),
        (Box::new(|e| e.kind = "x".repeat(513).into()), Code::NAME_INVALID),
        (Box::new(|e| e.schema = Some("".into())), Code::NAME_INVALID),
        (Box::new(|e| e.stamp = Stamp::default()), Code::ATTRIBUTE_INVALID),
        (Box::new(|e| e.time = Time::from_micros(i64::MAX)), Code::ATTRIBUTE_INVALID),
        (Box::new(|e| e.extensions.push(("Region".into(), "".into()))), Code::ATTRIBUTE_INVALID),
        (Box::new(|e| e.extensions.push(("region".into(), "\n".into()))), Code::ATTRIBUTE_INVALID),
        (Box::new(|e| e.extensions.push(("id".into(), "x".into()))), Code::ATTRIBUTE_REPEATED),
        (
            Box::new(|e| e.extensions = vec![("a".into(), "x".into()), ("a".into(), "y".into())]),
            Code::ATTRIBUTE_REPEATED,
        ),
        (
            Box::new(|e| e.extensions = (0..65).map(|i| (format!("x{i}").into(), "".into())).collect()),
            Code::OVERSIZED,
        ),
        (Box::new(|e| e.data = Data::Json("".into())), Code::LINE_TRUNCATED),
        (Box::new(|e| e.data = Data::Json("[1]]".into())), Code::MALFORMED),
        (Box::new(|e| e.data = Data::Json(("[".repeat(33) + &"]".repeat(33)).into())), Code::TOO_DEEP),
        (Box::new(move |e| e.data = bytes("application/json")), Code::ATTRIBUTE_INVALID),
        (Box::new(move |e| e.data = bytes("")), Code::NAME_INVALID),
        (
            Box::new(|e| {
                let bytes = vec![0; (1 << 20) - 1000].into();
                e.data = Data::Bytes { content_type: "a/b".into(), bytes };
            }),
            Code::OVERSIZED,
        ),
    ];
    for (number, (change, code)) in cases.into_iter().enumerate() {
        let mut event = good.clone();
        change(&mut event);
        let error = check(&event, &limits).unwrap_err();
        assert_eq!(error.code().id(), code.id(), "case {number}: {error}");
    }
}
