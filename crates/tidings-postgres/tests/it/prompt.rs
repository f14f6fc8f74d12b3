//! How soon rows are handed on.

use std::time::Duration;

use tidings_core::port::Outbox;
use tidings_postgres::Discovery;
use tidings_testkit::until;

use crate::support::{Database, follow};

/// The rows of a whole transaction, before it is asked whether they are all; and the next scan asks.
#[tokio::test]
async fn what_was_waited_for_is_handed_on_at_once_and_is_not_taken_for_all() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    let outbox = database.open(Discovery::Decode { slot: None }).await;
    let mut from = outbox.acknowledged().await.unwrap();
    follow(&*outbox, &mut from).await;
    for rows in [1, 40, 200] {
        let sql = format!(
            "SELECT count(tidings.publish('a.B', 'page/' || n)) FROM generate_series(1, {rows}) AS n"
        );
        client.query_one(&sql, &[]).await.unwrap();
        outbox.wait(from, Duration::from_secs(3600)).await.unwrap();
        let waited = outbox.scan(from, 1000).await.unwrap();
        assert_eq!((waited.rows.len(), waited.complete), (rows, false));
        from = waited.rows.last().map_or(from, |row| row.cursor);
        until("it is known that those were all", async || {
            let rest = outbox.scan(from, 1000).await.unwrap();
            assert!(rest.rows.is_empty(), "{rest:?}");
            rest.complete.then_some(())
        })
        .await;
    }
}
