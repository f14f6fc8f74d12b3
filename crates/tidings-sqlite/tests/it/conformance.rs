//! The suites that every backend runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::{Connection, params};
use tempfile::TempDir;
use tidings_core::port::{Boxed, Cursor, Log, Outbox, Parking};
use tidings_core::{Draft, Position, Result, Stamp};
use tidings_sqlite::{LogSettings, SqliteLog, fault, outbox, system_clock};
use tidings_testkit::conformance::store::Subject;
use tidings_testkit::conformance::{self, LogHome, OutboxHome, ParkingHome, StoreHome};

use crate::projection::{digest, prices};
use crate::support::Service;

struct Logs {
    dir: TempDir,
    partitions: u32,
}

impl LogHome for Logs {
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Log>>> {
        let settings = LogSettings { partitions: self.partitions, ..LogSettings::default() };
        let log = SqliteLog::open_with(self.dir.path().join("log.db"), settings, system_clock());
        Box::pin(async { Ok(log? as Arc<dyn Log>) })
    }

    fn damage<'a>(&'a self, at: &'a Position) -> Boxed<'a, Result<bool>> {
        let db = Connection::open(self.dir.path().join("log.db")).unwrap();
        let sql = "UPDATE record SET body = x'7B' WHERE place & ((1 << 40) - 1) = ?1 AND place >> 40 =
            (SELECT partition.id FROM partition JOIN topic ON topic.id = topic WHERE name = ?2 AND part = ?3)";
        let (topic, part) = (at.partition.topic.as_str(), at.partition.index);
        let changed = db.execute(sql, params![at.offset.0 as i64, topic, part]).unwrap();
        Box::pin(async move { Ok(changed == 1) })
    }
}

#[tokio::test]
async fn the_log_does_what_every_log_does() {
    for partitions in [1, 4] {
        conformance::log::run_all(&Logs { dir: TempDir::new().unwrap(), partitions }).await;
    }
}

impl ParkingHome for Logs {
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Parking>>> {
        let log = SqliteLog::open(self.dir.path().join("log.db"));
        Box::pin(async { Ok(log? as Arc<dyn Parking>) })
    }
}

#[tokio::test]
async fn s56_the_parking_does_what_every_parking_does() {
    conformance::parking::run_all(&Logs { dir: TempDir::new().unwrap(), partitions: 1 }).await;
}

impl OutboxHome for Service {
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Outbox>>> {
        Box::pin(async { Ok(self.outbox() as Arc<dyn Outbox>) })
    }

    fn commit<'a>(&'a self, drafts: &'a [Draft]) -> Boxed<'a, Result<Vec<Stamp>>> {
        let commit = || {
            let mut db = self.connect();
            let tx = db.transaction().map_err(fault)?;
            let recorded = drafts.iter().map(|draft| outbox::record(&tx, draft).map(|r| r.stamp));
            let stamps = recorded.collect::<Result<Vec<_>>>()?;
            tx.commit().map_err(fault)?;
            Ok(stamps)
        };
        let committed = commit();
        Box::pin(async { committed })
    }

    fn roll_back<'a>(&'a self, drafts: &'a [Draft]) -> Boxed<'a, Result<()>> {
        let mut db = self.connect();
        let tx = db.transaction().unwrap();
        for draft in drafts {
            outbox::record(&tx, draft).unwrap();
        }
        tx.rollback().unwrap();
        Box::pin(async { Ok(()) })
    }

    fn parked(&self) -> Boxed<'_, Result<Vec<Cursor>>> {
        Box::pin(async {
            let parked = self.outbox().parked(1000).await?;
            Ok(parked.into_iter().map(|parked| parked.cursor).collect())
        })
    }

    fn damage(&self, at: Cursor) -> Boxed<'_, Result<bool>> {
        let sql = "UPDATE tidings_outbox SET aggregateid = '' WHERE seq = ?1";
        let changed = self.connect().execute(sql, [at.0 as i64]).unwrap();
        Box::pin(async move { Ok(changed == 1) })
    }
}

#[tokio::test]
async fn the_outbox_does_what_every_outbox_does() {
    conformance::outbox::run_all(&Service::new()).await;
}

/// Projections in a file each.
struct Projections {
    dir: TempDir,
    count: AtomicUsize,
}

impl StoreHome for Projections {
    fn create(&self) -> Boxed<'_, Result<Subject>> {
        let path = self.dir.path().join(format!("{}.db", self.count.fetch_add(1, Ordering::Relaxed)));
        let store = prices(&path);
        let digest = move || -> Boxed<'static, Result<String>> {
            let digest = digest(&path);
            Box::pin(async { Ok(digest) })
        };
        Box::pin(async { Ok(Subject { store, digest: Box::new(digest) }) })
    }
}

#[tokio::test]
async fn the_projection_does_what_every_store_does() {
    let home = Projections { dir: TempDir::new().unwrap(), count: AtomicUsize::new(0) };
    conformance::store::run_all(&home).await;
}
