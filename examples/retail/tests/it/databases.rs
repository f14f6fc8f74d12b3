//! Databases for one fixture on the real server, with their relays; gone at the end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use retail::Place;
use retail::storefront::TOPICS;
use services::{Service, address, embedded_only};
use tidings::{Relay, Running, Topic};
use tidings_core::port::Log;
use tidings_postgres::{Address, PostgresOutbox, Settings};

use crate::fixture::DRAIN;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A prefix of one's own on the server that all tests share.
pub(crate) struct Databases {
    server: String,
    prefix: String,
}

impl Databases {
    /// `None` if only what needs no server is to be tested.
    pub(crate) fn new() -> Option<Self> {
        if embedded_only() {
            println!("skipped: needs PostgreSQL");
            return None;
        }
        Some(Self::on(address(Service::Postgres).unwrap()))
    }

    pub(crate) fn on(server: String) -> Self {
        let prefix = format!("r{}_{}_", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { server, prefix }
    }

    pub(crate) fn place(&self, dir: &Path) -> Place {
        Place::Postgres { server: self.server.clone(), prefix: self.prefix.clone(), dir: dir.into() }
    }

    pub(crate) fn address(&self, context: &str) -> Address {
        let place = self.place(Path::new(""));
        Address::parse(&place.database(context).unwrap().unwrap()).unwrap()
    }

    /// A relay for each context, as `tidings relay` runs it.
    pub(crate) async fn relays(&self, log: &Arc<dyn Log>) -> Vec<Running> {
        let mut relays = Vec::new();
        for context in TOPICS {
            let settings = Settings { patience: DRAIN, ..Settings::new(&format!("/{context}")) };
            let outbox = PostgresOutbox::open(&self.address(context), settings).await.unwrap();
            relays.push(Relay::new(Topic::new(context).unwrap(), outbox, log.clone()).spawn());
        }
        relays
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        let (server, prefix) = (self.server.clone(), self.prefix.clone());
        let clean = async move {
            let Ok(client) = Address::parse(&server).unwrap().connect("test", "").await else { return };
            for context in ["catalog", "pricing", "inventory", "checkout"] {
                let name = format!("{prefix}{context}");
                let slots = format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';
                     DO $$ BEGIN FOR n IN 1..200 LOOP
                         EXIT WHEN NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = '{name}' AND active);
                         PERFORM pg_sleep(0.02);
                     END LOOP; END $$;
                     SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'"
                );
                let _ = client.batch_execute(&slots).await;
                let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _ = std::thread::spawn(move || runtime.block_on(clean)).join();
    }
}
