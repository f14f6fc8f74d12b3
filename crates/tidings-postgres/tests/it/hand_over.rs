//! From the table to the stream of a new slot: nothing is lost there, and nothing overtaken.

use std::time::{Duration, Instant};

use services::{PostgresPair, embedded_only};
use tidings_core::port::{Cursor, Outbox};
use tidings_postgres::PostgresOutbox;
use tokio_postgres::Client;

use crate::support::{DEADLINE, Database, decode, follow, named, publish, settings, versions};

async fn until(client: &Client, sql: &str) {
    let from = Instant::now();
    while !client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(from.elapsed() < DEADLINE, "{sql}");
    }
}

/// Begins a transaction with an id, and waits until the making of a slot waits for it once the one before has ended.
async fn hold(client: &Client) -> String {
    let sql = "BEGIN; INSERT INTO price VALUES (pg_backend_pid()::text, 1)";
    client.batch_execute(sql).await.unwrap();
    let id = client.query_one("SELECT pg_current_xact_id()::xid::text", &[]).await.unwrap();
    format!(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted
             AND transactionid = '{}'::xid)",
        id.get::<_, String>(0)
    )
}

/// It is committed before the slot can stream, and becomes visible after the table was read: its standby is slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_waits_for_its_standby_while_a_slot_is_made_is_neither_lost_nor_overtaken() {
    if embedded_only() {
        return;
    }
    let pair = PostgresPair::start(&[]).unwrap();
    // The last of all transactions is not in the list of a snapshot; one before the last is.
    for is_last in [true, false] {
        let database = Database::on(&pair.primary.url()).await;
        let (one, two, watcher) =
            (database.connect().await, database.connect().await, database.connect().await);
        let (late, next) = (database.connect().await, database.connect().await);
        watcher.batch_execute("SET synchronous_commit = local").await.unwrap();
        let waits_for_one = hold(&one).await;
        let address = database.address();
        let opening = tokio::spawn(async move { PostgresOutbox::open(&address, settings(decode())).await });
        until(&watcher, &waits_for_one).await;
        // What runs at the next step of making the slot is waited for as well; what begins after that is not.
        let waits_for_two = hold(&two).await;
        one.batch_execute("ROLLBACK").await.unwrap();
        until(&watcher, &waits_for_two).await;
        pair.standby.pause().unwrap();
        let writing = tokio::spawn(async move { publish(&late, "price/1").await });
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event = 'SyncRep')";
        until(&watcher, waits).await;
        if !is_last {
            watcher.batch_execute("INSERT INTO price VALUES ('later', 1)").await.unwrap();
        }
        two.batch_execute("ROLLBACK").await.unwrap();
        let outbox = opening.await.unwrap().unwrap();
        let mut from = Cursor(0);
        assert!(follow(&*outbox, &mut from).await.is_empty(), "not visible yet");
        let waited = Instant::now();
        outbox.wait(from, Duration::from_millis(50)).await.unwrap();
        assert!(waited.elapsed() >= Duration::from_millis(50), "it spins");
        outbox.acknowledge(from).await.unwrap();
        pair.standby.resume().unwrap();
        writing.await.unwrap();
        assert_eq!(publish(&next, "price/1").await, 2);
        let found = versions(&follow(&*outbox, &mut from).await);
        assert_eq!(found, named([("price/1", 1), ("price/1", 2)]), "{is_last}");
        // From here on the stream leads.
        assert_eq!(publish(&next, "price/1").await, 3);
        assert_eq!(versions(&follow(&*outbox, &mut from).await), named([("price/1", 3)]));
        outbox.acknowledge(from).await.unwrap();
        let sql = "SELECT lsn IS NOT NULL FROM tidings.relay";
        assert!(watcher.query_one(sql, &[]).await.unwrap().get::<_, bool>(0), "{is_last}");
    }
}
