//! What is lost is found again: connections, slots, leaders.

use services::{Postgres, embedded_only};
use tidings_core::port::{Cursor, Outbox};
use tidings_core::{Code, Error, Timeline};
use tidings_postgres::{PostgresOutbox, Settings};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::Client;

use crate::support::{
    Database, commit, decode, draft, drain, event, follow, named, publish, settings, versions, ways,
};

/// Ends every other session of the database, as a broken network would.
async fn break_connections(client: &Client) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    client.query(sql, &[]).await.unwrap();
}

/// A step that fails because the connection is gone, until it works again.
async fn again<T>(mut step: impl AsyncFnMut() -> Result<T, Error>) -> T {
    loop {
        match step().await {
            Ok(done) => return done,
            Err(e) => {
                let passing = [Code::DATABASE_UNREACHABLE, Code::SLOT_IN_USE, Code::LEASE_TAKEN];
                assert!(passing.contains(&e.code()), "{e}");
            }
        }
    }
}

/// Leads the first connection to one port, and all later ones to the other.
async fn fork(ports: [u16; 2]) -> u16 {
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = front.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut ports = ports.into_iter().chain(std::iter::repeat(ports[1]));
        while let (Ok((mut near, _)), Some(port)) = (front.accept().await, ports.next()) {
            tokio::spawn(async move {
                let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    port
}

/// The primary changes between two connections: the places of the one mean nothing on the other.
#[tokio::test]
async fn a_stream_of_another_server_than_the_one_asked_is_not_read() {
    if embedded_only() {
        return;
    }
    let (one, other) = (Postgres::start(&[]).unwrap(), Postgres::start(&[]).unwrap());
    let database = Database::on(&one.url()).await;
    let twin = database.twin(&other.url()).await;
    drop(twin.open(decode()).await);
    let address = database.by(fork([one.port(), other.port()]).await);
    let opened = PostgresOutbox::open(&address, settings(decode())).await;
    let error = opened.err().unwrap();
    assert_eq!(error.code(), Code::DATABASE_UNREACHABLE, "{error}");
    assert!(error.to_string().contains("another server"), "{error}");
}

#[tokio::test]
async fn after_a_broken_connection_what_was_not_acknowledged_comes_again() {
    if embedded_only() {
        return;
    }
    // On a server of its own, see the conformance suite.
    let server = Postgres::start(&[]).unwrap();
    for way in ways() {
        let database = Database::on(&server.url()).await;
        let mut client = database.connect().await;
        let outbox = database.open(way.clone()).await;
        commit(&mut client, &[draft("price/1", None), draft("price/2", None)]).await;
        assert_eq!(drain(&*outbox).await, named([("price/1", 1), ("price/2", 1)]), "{way:?}");
        for _ in 0..3 {
            publish(&client, "price/1").await;
        }
        let mut from = outbox.acknowledged().await.unwrap();
        let read = follow(&*outbox, &mut from).await;
        assert_eq!(versions(&read), named([("price/1", 2), ("price/1", 3), ("price/1", 4)]));
        outbox.acknowledge(read[0].cursor).await.unwrap();
        break_connections(&client).await;
        publish(&client, "price/1").await;
        let scan = again(async || outbox.scan(from, 100).await).await;
        assert!(scan.rows.iter().all(|row| row.cursor > from), "numbers rise");
        let expected = named([("price/1", 3), ("price/1", 4), ("price/1", 5)]);
        assert_eq!(versions(&scan.rows), expected, "{way:?}");
        drop(outbox);
        let outbox = database.open(way).await;
        assert_eq!(drain(&*outbox).await, expected);
    }
}

#[tokio::test]
async fn a_lost_slot_is_replaced_and_nothing_is_missed() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    let outbox = database.open(decode()).await;
    publish(&client, "price/1").await;
    assert_eq!(drain(&*outbox).await.len(), 1);
    publish(&client, "price/1").await;
    drop(outbox);
    // Gone, with an event that only the table has; and another one before a relay is back.
    let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active";
    while client.query(sql, &[&database.slot()]).await.is_ok_and(|rows| rows.is_empty()) {}
    publish(&client, "price/1").await;
    let outbox = database.open(decode()).await;
    publish(&client, "price/1").await;
    let found = drain(&*outbox).await;
    assert!(found.ends_with(&named([("price/1", 2), ("price/1", 3), ("price/1", 4)])), "{found:?}");
}

#[tokio::test]
async fn a_slot_made_anew_behind_our_back_is_noticed() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    let outbox = database.open(decode()).await;
    publish(&client, "price/1").await;
    drain(&*outbox).await;
    drop(outbox);
    publish(&client, "price/1").await;
    let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active";
    while client.query(sql, &[&database.slot()]).await.is_ok_and(|rows| rows.is_empty()) {}
    client
        .query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&database.slot()])
        .await
        .unwrap();
    let outbox = database.open(decode()).await;
    let found = drain(&*outbox).await;
    assert!(found.contains(&("price/1".to_owned(), 2)), "the new slot does not have it: {found:?}");
}

#[tokio::test]
async fn one_relay_leads_and_the_next_one_takes_over() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let client = database.connect().await;
        let first = database.open(way.clone()).await;
        let hasty = Settings { patience: std::time::Duration::ZERO, ..settings(way.clone()) };
        let refused = PostgresOutbox::open(&database.address(), hasty.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::LEASE_TAKEN, "{refused}");
        publish(&client, "price/1").await;
        let mut from = first.acknowledged().await.unwrap();
        assert_eq!(follow(&*first, &mut from).await.len(), 1);
        // The first one loses its connection, and before it notices another one leads.
        break_connections(&client).await;
        let second = PostgresOutbox::open(&database.address(), settings(way.clone())).await.unwrap();
        drain(&*second).await;
        drop(second);
        let mut error = first.acknowledge(from).await.unwrap_err();
        while error.code() != Code::FENCED {
            assert!([Code::DATABASE_UNREACHABLE, Code::LEASE_TAKEN].contains(&error.code()), "{error}");
            error = first.scan(from, 10).await.unwrap_err();
        }
    }
}

#[tokio::test]
async fn changing_the_way_misses_nothing() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    for round in 0..2 {
        for way in ways() {
            publish(&client, "price/1").await;
            let outbox = database.open(way.clone()).await;
            let last = publish(&client, "price/1").await;
            let found: Vec<_> =
                drain(&*outbox).await.into_iter().map(|(_, version)| version as i64).collect();
            assert!(found.contains(&last) && found.contains(&(last - 1)), "{round} {way:?}: {found:?}");
        }
    }
}

#[tokio::test]
async fn after_a_move_to_another_cluster_everything_kept_is_published_again_on_a_new_timeline() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let client = database.connect().await;
        let outbox = database.open(way.clone()).await;
        publish(&client, "price/1").await;
        drain(&*outbox).await;
        drop(outbox);
        publish(&client, "price/1").await;
        // As after a dump was restored here: transaction ids are of another cluster.
        let moved =
            "UPDATE tidings.meta SET system = 1; UPDATE tidings.relay SET done = '99999999:99999999:'";
        client.batch_execute(moved).await.unwrap();
        let refused = PostgresOutbox::open(&database.address(), settings(way.clone())).await.unwrap_err();
        assert_eq!(refused.code(), Code::SOURCE_CHANGED, "{refused}");
        client.query_one("SELECT tidings.adopt()", &[]).await.unwrap();
        publish(&client, "price/1").await;
        let outbox = database.open(way).await;
        let mut from = outbox.acknowledged().await.unwrap();
        let rows = follow(&*outbox, &mut from).await;
        assert_eq!(versions(&rows), named([("price/1", 1), ("price/1", 2), ("price/1", 3)]));
        assert!(rows.iter().all(|row| event(row).stamp.timeline == Timeline(1)), "{rows:?}");
    }
}

/// The server is there and says nothing, while a relay connects. The clock of the timers goes on as fast as they want.
#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_while_connecting() {
    if embedded_only() {
        return;
    }
    let server = Postgres::start(&[]).unwrap();
    let database = Database::on(&server.url()).await;
    for way in ways() {
        let outbox = database.open(way.clone()).await;
        server.pause().unwrap();
        tokio::time::pause();
        for step in 0..2 {
            // More than has been read: what is there already needs no answer.
            let scan = outbox.scan(Cursor(0), 10);
            let scan = tokio::time::timeout(std::time::Duration::from_secs(3600), scan).await;
            let error = scan.unwrap_or_else(|_| panic!("{way:?}: step {step} waits for ever")).unwrap_err();
            assert_eq!(error.code(), Code::DATABASE_UNREACHABLE, "{way:?}: {error}");
        }
        tokio::time::resume();
        server.resume().unwrap();
        publish(&database.connect().await, "price/1").await;
        let found = again(async || outbox.scan(Cursor(0), 10).await).await;
        assert!(!found.rows.is_empty(), "{way:?}");
    }
}
