//! The contexts on PostgreSQL: a database for each.
//!
//! The code of a context is the same on both engines, and so it waits for each statement: on the thread that has the
//! session, which also serves it. A statement that is not answered in time breaks its session.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use tidings_core::{Code, Draft, Error, Result, Stamp};
use tidings_postgres::{Address, fault, record};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, IsolationLevel, Statement, Transaction};

use super::value::{Cells, Param, Row, Table, Value};

/// How long connecting, and any statement, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a statement may take that makes a database, or fills it: on a slow disk that is more than any other does.
const PATIENCE_TO_MAKE: Duration = Duration::from_secs(60);
/// How long the session that wrote before has for its end.
const HAND_OVER: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(20);

/// A database, and who asks.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) address: Address,
    pub(super) application: String,
}

impl Database {
    pub(super) async fn connect(&self) -> Result<Client> {
        // What a transaction holds is let go of, should this process stop in the middle of it.
        let options = "-c idle_in_transaction_session_timeout=10000";
        self.address.connect(&self.application, options).await
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// One snapshot for all that is read.
    Read,
    /// A writer's.
    Write,
}

/// A session as the server knows it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    process: i32,
    began: String,
}

/// One session, and what serves it while somebody waits on it.
pub(super) struct Link {
    runtime: Served,
    client: Client,
    prepared: RefCell<HashMap<&'static str, Statement>>,
    broken: Cell<bool>,
    place: String,
}

/// Ends without waiting: it may be dropped where nobody may wait.
struct Served {
    runtime: Option<Runtime>,
    patience: Cell<Duration>,
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Served {
    fn new() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let failed = |e| Error::new(Code::OVERLOADED, "no runtime for a session").because(e);
        Ok(Self { runtime: Some(runtime.map_err(failed)?), patience: Cell::new(PATIENCE) })
    }

    /// Waits for it, but not for ever.
    fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let patience = self.patience.get();
        let late = || Error::new(Code::DATABASE_UNREACHABLE, format!("no answer after {patience:?}"));
        let runtime = self.runtime.as_ref().ok_or_else(late)?;
        let future = Box::pin(future);
        runtime
            .block_on(async { tokio::time::timeout(patience, future).await })
            .unwrap_or_else(|_| Err(late()))
    }

    /// Takes in what the server has said meanwhile.
    fn listen(&self) {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(async {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            });
        }
    }
}

impl Link {
    pub(super) fn open(database: &Database) -> Result<Self> {
        let runtime = Served::new()?;
        let client = runtime.wait(database.connect())?;
        let place = database.to_string();
        Ok(Self { runtime, client, prepared: RefCell::default(), broken: Cell::new(false), place })
    }

    /// Whether it was not seen to be lost.
    pub(super) fn is_alive(&self) -> bool {
        self.runtime.listen();
        !self.broken.get() && !self.client.is_closed()
    }

    /// Whether what is made now may take its time.
    pub(super) fn making(&self, is_making: bool) {
        self.runtime.patience.set(if is_making { PATIENCE_TO_MAKE } else { PATIENCE });
    }

    pub(super) fn begin(&mut self, mode: Mode) -> Result<Session<'_>> {
        let Self { runtime, client, prepared, broken, place } = self;
        let begin = client.build_transaction();
        let begin = match mode {
            Mode::Read => begin.isolation_level(IsolationLevel::RepeatableRead).read_only(true),
            Mode::Write => begin.isolation_level(IsolationLevel::ReadCommitted),
        };
        let transaction = runtime.wait(async { begin.start().await.map_err(fault) });
        let transaction = transaction.map_err(|e| failed(e, broken, place))?;
        Ok(Session { runtime, transaction, prepared, broken, place, failed: Cell::new(false) })
    }

    /// Runs what needs no transaction of ours.
    pub(super) fn set_up(&mut self, work: impl AsyncFnOnce(&mut Client) -> Result<()>) -> Result<()> {
        let done = self.runtime.wait(work(&mut self.client));
        done.map_err(|e| failed(e, &self.broken, &self.place))
    }

    /// Takes the lock of the one who writes under this number, for as long as this session lasts: a command may read first
    /// and write then. A former session of the same one is ended, since what it was about to commit may be under way still.
    pub(super) fn write_alone(&self, lane: i32, former: Option<Peer>) -> Result<Peer> {
        let taken = self.runtime.wait(async {
            if let Some(Peer { process, began }) = former {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                           WHERE pid = $1 AND backend_start::text = $2";
                self.client.query(end, &[&process, &began]).await.map_err(fault)?;
            }
            let from = Instant::now();
            let lock = "SELECT pg_try_advisory_lock(hashtext('retail.writer'), $1)";
            while !self.client.query_one(lock, &[&lane]).await.map_err(fault)?.get::<_, bool>(0) {
                if from.elapsed() > HAND_OVER {
                    return Err(Error::new(Code::STORE_LOCKED, "another process writes to this database"));
                }
                tokio::time::sleep(STEP).await;
            }
            let own = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
            let own = self.client.query_one(own, &[]).await.map_err(fault)?;
            Ok(Peer { process: own.get(0), began: own.get(1) })
        });
        taken.map_err(|e| failed(e, &self.broken, &self.place))
    }
}

/// One transaction.
pub(crate) struct Session<'a> {
    runtime: &'a Served,
    transaction: Transaction<'a>,
    prepared: &'a RefCell<HashMap<&'static str, Statement>>,
    broken: &'a Cell<bool>,
    place: &'a str,
    /// Whether a statement has failed: the server then takes a commit for a rollback, and calls it done.
    failed: Cell<bool>,
}

impl Session<'_> {
    pub(super) fn execute(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64> {
        let statement = self.prepare(sql)?;
        self.wait(self.transaction.execute(&statement, &given(params)))
    }

    pub(super) fn rows(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        let statement = self.prepare(sql)?;
        let rows = self.wait(self.transaction.query(&statement, &given(params)))?;
        rows.iter().map(read).collect()
    }

    pub(super) fn batch(&self, sql: &str) -> Result<()> {
        self.wait(self.transaction.batch_execute(sql))
    }

    /// A table at once, instead of row by row.
    pub(super) fn insert(&self, table: &Table<'_>) -> Result<()> {
        let (mut names, mut arrays) = (Vec::new(), Vec::new());
        let mut params: Vec<&(dyn ToSql + Sync)> = Vec::new();
        for (number, (name, cells)) in table.columns.iter().enumerate() {
            names.push(*name);
            let (array, param): (_, &(dyn ToSql + Sync)) = match cells {
                Cells::Int(cells) => ("bigint[]", cells),
                Cells::Text(cells) => ("text[]", cells),
            };
            arrays.push(format!("${}::{array}", number + 1));
            params.push(param);
        }
        let (names, arrays) = (names.join(", "), arrays.join(", "));
        let sql = format!("INSERT INTO {} ({names}) SELECT * FROM unnest({arrays})", table.name);
        self.wait(self.transaction.execute(&sql, &params)).map(drop)
    }

    pub(super) fn record(&self, draft: &Draft) -> Result<Stamp> {
        let recorded = self.runtime.wait(record(&self.transaction, draft));
        recorded.map(|recorded| recorded.stamp).map_err(|e| self.fail(e))
    }

    /// Fails also if the outcome is not known.
    pub(super) fn commit(self) -> Result<()> {
        if self.failed.get() {
            return Err(Error::new(Code::DEFECT, "a statement failed, and its command went on"));
        }
        let Self { runtime, transaction, broken, place, .. } = self;
        let committed = runtime.wait(async { transaction.commit().await.map_err(fault) });
        committed.map_err(|e| failed(e, broken, place))
    }

    pub(super) fn rollback(self) {
        let Self { runtime, transaction, broken, place, .. } = self;
        if let Err(error) = runtime.wait(async { transaction.rollback().await.map_err(fault) }) {
            // Whatever it was, this session is not one to go on with.
            let _ = failed(error, broken, place);
            broken.set(true);
        }
    }

    fn prepare(&self, sql: &'static str) -> Result<Statement> {
        if let Some(known) = self.prepared.borrow().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.wait(self.transaction.prepare(sql))?;
        self.prepared.borrow_mut().insert(sql, statement.clone());
        Ok(statement)
    }

    fn wait<T>(&self, future: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
        self.runtime.wait(async { future.await.map_err(fault) }).map_err(|e| self.fail(e))
    }

    fn fail(&self, error: Error) -> Error {
        self.failed.set(true);
        failed(error, self.broken, self.place)
    }
}

/// A session that is lost, or that leads to a server that no longer serves, is not used again.
fn failed(error: Error, broken: &Cell<bool>, place: &str) -> Error {
    if breaks(&error) {
        broken.set(true);
    }
    error.at(place)
}

pub(super) fn breaks(error: &Error) -> bool {
    matches!(error.code(), Code::DATABASE_UNREACHABLE | Code::DATABASE_STANDBY | Code::STORE_LOCKED)
}

pub(super) fn given<'a>(params: &'a [Param<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    let param = |param: &'a Param<'a>| match param {
        Param::Int(number) => number as &(dyn ToSql + Sync),
        Param::Text(text) => text,
    };
    params.iter().map(param).collect()
}

fn read(row: &tokio_postgres::Row) -> Result<Row> {
    read_columns(row, row.len())
}

pub(super) fn read_columns(row: &tokio_postgres::Row, columns: usize) -> Result<Row> {
    let value = |index: usize| {
        Ok(match *row.columns()[index].type_() {
            Type::INT8 => {
                row.try_get::<_, Option<i64>>(index).map_err(fault)?.map_or(Value::Null, Value::Int)
            }
            Type::TEXT => {
                row.try_get::<_, Option<String>>(index).map_err(fault)?.map_or(Value::Null, Value::Text)
            }
            ref other => return Err(Error::new(Code::DEFECT, format!("a column of the type {other}"))),
        })
    };
    (0..columns).map(value).collect::<Result<_>>().map(Row)
}
