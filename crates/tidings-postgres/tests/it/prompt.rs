//! How soon rows are handed on.

use std::time::{Duration, Instant};

use tidings_core::port::{Cursor, Outbox, Scan};
use tidings_postgres::Discovery;
use tidings_testkit::until;
use tokio_postgres::Client;

use crate::support::{DEADLINE, Database, follow};

/// The rows of a whole transaction, before it is asked whether they are all; and the next scan asks.
#[tokio::test]
async fn what_was_waited_for_is_handed_on_at_once_and_is_not_taken_for_all() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    let outbox = database.open(Discovery::Decode { slot: None }).await;
    let mut from = outbox.acknowledged().await.unwrap();
    follow(&*outbox, &mut from).await;
    // While a transaction of the server, which other tests share, is older than the slot, the table is read.
    let begun = Instant::now();
    while commit_and_wait(&client, &*outbox, &mut from, 1).await.complete {
        assert!(begun.elapsed() < DEADLINE, "the stream never took over");
    }
    for rows in [1, 40, 200] {
        follow(&*outbox, &mut from).await;
        let waited = commit_and_wait(&client, &*outbox, &mut from, rows).await;
        assert_eq!((waited.rows.len(), waited.complete), (rows, false));
        until("it is known that those were all", async || {
            let rest = outbox.scan(from, 1000).await.unwrap();
            assert!(rest.rows.is_empty(), "{rest:?}");
            rest.complete.then_some(())
        })
        .await;
    }
}

async fn commit_and_wait(client: &Client, outbox: &dyn Outbox, from: &mut Cursor, rows: usize) -> Scan {
    let sql =
        format!("SELECT count(tidings.publish('a.B', 'page/' || n)) FROM generate_series(1, {rows}) AS n");
    client.query_one(&sql, &[]).await.unwrap();
    outbox.wait(*from, Duration::from_secs(3600)).await.unwrap();
    let waited = outbox.scan(*from, 1000).await.unwrap();
    *from = waited.rows.last().map_or(*from, |row| row.cursor);
    waited
}
