//! A disk that fills up under work, and is mended while the same handles live on.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tidings_core::port::{Cursor, Log, Outbox};
use tidings_core::{Code, Data, Draft};
use tidings_sqlite::{SqliteLog, SqliteOutbox, fault, outbox};

use crate::support::{SmallDisk, draft, event, everything, versions, write};

/// Space that an operator can free.
fn ballast(disk: &Path) -> std::path::PathBuf {
    let path = disk.join("ballast");
    fs::write(&path, vec![1; 1 << 20]).unwrap();
    path
}

#[tokio::test]
async fn the_log_loses_nothing_and_resumes_by_itself() {
    let Some(disk) = SmallDisk::mount("4m") else {
        eprintln!("NOT TESTED: the log on a full disk, because this user cannot mount a file system");
        return;
    };
    let ballast = ballast(disk.path());
    let path = disk.path().join("log.db");
    let log = SqliteLog::open(&path).unwrap();
    let batch = |n: u64| [1, 2, 3].map(|i| write(event(&format!("price/{i}"), n, 8000)));
    let mut acknowledged = 0;
    let error = loop {
        match log.append(&batch(acknowledged + 1)).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1000, "the disk is not full after 24 MB");
    };
    assert_eq!(error.code(), Code::DISK_FULL, "{error}");
    assert_eq!(
        everything(&*log).await.len() as u64,
        acknowledged * 3,
        "still readable, nothing half-applied"
    );
    let error = log.append(&batch(acknowledged + 1)).await.unwrap_err();
    assert_eq!(error.code(), Code::DISK_FULL, "{error}");

    fs::remove_file(ballast).unwrap();
    log.append(&batch(acknowledged + 1)).await.unwrap();
    let expected: Vec<_> =
        (1..=acknowledged + 1).flat_map(|n| [1, 2, 3].map(|i| (format!("price/{i}"), n))).collect();
    assert_eq!(versions(&everything(&*log).await), expected);
    drop(log);
    let log = SqliteLog::open(&path).unwrap();
    assert_eq!(versions(&everything(&*log).await), expected, "after a restart");
}

fn record(db: &mut Connection, n: i64) -> tidings_core::Result<()> {
    let tx = db.transaction().map_err(fault)?;
    tx.execute("UPDATE state SET n = ?1", [n]).map_err(fault)?;
    let data = Data::Json(format!("\"{}\"", "x".repeat(8000)).into());
    outbox::record(&tx, &Draft { data, ..draft("price/1", None) })?;
    tx.commit().map_err(fault)
}

/// Fills the database until a commit fails, lets `mend` make room, and goes on.
async fn fill_and_mend(path: &Path, limit: impl Fn(&Connection), mend: impl Fn(&Connection)) {
    let mut db = Connection::open(path).unwrap();
    db.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())).unwrap();
    outbox::install(&db).unwrap();
    db.execute_batch("CREATE TABLE state (n INTEGER); INSERT INTO state VALUES (0)").unwrap();
    let relay = SqliteOutbox::open(path, "/pricing").unwrap();
    limit(&db);
    let mut acknowledged = 0;
    let error = loop {
        match record(&mut db, acknowledged + 1) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1000, "not full after 8 MB");
    };
    assert_eq!(error.code(), Code::DISK_FULL, "{error}");
    let check = async |expected: i64| {
        let scan = relay.scan(Cursor(0), 10_000).await.unwrap();
        let versions = scan.rows.iter().map(|row| row.event.as_ref().unwrap().stamp.version.number() as i64);
        assert!(versions.eq(1..=expected), "events are missing or doubled");
        let state: i64 =
            Connection::open(path).unwrap().query_row("SELECT n FROM state", [], |row| row.get(0)).unwrap();
        assert_eq!(state, expected, "state and events differ");
    };
    check(acknowledged).await;
    mend(&db);
    record(&mut db, acknowledged + 1).unwrap();
    check(acknowledged + 1).await;
    relay.acknowledge(Cursor(1)).await.unwrap();
}

#[tokio::test]
async fn the_outbox_loses_nothing_and_resumes_by_itself() {
    if let Some(disk) = SmallDisk::mount("4m") {
        let ballast = ballast(disk.path());
        let mend = |_: &Connection| fs::remove_file(&ballast).unwrap();
        fill_and_mend(&disk.path().join("pricing.db"), |_| (), mend).await;
    } else {
        eprintln!(
            "the full disk is PRAGMA max_page_count here, because this user cannot mount a file system"
        );
    }
    let pages = |db: &Connection, n: i64| db.pragma_update(None, "max_page_count", n).unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    fill_and_mend(&dir.path().join("pricing.db"), |db| pages(db, 500), |db| pages(db, 5000)).await;
}
