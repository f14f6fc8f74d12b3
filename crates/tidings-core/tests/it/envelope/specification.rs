//! The shapes that the `CloudEvents` specification and its JSON format show, with a subject and a version added.

use tidings_core::envelope::encode_line;
use tidings_core::{Data, Event};

use super::decode;

const TIDINGS: &str = r#""subject":"order/A234-1234-1234","aggregateversion":"1","#;

fn read(rest: &str) -> Event {
    let text = format!("{{\"specversion\":\"1.0\",{TIDINGS}{rest}}}");
    decode(&text).unwrap_or_else(|e| panic!("{rest}: {e}"))
}

#[test]
fn with_a_string_as_data() {
    let event = read(
        r#""type" : "com.example.someevent", "source" : "/mycontext", "id" : "C234-1234-1234",
        "time" : "2018-04-05T17:31:00Z", "comexampleextension1" : "value", "comexampleothervalue" : 5,
        "datacontenttype" : "application/json", "data" : "I'm just a string""#,
    );
    assert_eq!(event.data, Data::Json("\"I'm just a string\"".into()));
    assert_eq!(event.extensions[1], ("comexampleothervalue".into(), "5".into()));
}

#[test]
fn with_a_number_an_object_and_implied_json() {
    for data in
        ["42", r#"{ "appinfoA" : "abc", "appinfoB" : 123, "appinfoC" : true }"#, "null", "\"\"", "false"]
    {
        let event = read(&format!(
            r#""type":"com.example.someevent","source":"/mycontext","id":"D234-1234-1234","time":"2018-04-05T17:31:00Z",
            "unsetextension": null,"data":{data}"#
        ));
        assert_eq!(event.data, Data::Json(data.into()));
        assert!(event.extensions.is_empty(), "null is the same as absent");
    }
}

#[test]
fn with_text_of_another_media_type_as_a_string() {
    let event = read(
        r#""type":"com.example.someevent","source":"/mycontext","id":"B234-1234-1234","time":"2018-04-05T17:31:00Z",
        "datacontenttype":"application/xml","data":"<much wow=\"xml\"/>""#,
    );
    let bytes = br#"<much wow="xml"/>"#[..].into();
    assert_eq!(event.data, Data::Bytes { content_type: "application/xml".into(), bytes });
}

#[test]
fn with_binary_data() {
    let event = read(
        r#""type":"com.example.someevent","source":"urn:event:from:myapi/resource/123","id":"A234-1234-1234",
        "time":"2018-04-05T17:31:00Z","datacontenttype":"application/vnd.apache.thrift.binary",
        "data_base64":"SGVsbG8gd29ybGQ=""#,
    );
    let content_type = "application/vnd.apache.thrift.binary".into();
    assert_eq!(event.data, Data::Bytes { content_type, bytes: b"Hello world"[..].into() });
}

#[test]
fn sources_and_schemas_are_uri_references() {
    for source in [
        "https://github.com/cloudevents",
        "mailto:cncf-wg-serverless@lists.cncf.io",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "/cloudevents/spec/pull/123",
        "1-555-123-4567",
    ] {
        let event = read(&format!(
            r#""type":"com.github.pull_request.opened","source":"{source}","id":"1","time":"2018-04-05T17:31:00Z",
            "dataschema":"{source}","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01""#
        ));
        assert_eq!((&*event.source, event.schema.as_deref()), (source, Some(source)));
        assert_eq!(event.data, Data::Empty);
    }
}

#[test]
fn one_event_is_one_line() {
    let event = read(
        "\"type\":\"t\",\"source\":\"s\",\"id\":\"1\",\"time\":\"2018-04-05T17:31:00Z\",\"data\":[1,\r\n 2]",
    );
    let mut out = b"before\n".to_vec();
    encode_line(&event, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "before\n{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"subject\":\"order/A234-1234-1234\",\
         \"time\":\"2018-04-05T17:31:00.000000Z\",\"aggregateversion\":\"1\",\"partitionkey\":\"order/A234-1234-1234\",\
         \"datacontenttype\":\"application/json\",\"data\":[1,   2]}\n"
    );
}
