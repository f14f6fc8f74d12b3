//! What a decoder refuses, with which code, and what it says.

use tidings_core::Code;
use tidings_core::envelope::{Limits, decode_json};
use tidings_core::error::Kind;

use super::{decode, with, without};

#[track_caller]
fn refuses(bytes: &[u8], code: Code, says: &str) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
    let error = match decode_json(bytes, &Limits::default()) {
        Ok(event) => panic!("{shown} became {event:?}"),
        Err(error) => error,
    };
    assert_eq!(error.code().id(), code.id(), "{shown}: {error}");
    assert_eq!(error.kind(), Kind::Input);
    assert!(error.what().contains(says), "{shown}: {error}");
    assert!(error.to_string().len() < 400, "one clause: {error}");
    assert!(!error.to_string().chars().any(|c| c.is_control() || c == '\u{202E}'), "{error:?}");
}

#[test]
fn text_that_is_no_object() {
    for (bytes, code, says) in [
        (&b""[..], Code::MALFORMED, "the event is empty"),
        (b" \r\n\t", Code::MALFORMED, "the event is empty"),
        (b"null", Code::MALFORMED, "begins with 'n'"),
        (b"\"{}\"", Code::MALFORMED, "begins with '\"'"),
        (b"\xEF\xBB\xBF{}", Code::MALFORMED, "begins with '\\u{feff}'"),
        (br#"["1.0","e-1","/pricing"]"#, Code::MALFORMED, "an array, not an object"),
        (b"[{}]", Code::MALFORMED, "an array"),
        (b"{}{}", Code::MALFORMED, "not JSON"),
        (b"{} x", Code::MALFORMED, "not JSON"),
        (b"{,}", Code::MALFORMED, "not JSON"),
        (b"{\"id\" \"a\"}", Code::MALFORMED, "not JSON"),
        (b"{\"id\":\"a\",}", Code::MALFORMED, "not JSON"),
        (b"{id:1}", Code::MALFORMED, "not JSON"),
        (b"{1:1}", Code::MALFORMED, "not JSON"),
        (b"{'id':'a'}", Code::MALFORMED, "not JSON"),
        (b"{\"id\":\"a\" // why\n}", Code::MALFORMED, "not JSON"),
        (b"{\"id\":\"a\nb\"}", Code::MALFORMED, "not JSON"),
        (b"{\"id\":\"\\x41\"}", Code::MALFORMED, "not JSON"),
        (b"{\"id\":\"\\ud800\"}", Code::MALFORMED, "not JSON"),
        (b"{\"id\":\"\\udc00\\ud800\"}", Code::MALFORMED, "not JSON"),
        (b"{\"id\":\"\xFF\"}", Code::MALFORMED, "not UTF-8 at byte 7"),
        (b"{\"id\":\"\xC0\xAF\"}", Code::MALFORMED, "not UTF-8"),
        (b"{\"id\":\"\xED\xA0\x80\"}", Code::MALFORMED, "not UTF-8"),
        (b"{\"data\":NaN}", Code::MALFORMED, "not JSON"),
        (b"{\"data\":Infinity}", Code::MALFORMED, "not JSON"),
        (b"{\"data\":01}", Code::MALFORMED, "not JSON"),
        (b"{\"data\":+1}", Code::MALFORMED, "not JSON"),
        (b"{\"data\":[1,]}", Code::MALFORMED, "not JSON"),
        (b"{\"data\":[1}}", Code::MALFORMED, "not JSON"),
        (b"{\"aggregateversion\":NaN}", Code::MALFORMED, "not JSON"),
        (b"{\"data\":1.]", Code::MALFORMED, "not JSON"),
        (b"{\"id\":e", Code::MALFORMED, "not JSON"),
    ] {
        refuses(bytes, code, says);
    }
}

#[test]
fn text_that_ends_too_soon_at_every_byte() {
    let text = with(
        r#""timeline":12,"region":"größe \u00fc \ud83d\ude00\\","hot":true,"traceparent":null,
        "data":{"a":[-1.5e+30,true,false,null,{}],"b":"\"😀\u0041"}"#,
    );
    let bytes = text.as_bytes();
    assert!(decode(&text).is_ok());
    for end in 1..bytes.len() {
        refuses(&bytes[..end], Code::LINE_TRUNCATED, "ends");
    }
}

#[test]
fn attributes_that_are_not_there() {
    for name in ["specversion", "id", "source", "type", "subject", "time", "aggregateversion"] {
        let says = format!("the {name} is missing");
        refuses(without(name).as_bytes(), Code::ATTRIBUTE_MISSING, &says);
        refuses(with(&format!("\"{name}\":null")).as_bytes(), Code::ATTRIBUTE_MISSING, &says);
    }
    refuses(b"{}", Code::ATTRIBUTE_MISSING, "specversion");
}

#[test]
fn attributes_that_come_twice() {
    for (members, says) in [
        (r#""i\u0064":"e-2""#, "the id is given twice"),
        (r#""\u0069\u0064":null"#, "the id is given twice"),
        (r#""data":1,"data":2"#, "the data is given twice"),
        (r#""data":1,"d\u0061ta":1"#, "the data is given twice"),
        (r#""region":"eu","region":"eu""#, "the region is given twice"),
        (r#""region":null,"region":"eu""#, "the region is given twice"),
        (r#""region":"eu","regio\u006e":null"#, "the region is given twice"),
        (r#""timeline":null,"timeline":1"#, "the timeline is given twice"),
        (r#""data":1,"data_base64":"AA==""#, "both data and data_base64"),
        (r#""data":null,"data_base64":"AA==""#, "both data and data_base64"),
    ] {
        refuses(with(members).as_bytes(), Code::ATTRIBUTE_REPEATED, says);
    }
}

#[test]
fn versions_and_timelines_that_are_none() {
    let versions = [
        "0",
        "-1",
        "1.0",
        "7.5",
        "1e3",
        "1E3",
        "-0",
        "true",
        "[]",
        "{}",
        "[7]",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e18",
        r#""0""#,
        r#""""#,
        r#"" 7""#,
        r#""7 ""#,
        r#""+7""#,
        r#""-7""#,
        r#""07""#,
        r#""7.0""#,
        r#""1e3""#,
        r#""0x7""#,
        r#""NaN""#,
        r#""٧""#,
        r#""9223372036854775808""#,
        r#""18446744073709551616""#,
    ];
    for value in versions {
        let text = with(&format!("\"aggregateversion\":{value}"));
        refuses(text.as_bytes(), Code::ATTRIBUTE_INVALID, "not a whole number from 1 to 9223372036854775807");
    }
    for value in ["-1", "1.0", "4294967296", r#""4294967296""#, r#""""#, r#""00""#, "false", "[]"] {
        let text = with(&format!("\"timeline\":{value}"));
        refuses(text.as_bytes(), Code::ATTRIBUTE_INVALID, "the timeline is ");
    }
}

#[test]
fn values_of_the_wrong_type_or_form() {
    let megabyte = format!(r#""time":"{}""#, "9".repeat(1_000_000));
    let nested = format!(r#""id":{}{}"#, "[".repeat(100_000), "]".repeat(100_000));
    for (members, says) in [
        (r#""specversion":"0.3""#, r#"the specversion is "0.3", not "1.0""#),
        (r#""specversion":1.0"#, "the specversion is the number 1.0, not a string"),
        (r#""id":42"#, "the id is 42, not a string"),
        (r#""id":["e-1"]"#, "the id is an array, not a string"),
        (nested.as_str(), "the id is an array, not a string"),
        (r#""source":{"a":[{}]}"#, "the source is an object, not a string"),
        (r#""type":true"#, "the type is true, not a string"),
        (r#""subject":42"#, "the subject is 42"),
        (r#""time":1700000000"#, "the time is 1700000000"),
        (r#""time":"yesterday""#, r#"the time is "yesterday", not an RFC 3339 time"#),
        (r#""time":"2026-11-23T10:00:00""#, "with an offset"),
        (r#""time":"2026-02-30T10:00:00Z""#, "the time is"),
        (megabyte.as_str(), "(1000000 bytes)"),
        (r#""effectivefrom":"soon""#, r#"the effectivefrom is "soon""#),
        (r#""effectiveuntil":7"#, "the effectiveuntil is 7"),
        (
            r#""effectivefrom":"2026-11-24T00:00:00Z","effectiveuntil":"2026-11-23T00:00:00Z""#,
            "is before the effectivefrom",
        ),
        (r#""partitionkey":"price/43""#, r#"the partitionkey is "price/43", not the subject "price/42""#),
        (r#""partitionkey":"""#, "the partitionkey is"),
        (r#""traceparent":1"#, "the traceparent is 1"),
        (r#""dataschema":{}"#, "the dataschema is an object"),
        (r#""datacontenttype":7"#, "the datacontenttype is 7"),
        (r#""datacontenttype":"text/plain","data":{"a":1}"#, r#"which its type "text/plain" needs"#),
        (r#""data_base64":7"#, "the data_base64 is 7"),
        (r#""data_base64":"%%%""#, "not base64"),
        (r#""data_base64":"AAE""#, "not base64"),
        (r#""data_base64":"AB==""#, "not base64"),
        (r#""region":1.5"#, "the region is the number 1.5"),
        (r#""region":["eu"]"#, "the region is an array"),
        (r#""region":{"a":1}"#, "the region is an object"),
        (r#""region":"a\u0007b""#, "the control character U+0007"),
        (r#""Region":"eu""#, r#"the attribute name "Region""#),
        (r#""re_gion":"eu""#, "lower-case letters and digits"),
        (r#""région":"eu""#, "lower-case letters and digits"),
        (r#""":"eu""#, r#"the attribute name """#),
        (r#""a\u202eb":"eu""#, "the attribute name"),
        (&format!(r#""{}":1"#, "a".repeat(65)), "(65 bytes)"),
    ] {
        refuses(with(members).as_bytes(), Code::ATTRIBUTE_INVALID, says);
    }
}

#[test]
fn names_that_cannot_be_used_safely() {
    for name in ["id", "source", "type"] {
        for (value, says) in [
            ("", "is empty"),
            ("a\\u0000b", "U+0000"),
            ("a\\r\\nb", "U+000D"),
            ("\\u202egnp", "U+202E"),
            ("a\u{200B}b", "U+200B"),
            ("a\u{85}b", "U+0085"),
            (&"x".repeat(513), "513 bytes"),
        ] {
            let text = with(&format!("\"{name}\":\"{value}\""));
            refuses(text.as_bytes(), Code::NAME_INVALID, &format!("the {name} "));
            refuses(text.as_bytes(), Code::NAME_INVALID, says);
        }
    }
    for value in ["", "price", "/42", "price/", "pri\\nce/42", "price/\\u202e42", &"x".repeat(100_000)] {
        refuses(with(&format!("\"subject\":\"{value}\"")).as_bytes(), Code::NAME_INVALID, "subject");
    }
    for (members, says) in [
        (r#""traceparent":"a\nb""#, "the traceparent"),
        (r#""dataschema":"""#, "the dataschema is empty"),
        (r#""datacontenttype":"""#, "the datacontenttype is empty"),
    ] {
        refuses(with(members).as_bytes(), Code::NAME_INVALID, says);
    }
}

#[test]
fn what_is_beyond_the_limits() {
    let arrays = |n: usize| format!(r#""data":{}{}"#, "[".repeat(n), "]".repeat(n));
    let objects = format!(r#""data":{}1{}"#, r#"{"a":"#.repeat(33), "}".repeat(33));
    for members in [arrays(33), arrays(129), arrays(400_000), objects] {
        refuses(with(&members).as_bytes(), Code::TOO_DEEP, "more than 32 levels deep");
    }
    let unclosed = with(&arrays(500_000).replace(']', ""));
    refuses(&unclosed.as_bytes()[..unclosed.len() - 1], Code::LINE_TRUNCATED, "ends before");

    let data = |bytes: usize| with(&format!(r#""data":"{}""#, "x".repeat(bytes)));
    let frame = data(0).len();
    assert!(decode(&data((1 << 20) - frame)).is_ok());
    refuses(data((1 << 20) - frame + 1).as_bytes(), Code::OVERSIZED, "1048577 bytes, more than 1048576");

    let extensions = |n: usize| (0..n).map(|i| format!(r#""x{i}":1"#)).collect::<Vec<_>>().join(",");
    assert_eq!(decode(&with(&extensions(64))).unwrap().extensions.len(), 64);
    refuses(with(&extensions(65)).as_bytes(), Code::OVERSIZED, "more than 64 extension attributes");
    refuses(
        with(&extensions(65).replace(":1", ":null")).as_bytes(),
        Code::OVERSIZED,
        "more than 64 extension",
    );
    let big = with(&format!(r#""note":"{}""#, "x".repeat(16 << 10)));
    refuses(big.as_bytes(), Code::OVERSIZED, "more than 16384 bytes");
}
