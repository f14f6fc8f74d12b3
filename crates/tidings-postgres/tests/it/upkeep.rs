//! What goes on beside publishing holds up nobody, loses nothing, and does not wait for ever.

use std::time::Duration;

use services::{Postgres, embedded_only};
use tidings_core::Code;
use tidings_postgres::{Discovery, PostgresOutbox, Settings, fault, record, schema};

use crate::support::{Database, decode, draft, drain, named, publish, settings, ways};

/// Older than nothing: today's partition is old, too.
const ALL_OLD: &str = "'-2 days'";

#[tokio::test]
async fn partitions_are_made_while_others_publish() {
    let Some(database) = Database::new().await else { return };
    let (mut keeper, writer) = (database.connect().await, database.connect().await);
    writer.batch_execute("SET lock_timeout = '10s'").await.unwrap();
    let transaction = keeper.transaction().await.unwrap();
    let made = transaction.query_one("SELECT tidings.make_partitions(9)", &[]).await.unwrap();
    assert_eq!(made.get::<_, i32>(0), 6, "besides those of today and the next three days");
    assert_eq!(publish(&writer, "price/1").await, 1);
    transaction.commit().await.unwrap();
    assert_eq!(publish(&writer, "price/1").await, 2);
}

#[tokio::test]
async fn partitions_are_dropped_under_no_snapshot_from_before_the_lock() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    let outbox = database.open(Discovery::Claim).await;
    client.batch_execute("SET default_transaction_isolation = 'repeatable read'").await.unwrap();
    publish(&client, "price/1").await;
    for call in [format!("maintain({ALL_OLD})"), format!("drop_partition({ALL_OLD})")] {
        let refused = client.query_one(&format!("SELECT tidings.{call}"), &[]).await.expect_err(&call);
        assert_eq!(fault(refused).code(), Code::SETTING_INVALID);
    }
    // From Rust it brings its own isolation.
    client.batch_execute("ALTER TABLE tidings.outbox DETACH PARTITION tidings.outbox_default").await.unwrap();
    let old = "CREATE TABLE tidings.outbox_20200101 PARTITION OF tidings.outbox FOR VALUES FROM ('2020-01-01Z') TO ('2020-01-02Z')";
    client.batch_execute(old).await.unwrap();
    client
        .batch_execute("ALTER TABLE tidings.outbox ATTACH PARTITION tidings.outbox_default DEFAULT")
        .await
        .unwrap();
    assert_eq!(schema::maintain(&client, Duration::ZERO).await.unwrap(), (0, 1));
    assert_eq!(drain(&*outbox).await, named([("price/1", 1)]));
}

#[tokio::test]
async fn a_slot_that_an_open_transaction_holds_up_is_given_up_and_says_who_it_is() {
    if embedded_only() {
        return;
    }
    let server = Postgres::start(&[("max_prepared_transactions", "2")]).unwrap();
    let database = Database::on(&server.url()).await;
    let client = database.connect().await;
    let hasty = Settings { slot_patience: Duration::from_millis(300), ..settings(decode()) };
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    client.batch_execute("BEGIN; INSERT INTO price VALUES ('open', 1)").await.unwrap();
    let error = PostgresOutbox::open(&database.address(), hasty.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::BUSY, "{error}");
    assert!(error.to_string().contains(&format!("pid {pid} has been open since 20")), "{error}");
    client.batch_execute("PREPARE TRANSACTION 'forgotten'").await.unwrap();
    let error = PostgresOutbox::open(&database.address(), hasty.clone()).await.unwrap_err();
    assert!(error.to_string().contains("transaction 'forgotten' has been open since 20"), "{error}");
    client.batch_execute("COMMIT PREPARED 'forgotten'").await.unwrap();
    // Neither slot nor lease was left behind.
    let patient = Settings { slot_patience: Duration::from_secs(60), ..hasty };
    let outbox = PostgresOutbox::open(&database.address(), patient).await.unwrap();
    publish(&client, "price/1").await;
    assert_eq!(drain(&*outbox).await, named([("price/1", 1)]));
}

#[tokio::test]
async fn an_epoch_is_not_given_twice_after_a_crash() {
    if embedded_only() {
        return;
    }
    let mut server = Postgres::start(&[("wal_writer_delay", "10s")]).unwrap();
    let database = Database::on(&server.url()).await;
    drop(PostgresOutbox::open(&database.address(), settings(Discovery::Claim)).await.unwrap());
    server.kill().unwrap();
    server.restart().unwrap();
    let epoch = database.connect().await.query_one("SELECT epoch FROM tidings.relay", &[]).await.unwrap();
    assert_eq!(epoch.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_version_that_leaves_none_after_it_is_refused() {
    let Some(database) = Database::new().await else { return };
    let mut client = database.connect().await;
    for version in ["9223372036854775807", "4611686018427387905"] {
        let sql = format!("SELECT tidings.publish('a.B', 'price/1', version => {version})");
        let error = fault(client.query_one(&sql, &[]).await.unwrap_err());
        assert_eq!(error.code(), Code::ATTRIBUTE_INVALID, "{error}");
        assert!(error.to_string().contains("2^62"), "{error}");
    }
    let transaction = client.transaction().await.unwrap();
    let refused = record(&transaction, &draft("price/1", Some((1 << 62) + 1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::ATTRIBUTE_INVALID, "{refused}");
    transaction.rollback().await.unwrap();
    let sql = "SELECT tidings.publish('a.B', 'price/1', version => 4611686018427387904)";
    client.query_one(sql, &[]).await.unwrap();
    assert_eq!(publish(&client, "price/1").await, (1 << 62) + 1);
}

/// Rows grow from nothing to 512 KiB each, after many small ones have made the answers long.
#[tokio::test]
async fn an_answer_that_gets_too_large_is_cut_off_and_nothing_is_missed() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let client = database.connect().await;
        let sql = "SELECT count(tidings.publish('a.B', 'page/1', to_json(repeat('x', CASE WHEN n > 600 THEN 524288 ELSE 1 END))))
                   FROM generate_series(1, 640) AS n";
        client.query_one(sql, &[]).await.unwrap();
        let outbox = PostgresOutbox::open(&database.address(), settings(way)).await.unwrap();
        let found: Vec<_> = drain(&*outbox).await.into_iter().map(|(_, version)| version).collect();
        assert!(found.iter().copied().eq(1..=640), "{found:?}");
    }
}
