//! Reading on one snapshot, from a file or from a database.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tidings_core::shared::Seen;

use super::asked::Asked;
use super::keeper::Keeper;
use super::pool::Pool;
use super::postgres::{Database, Mode};
use super::{Param, Row, Sql};
use crate::refusal::Result;

/// A pool of read-only connections to one file.
#[derive(Clone)]
pub(crate) struct FileReaders(Pool<Connection>);

impl FileReaders {
    pub(crate) fn open(path: &Path, count: usize) -> Result<Self> {
        let idle = (0..count.max(1)).map(|_| super::sqlite::open_reader(path)).collect::<Result<Vec<_>>>()?;
        Ok(Self(Pool::new(idle)))
    }

    /// Runs `work` on one snapshot: everything it reads is from the same committed state.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.0.lend(move |connection| work(&*connection.unchecked_transaction()?)).await
    }
}

/// A pool of read-only connections to the state of one context.
#[derive(Clone)]
pub(crate) enum Readers {
    Files(FileReaders),
    Postgres(Pooled),
}

/// Hides what is pooled: sessions for what takes several statements, and one for those that stand alone.
#[derive(Clone)]
pub(crate) struct Pooled(Pool<Keeper>, Arc<Asked>);

impl Readers {
    /// On this file.
    pub(super) fn of_file(path: &Path, count: usize) -> Result<Self> {
        Ok(Self::Files(FileReaders::open(path, count)?))
    }

    /// On this database; connections are made when they are first needed.
    pub(super) fn of_database(database: &Database, count: usize) -> Self {
        let idle = (0..count.max(1)).map(|_| Keeper::reader(database.clone())).collect();
        Self::Postgres(Pooled(Pool::new(idle), Arc::new(Asked::new(database.clone()))))
    }

    /// The answer to one statement, and what its snapshot has seen of the database; `None` on SQLite, which does not say. The statement's first column is never null.
    pub(crate) async fn rows_at(
        &self,
        sql: &'static str,
        params: &[&str],
    ) -> Result<(Vec<Row>, Option<Seen>)> {
        match self {
            Self::Files(files) => {
                let params: Vec<String> = params.iter().map(|&param| param.to_owned()).collect();
                let read = move |db: &Connection| {
                    let params: Vec<_> = params.iter().map(|param| Param::Text(param)).collect();
                    Sql::Files(db).rows(sql, &params)
                };
                Ok((files.0.lend(move |connection| read(connection)).await?, None))
            }
            Self::Postgres(pool) => {
                let params: Vec<_> = params.iter().copied().map(Param::Text).collect();
                let (rows, seen) = Box::pin(pool.1.rows_at(sql, &params)).await?;
                Ok((rows, Some(seen)))
            }
        }
    }

    /// As [`FileReaders::read`].
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Sql<'_>) -> Result<T> + Send + 'static,
    {
        match self {
            Self::Files(files) => files.read(move |connection| work(&Sql::Files(connection))).await,
            Self::Postgres(pool) => {
                let read = move |keeper: &mut Keeper| {
                    let session = keeper.begin(Mode::Read)?;
                    let answer = work(&Sql::Postgres(&session));
                    session.rollback();
                    answer
                };
                pool.0.lend(read).await
            }
        }
    }
}
