//! The write side: from Rust, and as every other language does it.

use tidings_core::port::{Cursor, Outbox};
use tidings_core::{Code, Data, Draft, Error, Stamp, Time, Timeline, Version, Window};
use tidings_postgres::{fault, record, schema};

use crate::support::{Database, commit, draft, event, follow, publish, ways};

#[tokio::test]
async fn s25_rollback_leaves_no_event_and_an_event_comes_out_as_it_went_in() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let mut client = database.connect().await;
        let outbox = database.open(way.clone()).await;
        let transaction = client.transaction().await.unwrap();
        record(&transaction, &draft("price/none", None)).await.unwrap();
        transaction.rollback().await.unwrap();
        let bytes =
            Data::Bytes { content_type: "image/png".into(), bytes: (0..=255).collect::<Vec<u8>>().into() };
        let written = Draft {
            version: Version::new(41),
            window: Window { from: Some(Time::from_micros(-5)), until: Some(Time::from_micros(5)) },
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            ..draft("price/größe/商品 1", None)
        };
        for data in [Data::Empty, Data::Json("[1, 2,\n \"\\u0000\"]".into()), bytes] {
            let next = Draft { data, version: None, ..written.clone() };
            commit(&mut client, std::slice::from_ref(&next)).await;
            let mut from = outbox.acknowledged().await.unwrap();
            let event = event(&follow(&*outbox, &mut from).await[0]).clone();
            outbox.acknowledge(from).await.unwrap();
            assert_eq!(
                (&event.kind, &event.entity, &event.data),
                (&next.kind, &next.entity, &next.data),
                "{way:?}"
            );
            assert_eq!((event.window, &event.traceparent), (next.window, &next.traceparent));
            assert_eq!(&*event.source, "/pricing");
            let id: Vec<&str> = event.id.split('-').collect();
            assert!(id[2].starts_with('7') && "89ab".contains(&id[3][..1]), "not a UUIDv7: {}", event.id);
        }
        assert_eq!(commit(&mut client, &[written]).await, [Stamp::of(Version::new(41).unwrap())]);
    }
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_with_its_code() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    for (arguments, code) in [
        ("NULL, 'price/1'", Code::ATTRIBUTE_MISSING),
        ("'a.B', 'price'", Code::NAME_INVALID),
        ("'a.B', 'price/'", Code::NAME_INVALID),
        ("'', 'price/1'", Code::NAME_INVALID),
        ("'a.B', 'price/' || chr(8238)", Code::NAME_INVALID),
        ("'a.B', 'price/' || repeat('x', 513)", Code::NAME_INVALID),
        ("'a.B', 'price/1', version => 0", Code::ATTRIBUTE_INVALID),
        ("'a.B', 'price/1', '{'", Code::ATTRIBUTE_INVALID),
        ("'a.B', 'price/1', '1', body => 'x', contenttype => 'a/b'", Code::ATTRIBUTE_INVALID),
        ("'a.B', 'price/1', effectivefrom => 'infinity'", Code::ATTRIBUTE_INVALID),
        (
            "'a.B', 'price/1', effectivefrom => '2026-02-01', effectiveuntil => '2026-01-01'",
            Code::ATTRIBUTE_INVALID,
        ),
        ("'a.B', 'price/1', effectivefrom => 'tomorrow-ish'", Code::ATTRIBUTE_INVALID),
        ("'a.B', 'price/1', traceparent => ''", Code::ATTRIBUTE_INVALID),
    ] {
        let refused = client.query_one(&format!("SELECT tidings.publish({arguments})"), &[]).await;
        let error = fault(refused.expect_err(arguments));
        assert_eq!(error.code(), code, "{arguments}: {error}");
    }
    assert_eq!(publish(&client, "price/1").await, 1, "nothing of it was recorded");
}

#[tokio::test]
async fn a_writer_may_publish_and_nothing_else() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    let role = format!("{}_w", database.slot());
    client
        .batch_execute(&format!("CREATE ROLE {role}; GRANT tidings_writer TO {role}; SET ROLE {role}"))
        .await
        .unwrap();
    assert_eq!(publish(&client, "price/1").await, 1);
    for sql in [
        "SELECT * FROM tidings.outbox",
        "INSERT INTO tidings.entity VALUES ('price/1', 0, 99)",
        "UPDATE tidings.relay SET position = 99",
        "SELECT tidings.maintain('1 day')",
        "SELECT tidings.begin_timeline(9)",
    ] {
        let error: Error = fault(client.query(sql, &[]).await.expect_err(sql));
        assert_eq!(error.code(), Code::DATABASE_PRIVILEGE, "{sql}: {error}");
    }
    client
        .batch_execute("SET ROLE tidings_relay; SELECT * FROM tidings.outbox, tidings.parked")
        .await
        .unwrap();
    assert!(client.query("SELECT tidings.publish('a.B', 'price/1')", &[]).await.is_err());
    client
        .batch_execute(&format!("RESET ROLE; REVOKE tidings_writer FROM {role}; DROP ROLE {role}"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_new_timeline_outranks_all_before_and_may_issue_versions_again() {
    let Some(database) = Database::new().await else { return };
    let mut client = database.connect().await;
    commit(&mut client, &[draft("price/1", Some(7))]).await;
    client.query_one("SELECT tidings.begin_timeline(3)", &[]).await.unwrap();
    let stamps = commit(&mut client, &[draft("price/1", Some(2)), draft("price/1", None)]).await;
    let stamp = |version| Stamp { timeline: Timeline(3), version: Version::new(version).unwrap() };
    assert_eq!(stamps, [stamp(2), stamp(3)]);
}

#[tokio::test]
async fn a_row_that_is_no_event_is_an_answer_in_its_place_and_can_be_parked() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let client = database.connect().await;
        let outbox = database.open(way.clone()).await;
        publish(&client, "price/1").await;
        let damaged = "INSERT INTO tidings.outbox SELECT nextval('tidings.outbox_seq'), id, pg_current_xact_id(), '', aggregateid,
            type, timeline, version, time FROM tidings.outbox LIMIT 1";
        client.batch_execute(damaged).await.unwrap();
        publish(&client, "price/1").await;
        let mut from = Cursor(0);
        let rows = follow(&*outbox, &mut from).await;
        assert!(rows.iter().map(|row| row.event.is_ok()).eq([true, false, true]), "{way:?}: {rows:?}");
        let reason = rows[1].event.as_ref().unwrap_err();
        outbox.park(rows[1].cursor, reason).await.unwrap();
        let parked = schema::parked(&client, 10).await.unwrap();
        assert_eq!((parked.len(), parked[0].code.as_str()), (1, reason.code().id()));
        assert!(
            parked[0].row.as_ref().is_some_and(|row| row.contains("\"aggregatetype\":\"\"")),
            "{parked:?}"
        );
    }
}

#[tokio::test]
async fn installing_is_shown_done_once_and_undone() {
    let Some(database) = Database::new().await else { return };
    let mut client = database.connect().await;
    let again = schema::install(&client).await.unwrap();
    assert_eq!((again.from, again.steps.len()), (Some(schema::VERSION), 0));
    assert_eq!(schema::upgrade(&client).await.unwrap().steps.len(), 0);
    publish(&client, "price/1").await;
    drop(database.open(crate::support::decode()).await);
    publish(&client, "price/1").await;
    let active = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND active";
    while client.query_one(active, &[]).await.unwrap().get::<_, i64>(0) > 0 {}
    let plan = schema::uninstall(&client).await.unwrap();
    assert_eq!((plan.unrelayed, plan.slots.clone()), (2, vec![database.slot()]), "{plan:?}");
    plan.apply(&mut client).await.unwrap();
    assert_eq!(schema::upgrade(&client).await.unwrap_err().code(), Code::OUTBOX_MISSING);
    let plan = schema::install(&client).await.unwrap();
    assert!(plan.from.is_none() && !plan.steps.is_empty());
    plan.apply(&mut client).await.unwrap();
    assert_eq!(
        plan.apply(&mut client).await.unwrap_err().code(),
        Code::BUSY,
        "planned for an empty database"
    );
    client.batch_execute("UPDATE tidings.meta SET schema_version = 99").await.unwrap();
    assert_eq!(schema::install(&client).await.unwrap_err().code(), Code::STORE_TOO_NEW);
}
