//! Services in other languages publish by `SELECT tidings.publish(...)`, with the drivers that people use there.

use std::path::Path;
use std::process::Command;

use tidings_core::port::Outbox;
use tidings_core::{Data, Event, Time};

use crate::support::{Database, event, follow, named, versions, ways};

/// What each client says: versions, and then the refusals with their SQLSTATE.
const SAYS: [&str; 6] = [
    "version 1",
    "version 41",
    "version 42",
    "T1006 the entity is not of the form kind/id; write it as price/42 [TD1006]",
    "22P02 invalid input syntax for type json",
    "T1007 label/1: the version does not follow the last one of its entity; take versions from the row of the entity, \
     or give NULL to have it assigned [TD1007]",
];

/// Has the client publish as a login that may publish and nothing else, and reads what a relay gets, by both ways.
async fn publishes(client: Command, file: &str) {
    let Some(database) = Database::new().await else { return };
    let admin = database.connect().await;
    let role = format!("{}_client", database.slot());
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT tidings_writer TO {role}; GRANT INSERT ON price TO {role}"
    );
    admin.batch_execute(&sql).await.unwrap();
    let said = run(client, file, &database.url_as(&role, "secret"));
    admin.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
    assert_eq!(said.lines().collect::<Vec<_>>(), SAYS);
    let rows = admin.query("SELECT sku FROM price ORDER BY cents", &[]).await.unwrap();
    let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(rows, ["größe/商品 1", "image", "gone"]);
    // Nothing is acknowledged, so the second way reads the same again.
    for way in ways() {
        let outbox = database.open_unread(way).await;
        let mut from = outbox.acknowledged().await.unwrap();
        let rows = follow(&*outbox, &mut from).await;
        let expected = named([("price/größe/商品 1", 1), ("label/1", 41), ("label/1", 42)]);
        assert_eq!(versions(&rows), expected);
        check(event(&rows[0]), event(&rows[1]), event(&rows[2]));
    }
}

fn check(price: &Event, label: &Event, gone: &Event) {
    assert_eq!(&*price.kind, "pricing.BasePriceChanged");
    assert_eq!(price.data, Data::Json(r#"{"cents": 1999,  "name":"größe \u5546"}"#.into()), "byte for byte");
    assert_eq!(price.window.from, Some(Time::parse("2026-01-02T03:04:05.678901Z").unwrap()));
    assert_eq!(price.traceparent.as_deref(), Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(label.data, Data::Bytes { content_type: "image/png".into(), bytes: bytes.into() });
    assert_eq!((&*label.kind, &label.window.from), ("pricing.LabelPrinted", &None));
    assert_eq!((&*gone.kind, &gone.data), ("pricing.LabelGone", &Data::Empty));
}

fn run(mut client: Command, file: &str, url: &str) -> String {
    client.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(file)).arg(url);
    let output = client.output().unwrap_or_else(|error| panic!("{client:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{client:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_python_service_publishes_with_psycopg() {
    if !services::embedded_only() {
        publishes(services::python(&["psycopg[binary]==3.3.9"]).unwrap(), "client.py").await;
    }
}

#[tokio::test]
async fn a_node_service_publishes_with_pg() {
    if !services::embedded_only() {
        publishes(services::node(&["pg@8.23.1"]).unwrap(), "client.js").await;
    }
}

#[tokio::test]
async fn a_java_service_publishes_with_jdbc() {
    if !services::embedded_only() {
        publishes(services::java(&["org.postgresql:postgresql:42.7.8"]).unwrap(), "Client.java").await;
    }
}
