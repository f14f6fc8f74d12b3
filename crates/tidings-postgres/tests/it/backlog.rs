//! Much that is unread: each look costs what it brings, and nothing is lost or out of order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use services::{Postgres, embedded_only};
use tidings_core::port::{Outbox, Pending};
use tidings_postgres::{Discovery, Settings, record};
use tokio_postgres::Client;

use crate::support::{
    DEADLINE, Database, decode, draft, drain, event, follow, publish, settings, until_gone,
};

/// Rows as `tidings.record` writes them, many at once: three for each entity, one after the other.
async fn write(client: &Client, first: i64, count: i64) {
    for from in (first..first + count).step_by(30_000) {
        let sql = format!(
            "INSERT INTO tidings.outbox SELECT nextval('tidings.outbox_seq'), gen_random_uuid(), pg_current_xact_id(),
                 'item', (n / 3)::text, 'a.B', 0, n % 3 + 1, clock_timestamp()
             FROM generate_series({from}, {}) AS n",
            (from + 30_000).min(first + count) - 1
        );
        client.batch_execute(&sql).await.unwrap();
    }
}

/// Who watches: on a session of its own, so that what it looks at is not counted later.
const WATCHER: &str = "watcher";

/// How many rows of the outbox were looked at, once no relay is connected any more: its session tells at its end.
async fn looked_at(client: &Client) -> i64 {
    until_gone(client, "tidings relay%").await;
    until_gone(client, WATCHER).await;
    let sql = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables
        WHERE schemaname = 'tidings' AND relname LIKE 'outbox%'";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn lose_slot(client: &Client, slot: &str) {
    let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active";
    let from = Instant::now();
    while client.query(sql, &[&slot]).await.is_ok_and(|rows| rows.is_empty()) {
        assert!(from.elapsed() < DEADLINE, "there is no slot {slot}");
    }
}

const BACKLOG: i64 = 150_000;

#[tokio::test]
async fn a_backlog_after_a_lost_slot_costs_what_it_brings() {
    read_backlog(false).await;
}

/// Statistics from before the backlog, of few transactions with many rows each: by those, rows of one are in any place.
#[tokio::test]
async fn a_backlog_costs_what_it_brings_whatever_the_statistics_say() {
    read_backlog(true).await;
}

/// Behind 60,300 rows that are acknowledged and kept, and with one that was written among them and committed after all.
async fn read_backlog(has_statistics: bool) {
    let Some(database) = Database::new().await else { return };
    let (client, mut slow) = (database.connect().await, database.connect().await);
    // Most of it from the table: that takes less time than the stream.
    let outbox = database.open(Discovery::Claim).await;
    write(&client, 0, 60_000).await;
    if has_statistics {
        client.batch_execute("ANALYZE tidings.outbox").await.unwrap();
    }
    assert_eq!(drain(&*outbox).await.len(), 60_000);
    drop(outbox);
    let eager = Settings { confirm_every: Duration::ZERO, ..settings(decode()) };
    let outbox = database.open_with(eager).await;
    let transaction = slow.transaction().await.unwrap();
    record(&transaction, &draft("price/slow", None)).await.unwrap();
    write(&client, 60_000, 300).await;
    let from = Instant::now();
    let sees =
        "SELECT NOT EXISTS (SELECT FROM tidings.outbox o WHERE NOT pg_visible_in_snapshot(o.xid, r.done))
        FROM tidings.relay r";
    let watcher = database.address().connect(WATCHER, "").await.unwrap();
    while !watcher.query_one(sees, &[]).await.unwrap().get::<_, bool>(0) {
        drain(&*outbox).await;
        assert!(from.elapsed() < DEADLINE);
    }
    drop((watcher, outbox));
    lose_slot(&client, &database.slot()).await;
    write(&client, 60_300, BACKLOG).await;
    transaction.commit().await.unwrap();
    let before = looked_at(&client).await;

    let outbox = database.open_unread(decode()).await;
    let begin = outbox.acknowledged().await.unwrap();
    let first = outbox.scan(begin, 1000).await.unwrap().rows;
    assert_eq!((first.len(), event(&first[0]).entity.as_str()), (1000, "price/slow"));
    outbox.acknowledge(first[999].cursor).await.unwrap();
    drop(outbox);
    let cost = looked_at(&client).await - before;
    assert!(cost < 5000, "1,000 of {BACKLOG} cost {cost}");

    let outbox = database.open_unread(decode()).await;
    let mut from = outbox.acknowledged().await.unwrap();
    let rest = follow(&*outbox, &mut from).await;
    outbox.acknowledge(from).await.unwrap();
    drop(outbox);
    let cost = looked_at(&client).await - before;
    assert!(cost < BACKLOG + 10_000, "{BACKLOG} cost {cost}");
    check(first[1..].iter().chain(&rest));
}

/// Each event once, and each entity's in their order.
fn check<'a>(rows: impl Iterator<Item = &'a Pending>) {
    let (mut last, mut count) = (BTreeMap::new(), 0);
    for row in rows {
        let event = event(row);
        let before = last.insert(event.entity.to_string(), event.stamp.version.number());
        assert_eq!(event.stamp.version.number(), before.unwrap_or_default() + 1, "{}", event.entity);
        count += 1;
    }
    assert_eq!(count, BACKLOG);
}

/// A snapshot lists who runs, but none with an id after the last one that has ended. Such a one can have a lower place.
#[tokio::test]
async fn the_newest_of_all_that_run_is_not_skipped_for_its_low_place() {
    if embedded_only() {
        return;
    }
    // On a server of its own: what ends elsewhere on a shared one is the last one, too.
    let server = Postgres::start(&[]).unwrap();
    let database = Database::on(&server.url()).await;
    let (mut old, mut newest) = (database.connect().await, database.connect().await);
    for restarts in [false, true] {
        let mut outbox = database.open(Discovery::Claim).await;
        drain(&*outbox).await;
        let (first, second) = (old.transaction().await.unwrap(), newest.transaction().await.unwrap());
        first.batch_execute("SELECT pg_current_xact_id()").await.unwrap();
        record(&second, &draft("price/newest", None)).await.unwrap();
        record(&first, &draft("price/old", None)).await.unwrap();
        first.commit().await.unwrap();
        assert_eq!(drain(&*outbox).await.len(), 1);
        if restarts {
            drop(outbox);
            outbox = database.open(Discovery::Claim).await;
        }
        second.commit().await.unwrap();
        let found = drain(&*outbox).await;
        assert_eq!((found.len(), found[0].0.as_str()), (1, "price/newest"), "{restarts}");
    }
}

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const ENTITIES: u64 = 5;

async fn record_at_random(mut client: Client, mut dice: Dice) {
    for _ in 0..60 {
        let mut transaction = client.transaction().await.unwrap();
        if dice.roll(2) == 0 {
            // Its id is taken long before it records.
            transaction.batch_execute("SELECT pg_current_xact_id()").await.unwrap();
        }
        // In one order, so that none waits for another in a circle.
        for entity in 0..ENTITIES {
            let draft = draft(&format!("price/{entity}"), None);
            match dice.roll(4) {
                0 => drop(record(&transaction, &draft).await.unwrap()),
                1 => {
                    let inner = transaction.savepoint("part").await.unwrap();
                    record(&inner, &draft).await.unwrap();
                    if dice.roll(2) == 0 { inner.commit().await } else { inner.rollback().await }.unwrap();
                }
                _ => tokio::task::yield_now().await,
            }
        }
        if dice.roll(5) == 0 { transaction.rollback().await } else { transaction.commit().await }.unwrap();
    }
}

/// While several write at once, in transactions that overlap, a relay reads a little, acknowledges some of it, and begins
/// anew now and then.
#[tokio::test]
async fn whatever_overlaps_nothing_is_skipped_and_nothing_overtaken() {
    let Some(database) = Database::new().await else { return };
    let mut writers = tokio::task::JoinSet::new();
    for seed in 1..5 {
        writers.spawn(record_at_random(database.connect().await, Dice(seed)));
    }
    let (client, mut dice) = (database.connect().await, Dice(99));
    let mut last = BTreeMap::<String, u64>::new();
    let (mut outbox, mut written) = (database.open_unread(Discovery::Claim).await, false);
    let mut from = outbox.acknowledged().await.unwrap();
    loop {
        if dice.roll(20) == 0 {
            drop(outbox);
            outbox = database.open_unread(Discovery::Claim).await;
            from = outbox.acknowledged().await.unwrap();
        }
        let limit = 1 + usize::try_from(dice.roll(9)).unwrap();
        let scan = outbox.scan(from, limit).await.unwrap();
        for row in &scan.rows {
            let event = event(row);
            let (version, seen) =
                (event.stamp.version.number(), last.entry(event.entity.to_string()).or_default());
            assert!(version <= *seen + 1, "{}: {version} after {seen}", event.entity);
            *seen = version.max(*seen);
            from = row.cursor;
        }
        if dice.roll(3) == 0 {
            outbox.acknowledge(from).await.unwrap();
        }
        if scan.complete && written {
            break;
        }
        while let Some(done) = writers.try_join_next() {
            done.unwrap();
        }
        // Only a scan that began after all had been written is the last one.
        written = writers.is_empty();
    }
    for row in client.query("SELECT entity, version FROM tidings.entity", &[]).await.unwrap() {
        let (entity, version): (String, i64) = (row.get(0), row.get(1));
        assert_eq!(last.get(&entity).copied().unwrap_or_default(), version.cast_unsigned(), "{entity}");
    }
}

#[tokio::test]
async fn a_sequence_that_was_set_back_hides_nothing() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    let outbox = database.open(Discovery::Claim).await;
    for count in [9, 3] {
        for _ in 0..count {
            publish(&client, "price/1").await;
        }
        assert_eq!(drain(&*outbox).await.len(), count);
        client.batch_execute("ALTER SEQUENCE tidings.outbox_seq RESTART").await.unwrap();
    }
}

/// A relay that never catches up: there are always more rows than it hands on at once.
#[tokio::test]
async fn what_is_done_gets_on_while_there_is_always_more() {
    let Some(database) = Database::new().await else { return };
    let client = database.connect().await;
    let outbox = database.open(decode()).await;
    let mut from = outbox.acknowledged().await.unwrap();
    let many = "SELECT count(tidings.publish('a.B', 'price/' || n)) FROM generate_series(1000, 1399) AS n";
    client.query_one(many, &[]).await.unwrap();
    let began = Instant::now();
    let mut rows = Vec::new();
    while rows.len() < 400 {
        rows = outbox.scan(from, 1000).await.unwrap().rows;
        assert!(began.elapsed() < DEADLINE);
    }
    publish(&client, "price/2").await;
    let sees = "SELECT pg_visible_in_snapshot((SELECT xid FROM tidings.outbox WHERE aggregateid = '2'), done) FROM tidings.relay";
    while !client.query_one(sees, &[]).await.unwrap().get::<_, bool>(0) {
        publish(&client, "price/1").await;
        rows = outbox.scan(from, 1000).await.unwrap().rows;
        assert!(rows.len() >= 256, "it has caught up");
        // As many as have come, so that there are always more.
        if let Some(last) = rows.len().checked_sub(301) {
            from = rows[last].cursor;
            outbox.acknowledge(from).await.unwrap();
        }
        assert!(began.elapsed() < DEADLINE, "what is done stays where it is");
    }
}
