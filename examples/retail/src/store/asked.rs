//! One session with a database, which everybody asks at once: statements go out as they come, each on a snapshot of its
//! own, and the answers come back in that order. None waits for another's round trip.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidings_core::shared::{AsOf, Seen};
use tidings_core::{Code, Error, Result, Timeline};
use tidings_postgres::fault;
use tokio::time::timeout;
use tokio_postgres::{Client, Statement};

use super::keeper::Tries;
use super::postgres::{Database, PATIENCE, breaks, given, read_columns};
use super::value::{Param, Row, Value};

/// At most one session at a time; another is begun when it is lost.
pub(super) struct Asked {
    database: Database,
    session: tokio::sync::Mutex<(Option<Arc<Open>>, Tries)>,
}

struct Open {
    client: Client,
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

impl Asked {
    pub(super) fn new(database: Database) -> Self {
        Self { database, session: tokio::sync::Mutex::new((None, Tries::new())) }
    }

    /// The answer to one statement whose first column is never null, and what its snapshot has seen, as events give their
    /// positions.
    pub(super) async fn rows_at(&self, sql: &'static str, params: &[Param<'_>]) -> Result<(Vec<Row>, Seen)> {
        let open = self.open().await?;
        let answer = timeout(PATIENCE, open.rows_at(sql, params)).await.unwrap_or_else(|_| Err(late()));
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if breaks(&error) {
                    self.session.lock().await.0.take_if(|held| Arc::ptr_eq(held, &open));
                }
                Err(error.at(&self.database))
            }
        }
    }

    async fn open(&self) -> Result<Arc<Open>> {
        let (held, tries) = &mut *self.session.lock().await;
        if let Some(open) = held.as_ref().filter(|open| !open.client.is_closed()) {
            return Ok(open.clone());
        }
        tries.check(&self.database)?;
        let connected = timeout(PATIENCE, self.database.connect()).await.unwrap_or_else(|_| Err(late()));
        tries.note(connected.is_ok());
        let open = Arc::new(Open { client: connected?, prepared: Mutex::default() });
        *held = Some(open.clone());
        Ok(open)
    }
}

impl Open {
    async fn rows_at(&self, sql: &'static str, params: &[Param<'_>]) -> Result<(Vec<Row>, Seen)> {
        let statement = self.prepare(sql).await?;
        let rows = self.client.query(&statement, &given(params)).await.map_err(fault)?;
        let first = rows.first().ok_or_else(|| Error::new(Code::DEFECT, "no position beside an answer"))?;
        let columns = first.len().saturating_sub(3);
        let seen = seen(first, columns);
        let is_found =
            |row: &Result<Row>| !matches!(row, Ok(Row(cells)) if cells.first() == Some(&Value::Null));
        let found = rows.iter().map(|row| read_columns(row, columns)).filter(is_found);
        Ok((found.collect::<Result<_>>()?, seen))
    }

    async fn prepare(&self, sql: &'static str) -> Result<Statement> {
        let known = self.prepared().get(sql).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        // The function is stable: it goes by the snapshot of the statement that it stands in.
        let placed = format!(
            "SELECT found.*, at.timeline, at.place, at.newest
             FROM tidings.as_of() at LEFT JOIN ({sql}) found ON true"
        );
        let statement = self.client.prepare(&placed).await.map_err(fault)?;
        self.prepared().insert(sql, statement.clone());
        Ok(statement)
    }

    fn prepared(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A timeline and two positions, from this column on. What cannot be told is the oldest there is.
fn seen(row: &tokio_postgres::Row, column: usize) -> Seen {
    let timeline = row.try_get::<_, i32>(column).ok().and_then(|timeline| u32::try_from(timeline).ok());
    let at = |column| row.try_get::<_, i64>(column).ok().and_then(|at| u64::try_from(at).ok());
    let (Some(timeline), Some(least), Some(most)) = (timeline, at(column + 1), at(column + 2)) else {
        return Seen::default();
    };
    let at = |at| AsOf { timeline: Timeline(timeline), at };
    Seen { least: at(least), most: at(most) }
}

fn late() -> Error {
    Error::new(Code::DATABASE_UNREACHABLE, format!("no answer after {PATIENCE:?}"))
}
