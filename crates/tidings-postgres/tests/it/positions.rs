//! Positions: what an event says of its place, what a read has seen, and where the source stands.

use services::{Postgres, PostgresPair, embedded_only};
use tidings_core::port::Outbox;
use tidings_core::shared::AsOf;
use tidings_core::shared::level::Source;
use tidings_core::{Code, Timeline};
use tidings_postgres::{PostgresSource, as_of, fault, record};
use tokio_postgres::{Client, GenericClient, IsolationLevel, Transaction};

use crate::support::{Database, decode, draft, drain, event, follow, publish, ways};

async fn snapshot(client: &mut Client) -> Transaction<'_> {
    let begin = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let transaction = begin.start().await.unwrap();
    transaction.query("SELECT 1", &[]).await.unwrap();
    transaction
}

async fn place(client: &Client) -> i64 {
    client.query_one("SELECT place FROM tidings.as_of()", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn an_event_tells_the_place_of_its_transaction_and_only_what_has_seen_it_says_so() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let (mut writer, mut reader) = (database.connect().await, database.connect().await);
        let source = PostgresSource::new(&database.address());
        let outbox = database.open(way.clone()).await;
        let transaction = writer.transaction().await.unwrap();
        record(&transaction, &draft("price/1", None)).await.unwrap();
        let xid = "SELECT pg_current_xact_id()::text";
        let xid: u64 = transaction.query_one(xid, &[]).await.unwrap().get::<_, String>(0).parse().unwrap();
        // Another one with a later id commits before.
        publish(&database.connect().await, "price/2").await;
        let before = snapshot(&mut reader).await;
        assert!(as_of(&before).await.unwrap().at < xid, "{way:?}");
        transaction.commit().await.unwrap();
        let committed = AsOf { timeline: Timeline(0), at: xid };
        assert!(source.position().await.unwrap() > committed);
        assert!(as_of(&before).await.unwrap() < committed, "{way:?}: asked after, of a state before");
        before.rollback().await.unwrap();
        let mut from = outbox.acknowledged().await.unwrap();
        let rows = follow(&*outbox, &mut from).await;
        let row = rows.iter().map(event).find(|event| event.entity.as_str() == "price/1").unwrap();
        assert_eq!(row.extensions, [("sourceposition".into(), xid.to_string().into())], "{way:?}");
        // Others on the shared server can keep the last place back for a while.
        loop {
            let after = snapshot(&mut reader).await;
            if as_of(&after).await.unwrap() >= committed {
                break;
            }
        }
    }
}

#[tokio::test]
async fn as_of_is_of_the_snapshot_of_the_statement_that_reads() {
    let Some(database) = Database::new().await else { return };
    let (mut holder, reader, writer) =
        (database.connect().await, database.connect().await, database.connect().await);
    let lock = holder.transaction().await.unwrap();
    lock.query("SELECT pg_advisory_xact_lock(7)", &[]).await.unwrap();
    let sql = "SELECT (tidings.as_of()).place, pg_snapshot_xmin(pg_current_snapshot())::text::bigint
               FROM (SELECT pg_advisory_xact_lock(7) OFFSET 0) AS waited";
    let reading = tokio::spawn(async move { reader.query_one(sql, &[]).await.unwrap() });
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while writer.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
    publish(&writer, "price/1").await;
    lock.commit().await.unwrap();
    let row = reading.await.unwrap();
    assert_eq!(row.get::<_, i64>(0), row.get::<_, i64>(1) - 1);
    let mut client = database.connect().await;
    let transaction = client.transaction().await.unwrap();
    let refused = as_of(&transaction).await.unwrap_err();
    assert_eq!(refused.code(), Code::SETTING_INVALID, "{refused}");
}

#[tokio::test]
async fn whoever_only_reads_may_ask_for_positions_and_nothing_else() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    client.batch_execute("SET ROLE tidings_reader").await.unwrap();
    place(&client).await;
    client.query_one("SELECT * FROM tidings.position()", &[]).await.unwrap();
    for sql in ["SELECT tidings.publish('a.B', 'price/1')", "SELECT * FROM tidings.meta"] {
        let error = fault(client.query(sql, &[]).await.expect_err(sql));
        assert_eq!(error.code(), Code::DATABASE_PRIVILEGE, "{sql}: {error}");
    }
}

#[tokio::test]
async fn the_source_stands_at_or_after_what_is_committed_and_not_visible_yet() {
    if embedded_only() {
        return;
    }
    let pair = PostgresPair::start(&[]).unwrap();
    let database = Database::on(&pair.primary.url()).await;
    let (writer, reader) = (database.connect().await, database.connect().await);
    let outbox = database.open(decode()).await;
    drain(&*outbox).await;
    let source = PostgresSource::new(&database.address());
    source.position().await.unwrap();
    pair.standby.pause().unwrap();
    let writing = tokio::spawn(async move { publish(&writer, "price/1").await });
    let mut from = outbox.acknowledged().await.unwrap();
    let mut rows = Vec::new();
    while rows.is_empty() {
        rows = follow(&*outbox, &mut from).await;
    }
    let told: u64 = event(&rows[0]).extensions[0].1.parse().unwrap();
    assert!(!writing.is_finished(), "told of before it is visible");
    assert!(source.position().await.unwrap().at >= told);
    assert!(u64::try_from(place(&reader).await).unwrap() < told);
    pair.standby.resume().unwrap();
    writing.await.unwrap();
    assert!(u64::try_from(place(&reader).await).unwrap() >= told);
}

async fn position(client: &impl GenericClient) -> i64 {
    client.query_one("SELECT place FROM tidings.position()", &[]).await.unwrap().get(0)
}

async fn own_id(client: &impl GenericClient) -> i64 {
    let sql = "SELECT pg_current_xact_id()::text::bigint";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// What the server counts the age of ids from stands still in a transaction that has used it, or has an id.
#[tokio::test]
async fn the_source_stands_at_what_others_commit_whatever_was_done_before_in_the_transaction() {
    let Some(database) = Database::new().await else { return };
    let (mut client, writer) = (database.connect().await, database.connect().await);
    let mut ahead = database.connect().await;
    let before = ["SELECT * FROM tidings.position()", "SELECT age('3'::xid)", "SELECT pg_current_xact_id()"];
    for sql in before {
        let transaction = client.transaction().await.unwrap();
        transaction.batch_execute(sql).await.unwrap();
        for committed in [1, 2, 7] {
            for _ in 1..committed {
                own_id(&writer).await;
            }
            let last = own_id(&writer).await;
            assert!(position(&transaction).await >= last, "{sql}, {committed} commits");
        }
        // Nobody sees this one end: told of, it can be ahead of all that is visible.
        let open = ahead.transaction().await.unwrap();
        let given = own_id(&open).await;
        assert!(position(&transaction).await >= given, "{sql}, not visible");
        open.rollback().await.unwrap();
        transaction.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn the_source_stands_at_no_more_than_was_given() {
    if embedded_only() {
        return;
    }
    // On a server of its own: nobody else is given an id.
    let server = Postgres::start(&[("autovacuum", "off")]).unwrap();
    let database = Database::on(&server.url()).await;
    let mut clients = Vec::new();
    for _ in 0..11 {
        clients.push(database.connect().await);
    }
    let asking = database.connect().await;
    let mut open = Vec::new();
    for client in &mut clients {
        let transaction = client.transaction().await.unwrap();
        let given = own_id(&transaction).await;
        open.push(transaction);
        assert_eq!(position(&asking).await, given, "{} are open", open.len());
    }
}

#[tokio::test]
async fn the_source_is_not_asked_in_a_snapshot_from_before() {
    let Some(database) = Database::new().await else { return };
    let mut client = database.connect().await;
    for isolation in [IsolationLevel::RepeatableRead, IsolationLevel::Serializable] {
        let transaction = client.build_transaction().isolation_level(isolation).start().await.unwrap();
        let refused = transaction.query("SELECT tidings.position()", &[]).await.unwrap_err();
        assert_eq!(fault(refused).code(), Code::SETTING_INVALID);
    }
    let name: String = client.query_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
    let default = format!("ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'");
    client.batch_execute(&default).await.unwrap();
    PostgresSource::new(&database.address()).position().await.unwrap();
}

#[tokio::test]
async fn a_standby_and_what_began_on_one_claim_nothing() {
    if embedded_only() {
        return;
    }
    let mut pair = PostgresPair::start(&[]).unwrap();
    let database = Database::on(&pair.primary.url()).await;
    publish(&database.connect().await, "price/1").await;
    let address = database.by(pair.standby.port());
    let mut client = address.connect("test", "").await.unwrap();
    while client.query("SELECT tidings.as_of()", &[]).await.is_err() {
        client = address.connect("test", "").await.unwrap();
    }
    let nothing = AsOf { timeline: Timeline(0), at: 0 };
    let source = PostgresSource::new(&address);
    let refused = source.position().await.unwrap_err();
    assert_eq!(refused.code(), Code::DATABASE_STANDBY, "{refused}");
    let old = snapshot(&mut client).await;
    assert_eq!(as_of(&old).await.unwrap(), nothing);
    pair.promote().unwrap();
    assert_eq!(as_of(&old).await.unwrap(), nothing, "begun before the promotion");
    old.rollback().await.unwrap();
    let after = snapshot(&mut client).await;
    let (seen, position) = (as_of(&after).await.unwrap(), source.position().await.unwrap());
    assert_eq!((seen.timeline, position.timeline), (Timeline(1), Timeline(1)));
    assert!(seen <= position && seen.at > 0, "{seen} {position}");
    // Else its end would wait for a standby that is gone.
    pair.primary.query("ALTER SYSTEM RESET synchronous_standby_names").unwrap();
    pair.primary.query("SELECT pg_reload_conf()").unwrap();
}

#[tokio::test]
async fn the_source_is_asked_again_after_its_connection_broke() {
    if embedded_only() {
        return;
    }
    let mut server = Postgres::start(&[]).unwrap();
    let database = Database::on(&server.url()).await;
    let source = PostgresSource::new(&database.address());
    let before = source.position().await.unwrap();
    server.stop_immediately().unwrap();
    assert_eq!(source.position().await.unwrap_err().code(), Code::DATABASE_UNREACHABLE);
    server.restart().unwrap();
    assert!(source.position().await.unwrap() >= before);
}

/// Whoever records while a timeline begins is before it in the order of places, or on it.
#[tokio::test]
async fn a_timeline_begins_when_nobody_is_recording_on_the_old_one() {
    let Some(database) = Database::new().await else { return };
    let (mut first, second, admin) =
        (database.connect().await, database.connect().await, database.connect().await);
    let watcher = database.connect().await;
    let transaction = first.transaction().await.unwrap();
    record(&transaction, &draft("price/1", None)).await.unwrap();
    let beginning = tokio::spawn(async move {
        admin.query_one("SELECT tidings.begin_timeline(3)", &[]).await.unwrap();
    });
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while watcher.query_one(blocked, &[]).await.unwrap().get::<_, i64>(0) < 1 {
        assert!(!beginning.is_finished(), "it did not wait");
    }
    let recording = tokio::spawn(async move { publish(&second, "price/2").await });
    while watcher.query_one(blocked, &[]).await.unwrap().get::<_, i64>(0) < 2 {
        assert!(!recording.is_finished(), "it did not wait");
    }
    transaction.commit().await.unwrap();
    beginning.await.unwrap();
    recording.await.unwrap();
    let sql = "SELECT timeline FROM tidings.outbox ORDER BY seq";
    let rows = watcher.query(sql, &[]).await.unwrap();
    assert!(rows.iter().map(|row| row.get::<_, i32>(0)).eq([0, 3]));
}
