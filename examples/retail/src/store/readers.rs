//! Reading on one snapshot, from a file or from a database.

use std::path::Path;

use rusqlite::Connection;

use super::Sql;
use super::keeper::Keeper;
use super::pool::Pool;
use super::postgres::{Database, Mode};
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

/// Hides what is pooled.
#[derive(Clone)]
pub(crate) struct Pooled(Pool<Keeper>);

impl Readers {
    /// On this file.
    pub(super) fn of_file(path: &Path, count: usize) -> Result<Self> {
        Ok(Self::Files(FileReaders::open(path, count)?))
    }

    /// On this database; connections are made when they are first needed.
    pub(super) fn of_database(database: &Database, count: usize) -> Self {
        let idle = (0..count.max(1)).map(|_| Keeper::reader(database.clone())).collect();
        Self::Postgres(Pooled(Pool::new(idle)))
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
