//! Much at once, in little memory.

use tidings_core::port::{Cursor, Outbox};
use tidings_postgres::Settings;

use crate::support::{Database, settings, ways};

/// 3,000 rows of 8 KiB in one transaction, in a window of 256 KiB.
#[tokio::test]
async fn a_transaction_larger_than_the_window_passes_through_in_order() {
    for way in ways() {
        let Some(database) = Database::new().await else { return };
        let client = database.connect().await;
        let small = Settings { window_bytes: 256 << 10, ..settings(way.clone()) };
        let outbox = database.open_with(small).await;
        let sql = "SELECT count(tidings.publish('a.B', 'page/' || n % 7, to_json(repeat('x', 8192))))
                   FROM generate_series(1, 3000) AS n";
        client.query_one(sql, &[]).await.unwrap();
        let (mut from, mut found) = (Cursor(0), vec![0; 7]);
        loop {
            let scan = outbox.scan(from, 1000).await.unwrap();
            for row in &scan.rows {
                let event = row.event.as_ref().unwrap();
                let page: usize = event.entity.id().parse().unwrap();
                found[page] += 1;
                assert_eq!(event.stamp.version.number(), found[page], "{way:?}");
            }
            let bytes: usize = scan.rows.iter().map(|row| row.event.as_ref().unwrap().data.len()).sum();
            assert!(bytes < 4 << 20, "{bytes} bytes in one scan");
            from = scan.rows.last().map_or(from, |row| row.cursor);
            if scan.complete {
                break;
            }
        }
        assert_eq!(found.iter().sum::<u64>(), 3000);
        outbox.acknowledge(from).await.unwrap();
        // What was let go can still be had again, under new numbers, as long as it was not acknowledged.
        assert!(outbox.scan(from, 10).await.unwrap().rows.is_empty());
    }
}
