//! What the tests share: a database of one's own on a real server, and writing and reading events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use services::{Service, address, embedded_only};
use tidings_core::port::{Cursor, Outbox, Pending};
use tidings_core::{Data, Draft, Entity, Event, Stamp, Version, Window};
use tidings_postgres::{Address, Discovery, PostgresOutbox, Settings, record, schema};
use tokio_postgres::Client;

/// Far beyond what any step takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A database with the outbox installed and a table of a service; dropped with its slots at the end.
pub(crate) struct Database {
    admin: String,
    name: String,
    url: String,
}

impl Database {
    /// On the server that all tests share; `None` if only what needs no server is to be tested.
    pub(crate) async fn new() -> Option<Self> {
        if embedded_only() {
            println!("skipped: needs PostgreSQL");
            return None;
        }
        Some(Self::on(&address(Service::Postgres).unwrap()).await)
    }

    pub(crate) async fn on(server: &str) -> Self {
        let database = Self::empty(server).await;
        let mut client = database.connect().await;
        schema::install(&client).await.unwrap().apply(&mut client).await.unwrap();
        client.batch_execute("CREATE TABLE price (sku text PRIMARY KEY, cents integer)").await.unwrap();
        database
    }

    pub(crate) async fn empty(server: &str) -> Self {
        let name = format!("t{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let client = Address::parse(server).unwrap().connect("test", "").await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        Self { admin: server.to_owned(), url: format!("{base}/{name}"), name }
    }

    /// One of the same name on another server.
    pub(crate) async fn twin(&self, server: &str) -> Self {
        let client = Address::parse(server).unwrap().connect("test", "").await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE {}", self.name)).await.unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        let twin =
            Self { admin: server.to_owned(), url: format!("{base}/{}", self.name), name: self.name.clone() };
        let mut client = twin.connect().await;
        schema::install(&client).await.unwrap().apply(&mut client).await.unwrap();
        twin
    }

    /// The address by way of another port of this machine.
    pub(crate) fn by(&self, port: u16) -> Address {
        let (user, _) = self.url.rsplit_once('@').unwrap();
        Address::parse(&format!("{user}@127.0.0.1:{port}/{}", self.name)).unwrap()
    }

    /// The address as another user.
    pub(crate) fn url_as(&self, user: &str, password: &str) -> String {
        let (_, host) = self.url.rsplit_once('@').unwrap();
        format!("postgres://{user}:{password}@{host}")
    }

    pub(crate) fn slot(&self) -> String {
        format!("tidings_{}", self.name)
    }

    pub(crate) fn address(&self) -> Address {
        Address::parse(&self.url).unwrap()
    }

    pub(crate) async fn connect(&self) -> Client {
        self.address().connect("test", "").await.unwrap()
    }

    pub(crate) async fn open(&self, discovery: Discovery) -> Arc<PostgresOutbox> {
        self.open_with(settings(discovery)).await
    }

    /// Opens it and reads what is there: with a new slot that comes from the table, and only what follows from the slot.
    pub(crate) async fn open_with(&self, settings: Settings) -> Arc<PostgresOutbox> {
        let outbox = PostgresOutbox::open(&self.address(), settings).await.unwrap();
        let mut from = outbox.acknowledged().await.unwrap();
        follow(&*outbox, &mut from).await;
        outbox
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        let clean = async move {
            let Ok(client) = Address::parse(&admin).unwrap().connect("test", "").await else { return };
            let slots = format!(
                "SET synchronous_commit = local;
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';
                 DO $$ BEGIN FOR n IN 1..200 LOOP
                     EXIT WHEN NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = '{name}' AND active);
                     PERFORM pg_sleep(0.02);
                 END LOOP; END $$;
                 SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'"
            );
            let _ = client.batch_execute(&slots).await;
            let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _ = std::thread::spawn(move || runtime.block_on(clean)).join();
    }
}

pub(crate) fn decode() -> Discovery {
    Discovery::Decode { slot: None }
}

/// Both ways to the rows.
pub(crate) fn ways() -> [Discovery; 2] {
    [decode(), Discovery::Claim]
}

pub(crate) fn settings(discovery: Discovery) -> Settings {
    Settings { discovery, patience: DEADLINE, ..Settings::new("/pricing") }
}

pub(crate) async fn commit(client: &mut Client, drafts: &[Draft]) -> Vec<Stamp> {
    let transaction = client.transaction().await.unwrap();
    let mut stamps = Vec::new();
    for draft in drafts {
        stamps.push(record(&transaction, draft).await.unwrap().stamp);
    }
    transaction.commit().await.unwrap();
    stamps
}

pub(crate) fn draft(entity: &str, version: Option<u64>) -> Draft {
    Draft {
        kind: "pricing.BasePriceChanged".into(),
        entity: Entity::parse(entity).unwrap(),
        version: version.map(|v| Version::new(v).unwrap()),
        window: Window::default(),
        traceparent: None,
        data: Data::Json("{\"cents\":1999}".into()),
    }
}

pub(crate) async fn publish(client: &Client, entity: &str) -> i64 {
    let sql = format!("SELECT tidings.publish('pricing.BasePriceChanged', '{entity}', '{{\"cents\":1999}}')");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

/// What a follower that has read up to `from` gets until a complete scan.
pub(crate) async fn follow(outbox: &dyn Outbox, from: &mut Cursor) -> Vec<Pending> {
    let mut found = Vec::new();
    loop {
        let scan = outbox.scan(*from, 1000).await.unwrap();
        *from = scan.rows.last().map_or(*from, |row| row.cursor);
        found.extend(scan.rows);
        if scan.complete {
            return found;
        }
    }
}

pub(crate) fn event(row: &Pending) -> &Event {
    row.event.as_ref().unwrap()
}

/// (entity, version) of rows.
pub(crate) fn versions(rows: &[Pending]) -> Vec<(String, u64)> {
    rows.iter().map(event).map(|e| (e.entity.to_string(), e.stamp.version.number())).collect()
}

pub(crate) fn named<const N: usize>(expected: [(&str, u64); N]) -> Vec<(String, u64)> {
    expected.map(|(entity, version)| (entity.to_owned(), version)).to_vec()
}

/// Everything from the acknowledged place on, acknowledged afterwards.
pub(crate) async fn drain(outbox: &dyn Outbox) -> Vec<(String, u64)> {
    let mut from = outbox.acknowledged().await.unwrap();
    let rows = follow(outbox, &mut from).await;
    outbox.acknowledge(from).await.unwrap();
    versions(&rows)
}
