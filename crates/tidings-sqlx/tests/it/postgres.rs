//! The same on PostgreSQL, read back as a relay does.

use services::{Service, address, embedded_only};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection};
use tidings_core::port::Outbox;
use tidings_core::{Code, Data, Draft, Event, Stamp, Version};
use tidings_postgres::{Address, Discovery, PostgresOutbox, Settings, schema};
use tidings_sqlx::postgres::record;

use crate::draft;

/// A database of one's own, with the outbox and a table of a service. Nothing of it is left at the end.
struct Home {
    server: PgPool,
    name: String,
    url: String,
    pool: PgPool,
}

impl Home {
    async fn empty(name: &str) -> Option<Self> {
        if embedded_only() {
            println!("skipped: needs PostgreSQL");
            return None;
        }
        let server_url = address(Service::Postgres).unwrap();
        let server = PgPool::connect(&server_url).await.unwrap();
        let name = format!("sqlx{}_{name}", std::process::id());
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&server).await.unwrap();
        let (base, _) = server_url.rsplit_once('/').unwrap();
        let url = format!("{base}/{name}");
        let pool = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
        Some(Self { server, name, url, pool })
    }

    async fn new(name: &str) -> Option<Self> {
        let home = Self::empty(name).await?;
        let mut client = home.address().connect("test", "").await.unwrap();
        schema::install(&client).await.unwrap().apply(&mut client).await.unwrap();
        let table = "CREATE TABLE price (sku text PRIMARY KEY, cents bigint)";
        sqlx::query(table).execute(&home.pool).await.unwrap();
        Some(home)
    }

    fn address(&self) -> Address {
        Address::parse(&self.url).unwrap()
    }

    async fn events(&self) -> Vec<Event> {
        let settings = Settings { discovery: Discovery::Claim, ..Settings::new("/pricing") };
        let outbox = PostgresOutbox::open(&self.address(), settings).await.unwrap();
        let scan = outbox.scan(outbox.acknowledged().await.unwrap(), 1000).await.unwrap();
        assert!(scan.complete);
        scan.rows.into_iter().map(|row| row.event.unwrap().as_ref().clone()).collect()
    }

    async fn end(self) {
        self.pool.close().await;
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::query(AssertSqlSafe(sql)).execute(&self.server).await.unwrap();
    }
}

#[tokio::test]
async fn s25_state_and_event_commit_or_roll_back_together() {
    let Some(home) = Home::new("together").await else { return };
    for (commit, cents) in [(false, 1), (true, 2)] {
        let mut tx = home.pool.begin().await.unwrap();
        sqlx::query("INSERT INTO price VALUES ('SKU-1', $1)").bind(cents).execute(&mut *tx).await.unwrap();
        let recorded = record(&mut tx, &draft(None)).await.unwrap();
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
    home.end().await;
}

#[tokio::test]
async fn every_kind_of_data_comes_back() {
    let Some(home) = Home::new("data").await else { return };
    let bytes = Data::Bytes { content_type: "image/png".into(), bytes: vec![0, 255, 7].into() };
    let kinds = [Data::Empty, Data::Json("[1,  \"\\u0000\"]".into()), bytes];
    let mut tx = home.pool.begin().await.unwrap();
    for data in kinds.clone() {
        record(&mut tx, &Draft { data, ..draft(None) }).await.unwrap();
    }
    tx.commit().await.unwrap();
    let read: Vec<_> = home.events().await.into_iter().map(|event| event.data).collect();
    assert_eq!(read, kinds);
    home.end().await;
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_and_a_savepoint_keeps_the_transaction_alive() {
    let Some(home) = Home::new("refused").await else { return };
    let mut tx = home.pool.begin().await.unwrap();
    record(&mut tx, &draft(Some(7))).await.unwrap();
    for (bad, code) in [
        (draft(Some(7)), Code::VERSION_REGRESSED),
        (draft(Some(3)), Code::VERSION_REGRESSED),
        (draft(Some(0)), Code::VERSION_REGRESSED),
        (draft(Some((1 << 62) + 1)), Code::ATTRIBUTE_INVALID),
        (Draft { kind: "a\nb".into(), ..draft(None) }, Code::NAME_INVALID),
        (Draft { data: Data::Json("{".into()), ..draft(None) }, Code::LINE_TRUNCATED),
    ] {
        let mut part = tx.begin().await.unwrap();
        let error = record(&mut part, &bad).await.unwrap_err();
        part.rollback().await.unwrap();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains("price/SKU-1"), "{error}");
    }
    let recorded = record(&mut tx, &draft(None)).await.unwrap();
    assert_eq!(recorded.stamp.version.number(), 8);
    tx.commit().await.unwrap();
    assert_eq!(home.events().await.len(), 2);
    home.end().await;
}

#[tokio::test]
async fn an_event_without_a_transaction_is_refused() {
    let Some(home) = Home::new("without").await else { return };
    let mut connection = home.pool.acquire().await.unwrap();
    let error = record(&mut connection, &draft(None)).await.unwrap_err();
    assert_eq!(error.code(), Code::SETTING_INVALID, "{error}");
    drop(connection);
    assert_eq!(home.events().await.len(), 0);
    home.end().await;
}

#[tokio::test]
async fn a_commit_that_can_be_lost_is_made_durable() {
    let Some(home) = Home::new("durable").await else { return };
    let mut tx = home.pool.begin().await.unwrap();
    sqlx::query("SET LOCAL synchronous_commit = off").execute(&mut *tx).await.unwrap();
    record(&mut tx, &draft(None)).await.unwrap();
    let level: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(level, "on");
    tx.commit().await.unwrap();
    home.end().await;
}

#[tokio::test]
async fn a_database_without_an_outbox_says_so() {
    let Some(home) = Home::empty("none").await else { return };
    let mut tx = home.pool.begin().await.unwrap();
    let error = record(&mut tx, &draft(None)).await.unwrap_err();
    assert_eq!(error.code(), Code::OUTBOX_MISSING, "{error}");
    drop(tx);
    home.end().await;
}
