//! Opening a database file, and saying clearly why not.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tidings_core::{Code, Error, Result};

use crate::fault::{fault, fault_at};

/// How long a lock held by another connection is waited for.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Has a connection wait about 5 s for a lock that another one holds, looking again every quarter of a millisecond.
///
/// For every connection that shares a database file with an outbox: SQLite's own `busy_timeout` sleeps up to a tenth of a
/// second at a time, in which a busy writer and a relay keep missing each other.
pub fn wait_for_locks(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(look_again))
}

fn look_again(times: i32) -> bool {
    const STEP: Duration = Duration::from_micros(250);
    let waited = STEP * u32::try_from(times).unwrap_or(0);
    if waited < LOCK_TIMEOUT {
        thread::sleep(STEP);
    }
    waited < LOCK_TIMEOUT
}

/// How safe a commit is when it returns.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sync {
    /// It survives a power failure.
    Full,
    /// It survives a crash of the process; for what may be repeated.
    Normal,
}

/// Opens (and with `create` creates) a database file with the given safety. Nothing is written yet.
pub(crate) fn open(path: &Path, create: bool, sync: Sync) -> Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags).map_err(|e| explain(path, e))?;
    wait_for_locks(&connection).map_err(fault_at(path.display()))?;
    connection.set_prepared_statement_cache_capacity(64);
    let level = match sync {
        Sync::Full => "FULL",
        Sync::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", level).map_err(|e| explain(path, e))?;
    Ok(connection)
}

/// Puts the file into write-ahead mode, in which readers and the writer do not wait for each other.
pub(crate) fn use_wal(path: &Path, connection: &Connection) -> Result<()> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let what = format!("{}: this file system keeps SQLite in {mode} mode", path.display());
                return Err(Error::new(Code::SETTING_INVALID, what));
            }
            // Two processes that create the file at once; SQLite does not wait by itself for this change.
            Err(e)
                if fault_code(&e) == Some(rusqlite::ErrorCode::DatabaseBusy) && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            Err(e) => return Err(explain(path, e)),
        }
    }
}

fn fault_code(error: &rusqlite::Error) -> Option<rusqlite::ErrorCode> {
    error.sqlite_error_code()
}

/// As [`fault`], but asks the file system why a file cannot be opened: SQLite says the same for a missing directory and
/// for one that cannot be written.
pub(crate) fn explain(path: &Path, error: rusqlite::Error) -> Error {
    let error = fault(error);
    let code = match error.code() {
        Code::FILE_UNREADABLE => probe(path).unwrap_or(Code::FILE_UNREADABLE),
        other => other,
    };
    if code == error.code() {
        return error.at(path.display());
    }
    let what = if code == Code::DISK_FULL { "the disk is full" } else { "the database cannot be written" };
    Error::new(code, what).because(error.what()).at(path.display())
}

/// What a write next to this file meets.
fn probe(path: &Path) -> Option<Code> {
    let beside = path.with_extension(format!("probe-{}", std::process::id()));
    let written = match OpenOptions::new().append(true).open(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => OpenOptions::new().write(true).create_new(true).open(&beside),
    };
    match written {
        Ok(_) => {
            // Only there to be tried.
            let _ = fs::remove_file(&beside);
            None
        }
        Err(e) => match e.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Some(Code::READ_ONLY),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(Code::DISK_FULL),
            _ => None,
        },
    }
}
