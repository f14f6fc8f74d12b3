//! The suite that every outbox runs, by both ways to the rows.

use std::sync::Arc;

use services::{Postgres, embedded_only};
use tidings_core::port::{Boxed, Cursor, Outbox};
use tidings_core::{Draft, Result, Stamp};
use tidings_postgres::{Discovery, PostgresOutbox, fault, record, schema};
use tidings_testkit::conformance::{self, OutboxHome};

use crate::support::{Database, decode, settings};

struct Home {
    database: Database,
    discovery: Discovery,
}

impl Home {
    async fn record(&self, drafts: &[Draft], commit: bool) -> Result<Vec<Stamp>> {
        let mut client = self.database.address().connect("test", "").await?;
        let transaction = client.transaction().await.map_err(fault)?;
        let mut stamps = Vec::new();
        for draft in drafts {
            stamps.push(record(&transaction, draft).await?.stamp);
        }
        if commit {
            transaction.commit().await.map_err(fault)?;
        } else {
            transaction.rollback().await.map_err(fault)?;
        }
        Ok(stamps)
    }
}

impl OutboxHome for Home {
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Outbox>>> {
        Box::pin(async {
            let settings = settings(self.discovery.clone());
            let outbox = PostgresOutbox::open(&self.database.address(), settings).await?;
            Ok(outbox as Arc<dyn Outbox>)
        })
    }

    fn commit<'a>(&'a self, drafts: &'a [Draft]) -> Boxed<'a, Result<Vec<Stamp>>> {
        Box::pin(self.record(drafts, true))
    }

    fn roll_back<'a>(&'a self, drafts: &'a [Draft]) -> Boxed<'a, Result<()>> {
        Box::pin(async { self.record(drafts, false).await.map(drop) })
    }

    fn parked(&self) -> Boxed<'_, Result<Vec<Cursor>>> {
        Box::pin(async {
            let parked = schema::parked(&self.database.connect().await, 1000).await?;
            Ok(parked.into_iter().map(|parked| parked.cursor).collect())
        })
    }
}

/// On a server of its own: what else runs on a shared one can have a new slot's first acknowledgements not count yet.
#[tokio::test]
async fn decoding_does_what_every_outbox_does() {
    if embedded_only() {
        return;
    }
    let server = Postgres::start(&[]).unwrap();
    let database = Database::on(&server.url()).await;
    conformance::outbox::run_all(&Home { database, discovery: decode() }).await;
}

#[tokio::test]
async fn claiming_does_what_every_outbox_does() {
    if let Some(database) = Database::new().await {
        conformance::outbox::run_all(&Home { database, discovery: Discovery::Claim }).await;
    }
}
