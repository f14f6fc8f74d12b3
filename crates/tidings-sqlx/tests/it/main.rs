//! Recording inside an sqlx transaction, read back by the relay's side on rusqlite: both libraries in one process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tempfile::TempDir;
use tidings_core::port::{Cursor, Outbox};
use tidings_core::{Code, Data, Draft, Entity, Stamp, Time, Version, Window};
use tidings_sqlite::SqliteOutbox;

struct Home {
    dir: TempDir,
    pool: SqlitePool,
}

impl Home {
    async fn new(synchronous: SqliteSynchronous) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("pricing.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous);
        let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
        tidings_sqlite::outbox::install(&rusqlite_connection(&path)).unwrap();
        sqlx::query("CREATE TABLE price (sku TEXT PRIMARY KEY, cents INTEGER)").execute(&pool).await.unwrap();
        Self { dir, pool }
    }

    async fn events(&self) -> Vec<tidings_core::Event> {
        let outbox = SqliteOutbox::open(self.dir.path().join("pricing.db"), "/pricing").unwrap();
        let scan = outbox.scan(Cursor(0), 1000).await.unwrap();
        assert!(scan.complete);
        scan.rows.into_iter().map(|row| row.event.unwrap().as_ref().clone()).collect()
    }
}

fn rusqlite_connection(path: &std::path::Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

fn draft(version: Option<u64>) -> Draft {
    Draft {
        kind: "pricing.BasePriceChanged".into(),
        entity: Entity::new("price", "SKU-1").unwrap(),
        version: version.map(|v| Version::new(v).unwrap()),
        window: Window { from: Some(Time::from_micros(10)), until: Some(Time::from_micros(20)) },
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        data: Data::Json("{\"cents\":1999}".into()),
    }
}

#[tokio::test]
async fn s25_state_and_event_commit_or_roll_back_together() {
    let home = Home::new(SqliteSynchronous::Full).await;
    for (commit, cents) in [(false, 1), (true, 2)] {
        let mut tx = home.pool.begin().await.unwrap();
        sqlx::query("INSERT OR REPLACE INTO price VALUES ('SKU-1', ?1)")
            .bind(cents)
            .execute(&mut *tx)
            .await
            .unwrap();
        let recorded = tidings_sqlx::record(&mut tx, &draft(None)).await.unwrap();
        assert_eq!(recorded.stamp, Stamp::of(Version::new(1).unwrap()));
        if commit { tx.commit().await.unwrap() } else { tx.rollback().await.unwrap() }
    }
    let cents: i64 = sqlx::query_scalar("SELECT cents FROM price").fetch_one(&home.pool).await.unwrap();
    assert_eq!(cents, 2);
    let events = home.events().await;
    let [event] = &events[..] else { panic!("{events:?}") };
    let written = draft(None);
    assert_eq!((&event.entity, &event.kind, &event.data), (&written.entity, &written.kind, &written.data));
    assert_eq!((event.window, &event.traceparent), (written.window, &written.traceparent));
    assert_eq!(event.source.as_ref(), "/pricing");
}

#[tokio::test]
async fn every_kind_of_data_comes_back() {
    let home = Home::new(SqliteSynchronous::Full).await;
    let bytes = Data::Bytes { content_type: "image/png".into(), bytes: vec![0, 255, 7].into() };
    let kinds = [Data::Empty, Data::Json("[1]".into()), bytes];
    let mut tx = home.pool.begin().await.unwrap();
    for data in kinds.clone() {
        tidings_sqlx::record(&mut tx, &Draft { data, ..draft(None) }).await.unwrap();
    }
    tx.commit().await.unwrap();
    let read: Vec<_> = home.events().await.into_iter().map(|event| event.data).collect();
    assert_eq!(read, kinds);
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_and_the_transaction_lives_on() {
    let home = Home::new(SqliteSynchronous::Full).await;
    let mut tx = home.pool.begin().await.unwrap();
    tidings_sqlx::record(&mut tx, &draft(Some(7))).await.unwrap();
    for (bad, code) in [
        (draft(Some(7)), Code::VERSION_REGRESSED),
        (draft(Some(3)), Code::VERSION_REGRESSED),
        (draft(Some(0)), Code::VERSION_REGRESSED),
        (Draft { kind: "a\nb".into(), ..draft(None) }, Code::NAME_INVALID),
        (Draft { data: Data::Json("{".into()), ..draft(None) }, Code::LINE_TRUNCATED),
    ] {
        let error = tidings_sqlx::record(&mut tx, &bad).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains("price/SKU-1"), "{error}");
    }
    let recorded = tidings_sqlx::record(&mut tx, &draft(None)).await.unwrap();
    assert_eq!(recorded.stamp.version.number(), 8);
    tx.commit().await.unwrap();
    assert_eq!(home.events().await.len(), 2);
}

#[tokio::test]
async fn an_event_without_a_transaction_is_refused() {
    let home = Home::new(SqliteSynchronous::Full).await;
    let mut connection = home.pool.acquire().await.unwrap();
    let error = tidings_sqlx::record(&mut connection, &draft(None)).await.unwrap_err();
    assert_eq!(error.code(), Code::SETTING_INVALID, "{error}");
    drop(connection);
    assert_eq!(home.events().await.len(), 0);
}

#[tokio::test]
async fn a_commit_that_can_be_lost_is_refused() {
    for level in [SqliteSynchronous::Normal, SqliteSynchronous::Off] {
        let home = Home::new(level).await;
        let mut tx = home.pool.begin().await.unwrap();
        let error = tidings_sqlx::record(&mut tx, &draft(None)).await.unwrap_err();
        assert_eq!(error.code(), Code::NOT_DURABLE, "{level:?}: {error}");
    }
}

#[tokio::test]
async fn a_database_without_an_outbox_says_so() {
    let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let error = tidings_sqlx::record(&mut tx, &draft(None)).await.unwrap_err();
    assert_eq!(error.code(), Code::OUTBOX_MISSING, "{error}");
}
