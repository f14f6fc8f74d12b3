//! How each context keeps its own state: who writes, a few read connections, one baseline. On SQLite or on
//! PostgreSQL: the statements are the same, and so is the code that runs them.

use rusqlite::Connection;
use tidings_core::{Code, Error};

mod asked;
mod create;
mod keeper;
mod pool;
mod postgres;
mod readers;
mod sqlite;
mod value;
mod writer;

pub(crate) use create::{Home, Role, Schema, open};
pub(crate) use readers::{FileReaders, Readers};
pub(crate) use sqlite::open_writer;
pub(crate) use value::{Cells, Param, Row, Table};
pub(crate) use writer::{Change, Writer};

use crate::refusal::Result;
use postgres::Session;

/// A transaction on either engine. Statements take their parameters as `$1`, `$2` and so on.
pub(crate) enum Sql<'a> {
    Files(&'a Connection),
    Postgres(&'a Session<'a>),
}

impl Sql<'_> {
    /// Returns how many rows it touched.
    pub(crate) fn execute(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64> {
        match self {
            Self::Files(db) => sqlite::execute(db, sql, params),
            Self::Postgres(db) => Ok(db.execute(sql, params)?),
        }
    }

    /// All rows of the answer.
    pub(crate) fn rows(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        match self {
            Self::Files(db) => sqlite::rows(db, sql, params),
            Self::Postgres(db) => Ok(db.rows(sql, params)?),
        }
    }

    /// The first row of the answer, if there is one.
    pub(crate) fn row(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Option<Row>> {
        Ok(self.rows(sql, params)?.into_iter().next())
    }

    /// The row that there must be.
    pub(crate) fn one(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Row> {
        let missing = || Error::new(Code::STORE_CORRUPT, "a row is missing").into();
        self.row(sql, params)?.ok_or_else(missing)
    }

    fn insert(&self, table: &Table<'_>) -> Result<()> {
        match self {
            Self::Files(db) => sqlite::insert(db, table),
            Self::Postgres(db) => Ok(db.insert(table)?),
        }
    }
}

/// A count as it stands in a column of a file; SQLite's integers are signed.
pub(crate) fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}
