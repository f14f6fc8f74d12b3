//! Files that are foreign, from the future, damaged or cannot be written.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use tidings_core::port::{Cursor, Log, Outbox, Read, ReadLimit};
use tidings_core::{Code, Error};
use tidings_sqlite::{SqliteLog, outbox};

use crate::support::{Service, SmallDisk, at, draft, event, everything, write};

async fn filled(path: &Path) -> usize {
    let log = SqliteLog::open(path).unwrap();
    let batch: Vec<_> = (1..=500).map(|version| write(event("price/1", version, 1000))).collect();
    log.append(&batch).await.unwrap();
    everything(&*log).await.len()
}

#[tokio::test]
async fn something_else_is_refused_and_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let foreign = dir.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE note (text)").unwrap();
    let text = dir.path().join("text.db");
    fs::write(&text, "This is a letter, and longer than a header.\n").unwrap();
    let service = Service::new();
    let directory = dir.path().to_owned();
    for (path, code) in [
        (&foreign, Code::STORE_UNKNOWN),
        (&text, Code::STORE_UNKNOWN),
        (&service.path(), Code::STORE_UNKNOWN),
        (&directory, Code::STORE_UNKNOWN),
        (&dir.path().join("none/log.db"), Code::FILE_UNREADABLE),
    ] {
        let before = fs::read(path).ok();
        let error = SqliteLog::open(path).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs::read(path).ok(), before, "{} was changed", path.display());
    }
}

#[tokio::test]
async fn a_log_from_the_future_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log.db");
    filled(&path).await;
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    let error = SqliteLog::open(&path).unwrap_err();
    assert_eq!(error.code(), Code::STORE_TOO_NEW, "{error}");
}

/// Opens, reads everything and appends; the first failure, if any.
async fn use_it(path: &Path) -> Result<usize, Error> {
    let log = SqliteLog::open(path)?;
    let mut next = 0;
    loop {
        match log.read(&at(next), ReadLimit::default()).await? {
            Read::Records(records) if records.is_empty() => break,
            Read::Records(records) => next += records.len() as u64,
            Read::Gap { resume } => next = resume.0,
        }
    }
    log.append(&[write(event("price/1", 1, 10))]).await?;
    Ok(next as usize)
}

#[tokio::test]
async fn damage_is_told_and_never_a_panic() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log.db");
    filled(&path).await;
    let whole = fs::read(&path).unwrap();
    let damaged = dir.path().join("damaged.db");
    for (what, bytes) in [
        ("the first half", whole[..whole.len() / 2].to_vec()),
        ("all but the last page", whole[..whole.len() - 4096].to_vec()),
        ("noise after the first page", [&whole[..4096], &vec![0xA5; whole.len() - 4096]].concat()),
    ] {
        fs::write(&damaged, bytes).unwrap();
        let error = use_it(&damaged).await.expect_err(what);
        assert_eq!(error.code(), Code::STORE_CORRUPT, "{what}: {error}");
        for beside in ["damaged.db-wal", "damaged.db-shm"] {
            let _ = fs::remove_file(dir.path().join(beside));
        }
    }
    // Noise in any one page is told, or its records are unreadable or intact; but it is never a panic.
    for page in 1..whole.len() / 4096 {
        fs::write(&damaged, &whole).unwrap();
        let file = OpenOptions::new().write(true).open(&damaged).unwrap();
        file.write_all_at(&[0x5A; 4096], page as u64 * 4096).unwrap();
        if let Err(error) = use_it(&damaged).await {
            assert_eq!(error.code(), Code::STORE_CORRUPT, "page {page}: {error}");
        }
        for beside in ["damaged.db-wal", "damaged.db-shm"] {
            let _ = fs::remove_file(dir.path().join(beside));
        }
    }
}

#[tokio::test]
async fn a_damaged_outbox_is_told() {
    let service = Service::new();
    let mut db = service.connect();
    let tx = db.transaction().unwrap();
    for _ in 0..500 {
        outbox::record(&tx, &draft("price/1", None)).unwrap();
    }
    tx.commit().unwrap();
    drop(db);
    let outbox = service.outbox();
    let whole = fs::metadata(service.path()).unwrap().len();
    OpenOptions::new().write(true).open(service.path()).unwrap().set_len(whole / 2).unwrap();
    let error = outbox.scan(Cursor(0), 1000).await.unwrap_err();
    assert_eq!(error.code(), Code::STORE_CORRUPT, "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_says_so() {
    let Some(disk) = SmallDisk::mount("8m") else {
        eprintln!("NOT TESTED: a read-only directory, because this user cannot mount a file system");
        return;
    };
    let path = disk.path().join("log.db");
    filled(&path).await;
    disk.make_read_only();
    for path in [path, disk.path().join("new.db")] {
        let error = SqliteLog::open(&path).unwrap_err();
        assert_eq!(error.code(), Code::READ_ONLY, "{error}");
    }
}
