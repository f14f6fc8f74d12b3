//! What goes wrong in other outboxes: one test for each known pitfall, P1 to P12.

use std::time::Duration;

use services::{Postgres, embedded_only};
use tidings_core::Code;
use tidings_core::port::Outbox;
use tidings_postgres::{Discovery, PostgresOutbox, Settings, fault, record};
use tokio_postgres::Client;

use crate::support::{
    Database, commit, decode, draft, drain, event, follow, named, publish, settings, until_gone, versions,
    ways,
};

/// Waits until a session of this database waits for a lock.
async fn until_blocked(client: &Client) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
}

#[tokio::test]
async fn p1_a_row_with_a_lower_sequence_that_commits_later_is_not_missed() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let outbox = database.open(way.clone()).await;
        let (mut slow, fast) = (database.connect().await, database.connect().await);
        let mut from = outbox.acknowledged().await.unwrap();
        let transaction = slow.transaction().await.unwrap();
        record(&transaction, &draft("price/slow", None)).await.unwrap();
        publish(&fast, "price/fast").await;
        assert_eq!(versions(&follow(&*outbox, &mut from).await), named([("price/fast", 1)]), "{way:?}");
        outbox.acknowledge(from).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(versions(&follow(&*outbox, &mut from).await), named([("price/slow", 1)]), "{way:?}");
    }
}

#[tokio::test]
async fn p2_the_order_of_transaction_ids_is_not_the_order_of_an_entity() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let outbox = database.open(way.clone()).await;
        let (mut early, late) = (database.connect().await, database.connect().await);
        let transaction = early.transaction().await.unwrap();
        transaction.execute("INSERT INTO price VALUES ('takes its id', 1)", &[]).await.unwrap();
        publish(&late, "price/1").await;
        record(&transaction, &draft("price/1", None)).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(drain(&*outbox).await, named([("price/1", 1), ("price/1", 2)]), "{way:?}");
    }
}

#[tokio::test]
async fn p3_an_open_transaction_holds_up_nobody() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let outbox = database.open(way.clone()).await;
        let (mut open, other) = (database.connect().await, database.connect().await);
        let mut from = outbox.acknowledged().await.unwrap();
        let transaction = open.transaction().await.unwrap();
        transaction.execute("INSERT INTO price VALUES ('open', 1)", &[]).await.unwrap();
        for version in 1..4 {
            publish(&other, "price/1").await;
            // `follow` returns with a complete scan: marks go out as well.
            assert_eq!(
                versions(&follow(&*outbox, &mut from).await),
                named([("price/1", version)]),
                "{way:?}"
            );
        }
        transaction.commit().await.unwrap();
    }
}

#[tokio::test]
async fn p4_recording_takes_the_lock_before_the_sequence() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let outbox = database.open(way.clone()).await;
        let (mut first, second) = (database.connect().await, database.connect().await);
        let watcher = database.connect().await;
        let transaction = first.transaction().await.unwrap();
        record(&transaction, &draft("price/1", None)).await.unwrap();
        // Had the second one its place already, it would come before what the first one still records.
        let (version, ()) = tokio::join!(publish(&second, "price/1"), async {
            until_blocked(&watcher).await;
            record(&transaction, &draft("price/1", None)).await.unwrap();
            transaction.commit().await.unwrap();
        });
        assert_eq!(version, 3);
        let expected = named([("price/1", 1), ("price/1", 2), ("price/1", 3)]);
        assert_eq!(drain(&*outbox).await, expected, "{way:?}");
    }
}

#[tokio::test]
async fn p5_a_second_relay_cannot_overtake_the_first() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let client = database.connect().await;
        let outbox = database.open(way.clone()).await;
        publish(&client, "price/1").await;
        let mut from = outbox.acknowledged().await.unwrap();
        assert_eq!(follow(&*outbox, &mut from).await.len(), 1);
        publish(&client, "price/1").await;
        for other in ways() {
            let hasty = Settings { patience: Duration::ZERO, ..settings(other) };
            let refused = PostgresOutbox::open(&database.address(), hasty).await.unwrap_err();
            assert_eq!(refused.code(), Code::LEASE_TAKEN, "{refused}");
        }
    }
}

/// Sessions know the setting before the process does that makes commits wait.
async fn until_commits_wait(database: &Database, admin: &Client) {
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')";
    for number in 0.. {
        let probe = database.connect().await;
        let table = format!("CREATE TABLE probe_{number} ()");
        let probing = tokio::spawn(async move { probe.batch_execute(&table).await });
        while !probing.is_finished() {
            if admin.query_one(waits, &[]).await.unwrap().get(0) {
                return;
            }
        }
    }
}

#[tokio::test]
async fn p6_an_event_can_come_before_its_row_can_be_read_and_says_which_version_to_wait_for() {
    if embedded_only() {
        return;
    }
    let server = Postgres::start(&[]).unwrap();
    let database = Database::on(&server.url()).await;
    let (admin, mut writer) = (database.connect().await, database.connect().await);
    let outbox = database.open(decode()).await;
    commit(&mut writer, &[draft("price/1", None)]).await;
    drain(&*outbox).await;
    // A standby that never answers: the commit is in the log, and stays invisible.
    admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let show = "SHOW synchronous_standby_names";
    while writer.query_one(show, &[]).await.unwrap().get::<_, &str>(0) != "nobody" {}
    until_commits_wait(&database, &admin).await;
    let writing = tokio::spawn(async move { commit(&mut writer, &[draft("price/1", None)]).await });
    let mut from = outbox.acknowledged().await.unwrap();
    let mut rows = Vec::new();
    while rows.is_empty() {
        rows = follow(&*outbox, &mut from).await;
    }
    let told = event(&rows[0]).stamp.version.number();
    let sql = "SELECT version FROM tidings.entity WHERE entity = 'price/1'";
    let readable = admin.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!((told, readable), (2, 1), "told of before it can be read");
    assert!(!writing.is_finished());
    admin.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    writing.await.unwrap();
    assert_eq!(admin.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 2);
}

#[tokio::test]
async fn p7_a_commit_that_could_un_happen_is_made_durable() {
    let Some(database) = Database::new().await else { return };
    let mut client = database.connect().await;
    client.batch_execute("SET synchronous_commit = off").await.unwrap();
    let show = "SHOW synchronous_commit";
    let transaction = client.transaction().await.unwrap();
    record(&transaction, &draft("price/1", None)).await.unwrap();
    assert_eq!(transaction.query_one(show, &[]).await.unwrap().get::<_, &str>(0), "on");
    transaction.commit().await.unwrap();
    assert_eq!(
        client.query_one(show, &[]).await.unwrap().get::<_, &str>(0),
        "off",
        "only for that transaction"
    );
}

/// Whoever turns it off again after recording has an event that is visible before it is durable: late, never lost.
#[tokio::test]
async fn p7_an_event_that_is_visible_before_it_is_durable_is_not_taken_for_seen() {
    if embedded_only() {
        return;
    }
    let server = Postgres::start(&[("wal_writer_delay", "10s")]).unwrap();
    let database = Database::on(&server.url()).await;
    let (client, mut writer) = (database.connect().await, database.connect().await);
    let eager = Settings { confirm_every: Duration::ZERO, ..settings(decode()) };
    let outbox = database.open_with(eager).await;
    drain(&*outbox).await;
    // What is durable ends with a commit that is not in the outbox, so that there is some progress to be saved.
    publish(&client, "price/1").await;
    client.batch_execute("INSERT INTO price VALUES ('durable', 1)").await.unwrap();
    let transaction = writer.transaction().await.unwrap();
    record(&transaction, &draft("price/late", None)).await.unwrap();
    transaction.batch_execute("SET LOCAL synchronous_commit = off").await.unwrap();
    transaction.commit().await.unwrap();
    let mut found = Vec::new();
    for _ in 0..5 {
        found.extend(drain(&*outbox).await);
    }
    publish(&client, "price/2").await;
    while !found.contains(&("price/2".to_owned(), 1)) {
        found.extend(drain(&*outbox).await);
    }
    assert!(found.contains(&("price/late".to_owned(), 1)), "{found:?}");
}

/// The same where the table is asked: there it must not be published before it is durable.
#[tokio::test]
async fn p7_what_is_claimed_cannot_un_happen() {
    if embedded_only() {
        return;
    }
    let mut server = Postgres::start(&[("wal_writer_delay", "10s")]).unwrap();
    let database = Database::on(&server.url()).await;
    let mut writer = database.connect().await;
    let outbox = database.open(Discovery::Claim).await;
    let transaction = writer.transaction().await.unwrap();
    record(&transaction, &draft("price/1", None)).await.unwrap();
    transaction.batch_execute("SET LOCAL synchronous_commit = off").await.unwrap();
    transaction.commit().await.unwrap();
    let mut from = outbox.acknowledged().await.unwrap();
    assert_eq!(versions(&follow(&*outbox, &mut from).await), named([("price/1", 1)]));
    server.kill().unwrap();
    server.restart().unwrap();
    let rows = database.connect().await.query_one("SELECT count(*) FROM tidings.outbox", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 1, "it was told of, and never happened");
}

#[tokio::test]
async fn p8_publishing_leaves_no_dead_rows_and_old_partitions_go_whole() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let client = database.connect().await;
        let eager = Settings { confirm_every: Duration::ZERO, ..settings(way.clone()) };
        let outbox = database.open_with(eager).await;
        for _ in 0..20 {
            publish(&client, "price/1").await;
        }
        assert_eq!(drain(&*outbox).await.len(), 20);
        // Where they were written, in the order in which they were: none was changed, and none is gone.
        let untouched = "SELECT count(*) FILTER (WHERE xmax = 0 AND ctid = format('(0,%s)', nr)::tid)
            FROM (SELECT xmax, ctid, row_number() OVER (ORDER BY seq) AS nr FROM tidings.outbox) AS rows";
        assert_eq!(client.query_one(untouched, &[]).await.unwrap().get::<_, i64>(0), 20, "{way:?}");
        // A keep of less than nothing: today is old. The partition goes once the snapshot has passed its rows.
        let maintain = "SELECT tidings.maintain('-2 days', 0)";
        let left = "SELECT count(*) FROM tidings.outbox";
        for round in 0.. {
            drain(&*outbox).await;
            client.query_one(maintain, &[]).await.unwrap();
            if client.query_one(left, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                break;
            }
            assert!(round < 1000, "{way:?}: the rows stay");
        }
        assert_eq!(publish(&client, "price/1").await, 21, "versions outlive their rows");
    }
}

#[tokio::test]
async fn p9_what_no_log_would_take_is_refused_before_it_is_committed() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    let sql = "SELECT tidings.publish('a.B', 'price/1', to_json(repeat('x', 1100000)))";
    assert_eq!(fault(client.query_one(sql, &[]).await.unwrap_err()).code(), Code::OVERSIZED);
    let sql = "SELECT tidings.publish('a.B', 'price/1', body => convert_to(repeat('x', 800000), 'UTF8'), contenttype => 'a/b')";
    assert_eq!(fault(client.query_one(sql, &[]).await.unwrap_err()).code(), Code::OVERSIZED);
    let rows = client.query_one("SELECT count(*) FROM tidings.outbox", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn p10_a_row_is_not_removed_for_its_age_before_it_was_published() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let (mut writer, client) = (database.connect().await, database.connect().await);
        let eager = Settings { confirm_every: Duration::ZERO, ..settings(way.clone()) };
        let outbox = database.open_with(eager).await;
        let old = "SELECT tidings.maintain('-2 days', 0)";
        let transaction = writer.transaction().await.unwrap();
        record(&transaction, &draft("price/1", None)).await.unwrap();
        client.query_one(old, &[]).await.unwrap();
        transaction.commit().await.unwrap();
        client.query_one(old, &[]).await.unwrap();
        let mut from = outbox.acknowledged().await.unwrap();
        assert_eq!(versions(&follow(&*outbox, &mut from).await), named([("price/1", 1)]));
        client.query_one(old, &[]).await.unwrap();
        let rows = client.query_one("SELECT count(*) FROM tidings.outbox", &[]).await.unwrap();
        assert_eq!(rows.get::<_, i64>(0), 1, "{way:?}: read, but not acknowledged");
    }
}

#[tokio::test]
async fn p11_a_transaction_acknowledged_in_part_is_not_resumed_behind_its_rest() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let mut client = database.connect().await;
        let outbox = database.open(way.clone()).await;
        let all = [draft("price/1", None), draft("price/2", None), draft("price/3", None)];
        commit(&mut client, &all).await;
        let mut from = outbox.acknowledged().await.unwrap();
        let rows = follow(&*outbox, &mut from).await;
        outbox.acknowledge(rows[1].cursor).await.unwrap();
        drop(outbox);
        let outbox = database.open(way.clone()).await;
        let found = drain(&*outbox).await;
        assert_eq!(found.last(), Some(&("price/3".to_owned(), 1)), "{way:?}");
    }
}

/// What the server counts of a relay's own session, on a table whose statistics say that it is empty.
#[tokio::test]
async fn p12_plans_do_not_depend_on_statistics() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let client = database.connect().await;
        let table = "tidings.outbox_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')";
        let still = format!(
            "DO $$ BEGIN EXECUTE 'ALTER TABLE {table} || ' SET (autovacuum_enabled = off)';
                EXECUTE 'ANALYZE {table}; END $$"
        );
        client.batch_execute(&still).await.unwrap();
        let sql = "SELECT count(tidings.publish('a.B', 'price/' || n)) FROM generate_series(1, 3000) AS n";
        client.query_one(sql, &[]).await.unwrap();
        let scans = "SELECT sum(seq_scan)::bigint, sum(idx_scan)::bigint FROM pg_stat_user_tables
            WHERE schemaname = 'tidings' AND relname LIKE 'outbox%'";
        // Making partitions scans them.
        until_gone(&client, "test").await;
        let before = client.query_one(scans, &[]).await.unwrap();
        let outbox = database.open_unread(way.clone()).await;
        assert_eq!(drain(&*outbox).await.len(), 3000);
        publish(&client, "price/1").await;
        assert_eq!(drain(&*outbox).await.len(), 1);
        drop(outbox);
        until_gone(&client, "tidings relay%").await;
        let after = client.query_one(scans, &[]).await.unwrap();
        let [by_sequence, by_index] = [0, 1].map(|at| after.get::<_, i64>(at) - before.get::<_, i64>(at));
        assert_eq!(by_sequence, 0, "{way:?}");
        assert!(by_index > 0, "{way:?}: nothing was counted");
    }
}
