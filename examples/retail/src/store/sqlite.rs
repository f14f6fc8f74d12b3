//! The contexts on SQLite: a file for each.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OpenFlags};
use tidings_core::{Code, Error};
use tidings_sqlite::fault;

use super::value::{Param, Row, Table, Value};
use crate::refusal::Result;

/// The names of parameters, as PostgreSQL counts them. SQLite takes them for names and numbers them as they come.
const NAMES: [&str; 8] = ["$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8"];

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

pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| fault(e).at(path.display()))?;
    tidings_sqlite::wait_for_locks(&connection)?;
    // Each commit empties a reader's own cache; mapped pages need not be copied again.
    connection.pragma_update(None, "mmap_size", 256 << 20)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

pub(super) fn execute(db: &Connection, sql: &str, params: &[Param<'_>]) -> Result<u64> {
    let mut statement = db.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    Ok(statement.raw_execute()? as u64)
}

pub(super) fn rows(db: &Connection, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
    let mut statement = db.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    let columns = statement.column_count();
    let (mut rows, mut found) = (statement.raw_query(), Vec::new());
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| read(row.get_ref(column)?));
        found.push(Row(values.collect::<Result<_>>()?));
    }
    Ok(found)
}

/// As the only writer there is, in the caller's transaction.
pub(super) fn insert(db: &Connection, table: &Table<'_>) -> Result<()> {
    let names: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    let places = NAMES.get(..names.len()).ok_or_else(too_many)?.join(", ");
    let sql = format!("INSERT INTO {} ({}) VALUES ({places})", table.name, names.join(", "));
    let mut statement = db.prepare_cached(&sql)?;
    let rows = table.columns.first().map_or(0, |(_, cells)| cells.len());
    for row in 0..rows {
        let cells: Vec<_> = table.columns.iter().filter_map(|(_, cells)| cells.at(row)).collect();
        bind(&mut statement, &cells)?;
        statement.raw_execute()?;
    }
    Ok(())
}

fn bind(statement: &mut CachedStatement<'_>, params: &[Param<'_>]) -> Result<()> {
    if statement.parameter_count() != params.len() {
        return Err(Error::new(Code::DEFECT, "a statement was given too many parameters, or too few").into());
    }
    for (param, name) in params.iter().zip(NAMES) {
        let index = statement.parameter_index(name)?.ok_or_else(too_many)?;
        match param {
            Param::Int(number) => statement.raw_bind_parameter(index, number)?,
            Param::Text(text) => statement.raw_bind_parameter(index, text)?,
        }
    }
    Ok(())
}

fn too_many() -> Error {
    Error::new(Code::DEFECT, "a statement has parameters that cannot be given")
}

fn read(value: ValueRef<'_>) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Real(_) | ValueRef::Blob(_) => {
            return Err(Error::new(Code::STORE_CORRUPT, "a column holds neither a number nor text").into());
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_bound_by_their_number_and_not_as_they_come() {
        let db = Connection::open_in_memory().unwrap();
        let given = [Param::Int(1), Param::Text("two"), Param::Int(3)];
        let found = rows(&db, "SELECT $3, $1, $2, $1", &given).unwrap();
        let [row] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((row.get::<u32>(0).unwrap(), row.get::<u32>(1).unwrap()), (3, 1));
        assert_eq!((row.get::<String>(2).unwrap(), row.get::<u32>(3).unwrap()), ("two".to_owned(), 1));
        assert!(rows(&db, "SELECT $1", &given).is_err());
        assert!(rows(&db, "SELECT $1, $2", &given[..1]).is_err());
    }
}
