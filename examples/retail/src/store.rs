//! How each context keeps its own SQLite file: one writer thread, a few read connections, one baseline.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use tidings_core::{Code, Error};
use tidings_sqlite::fault;

mod readers;
mod writer;

pub(crate) use readers::Readers;
pub(crate) use writer::{Change, Writer};

use crate::refusal::Result;

/// A version or count as it stands in a column; SQLite's integers are signed.
pub(crate) fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// Opens a context's file for its one writer: nothing that was committed can un-happen (WAL, `synchronous=FULL`).
pub(crate) fn open_writer(path: &Path, schema: &str) -> Result<Connection> {
    let connection = Connection::open(path).map_err(|e| fault(e).at(path.display()))?;
    let set_up = |connection: &Connection| -> rusqlite::Result<()> {
        tidings_sqlite::wait_for_locks(connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(schema)
    };
    set_up(&connection).map_err(|e| fault(e).at(path.display()))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| fault(e).at(path.display()))?;
    tidings_sqlite::wait_for_locks(&connection)?;
    // Each commit empties a reader's own cache; mapped pages need not be copied again.
    connection.pragma_update(None, "mmap_size", 256 << 20)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The version of the contexts' tables that this program writes and understands.
const FORMAT: i64 = 1;

/// Fills a new file with what it begins with, in one transaction, once; a file that has a baseline keeps it.
pub(crate) fn baseline(
    connection: &mut Connection,
    seed: u64,
    fill: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()>,
) -> Result<()> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS baseline (seed INTEGER NOT NULL, format INTEGER NOT NULL) STRICT",
    )?;
    match tx.query_row("SELECT max(format) FROM baseline", [], |row| row.get::<_, Option<i64>>(0))? {
        Some(format) if format > FORMAT => {
            let what = format!("the tables have format {format}; this program knows {FORMAT}");
            return Err(Error::new(Code::STORE_TOO_NEW, what).into());
        }
        Some(_) => {}
        None => {
            fill(&tx)?;
            let seed = i64::from_ne_bytes(seed.to_ne_bytes());
            tx.execute("INSERT INTO baseline (seed, format) VALUES (?1, ?2)", [seed, FORMAT])?;
        }
    }
    tx.commit()?;
    Ok(())
}
