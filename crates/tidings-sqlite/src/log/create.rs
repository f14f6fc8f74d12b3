//! Opening and creating the file: a log, a foreign file, or one from the future.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use tidings_core::{Code, Error, Result};

use crate::open::{self, Sync, explain};

/// How every SQLite file begins (<https://sqlite.org/fileformat2.html>).
const MAGIC: [u8; 16] = *b"SQLite format 3\0";
/// Marks the file as a log of Tidings: `TIDL`.
const APPLICATION: i64 = 0x5449_444C;
/// The version of the format that this program writes and understands.
const FORMAT: i64 = 1;
/// The most partitions of a topic; each costs a row.
pub(super) const MAX_PARTITIONS: u32 = 4096;

/// Opens a connection that writes, and creates the log if the file is new. Looks before it changes anything: a file
/// that is something else stays as it is.
pub(super) fn open(path: &Path) -> Result<Connection> {
    if let Some(what) = no_database(path) {
        return Err(Error::new(Code::STORE_UNKNOWN, format!("{}: {what}", path.display())));
    }
    let mut connection = open::open(path, true, Sync::Full)?;
    let wrong = |e| explain(path, e);
    if !is_log(path, &connection)? {
        open::use_wal(path, &connection)?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
        // Another process may have been first.
        if !is_log(path, &tx)? {
            tx.execute_batch(include_str!("schema.sql")).map_err(wrong)?;
            tx.pragma_update(None, "application_id", APPLICATION).map_err(wrong)?;
            tx.pragma_update(None, "user_version", FORMAT).map_err(wrong)?;
        }
        tx.commit().map_err(wrong)?;
    }
    open::use_wal(path, &connection)?;
    // Fewer, larger copies from the write-ahead file into the main one, and a bound for it afterwards.
    connection.pragma_update(None, "wal_autocheckpoint", 4000).map_err(wrong)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(wrong)?;
    // The first write shows a read-only file now, not at the first event.
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(wrong)?;
    Ok(connection)
}

/// Why SQLite need not even try.
fn no_database(path: &Path) -> Option<&'static str> {
    if path.is_dir() {
        return Some("this is a directory");
    }
    let mut start = [0; MAGIC.len()];
    // A file that is missing or empty becomes a log; one that cannot be read is SQLite's to explain.
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).ok()?;
    (start != MAGIC).then_some("this is not a SQLite file")
}

/// Opens a connection that only reads an existing log.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let connection = open::open(path, false, Sync::Full)?;
    connection.pragma_update(None, "query_only", true).map_err(|e| explain(path, e))?;
    Ok(connection)
}

/// Whether this is a log that we understand; `false` if the file is empty.
fn is_log(path: &Path, connection: &Connection) -> Result<bool> {
    let read = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|e| explain(path, e));
    let application = read("PRAGMA application_id")?;
    let version = read("PRAGMA user_version")?;
    let objects = read("SELECT count(*) FROM sqlite_master")?;
    let refuse = |code, what: String| Err(Error::new(code, format!("{}: {what}", path.display())));
    match (application, version, objects) {
        (0, 0, 0) => Ok(false),
        (APPLICATION, 1..=FORMAT, 1..) => Ok(true),
        (APPLICATION, FORMAT.., _) => {
            refuse(Code::STORE_TOO_NEW, format!("this log has format {version}; this program knows {FORMAT}"))
        }
        (APPLICATION, ..) => refuse(Code::STORE_CORRUPT, "this log has lost its tables".to_owned()),
        _ => refuse(Code::STORE_UNKNOWN, "this SQLite file is not a log of Tidings".to_owned()),
    }
}
