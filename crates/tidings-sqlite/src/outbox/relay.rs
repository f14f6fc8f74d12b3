//! The relay's view of the outbox.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, params};
use tidings_core::port::{Boxed, Cursor, Outbox, Scan};
use tidings_core::{Code, Error, Result, Time};

use super::{check_version, row, schema_version, signed, unsigned};
use crate::clock::{Clock, system_clock};
use crate::fault::fault;
use crate::open::{self, Sync, wait_for_locks};
use crate::watch::Watch;
use crate::worker::Worker;

/// A scan stops after so many bytes of data, whatever its limit in rows.
const SCAN_BYTES: usize = 8 << 20;

/// An event that the relay could not publish and set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Its row.
    pub cursor: Cursor,
    /// When it was set aside.
    pub time: Time,
    /// The code of the reason, `TDnnnn`.
    pub code: String,
    /// The reason as one sentence.
    pub reason: String,
}

/// The outbox of one database file, read in commit order.
///
/// SQLite has one writer at a time and assigns `seq` under its lock, so that `seq` order *is* commit order: no row can
/// turn up behind the cursor. Reading and acknowledging share one connection, whose commits are not synced: what a
/// power failure forgets is only sent again. Any number of relays may read the same outbox; they send twice, no more.
#[derive(Debug)]
pub struct SqliteOutbox {
    worker: Worker,
    watch: Arc<Watch>,
    source: Arc<str>,
    clock: SharedClock,
    /// Up to where the last complete scan saw everything, and how many changes there had been when it began.
    seen: Mutex<Option<(Cursor, u64)>>,
}

impl SqliteOutbox {
    /// Opens the outbox of this database file; its events come from `source`, a URI reference such as `/pricing`.
    ///
    /// Errors: [`Code::OUTBOX_MISSING`] if it was never installed there, [`Code::STORE_TOO_NEW`].
    pub fn open(path: impl AsRef<Path>, source: &str) -> Result<Arc<Self>> {
        Self::open_with(path, source, system_clock())
    }

    /// As [`SqliteOutbox::open`], by the given clock. It must be the one that the events' times come from.
    pub fn open_with(path: impl AsRef<Path>, source: &str, clock: Clock) -> Result<Arc<Self>> {
        let path = path.as_ref();
        let connection = open::open(path, false, Sync::Normal)?;
        let version = schema_version(&connection).map_err(|e| e.at(path.display()))?;
        let Some(version) = version else {
            return Err(Error::new(Code::OUTBOX_MISSING, "this database has no outbox").at(path.display()));
        };
        check_version(version).map_err(|e| e.at(path.display()))?;
        let watch = Arc::new(Watch::default());
        let worker = Worker::spawn("tidings-outbox", connection, watch.clone())?;
        Ok(Arc::new(Self {
            worker,
            watch,
            source: source.into(),
            clock: SharedClock(clock),
            seen: Mutex::default(),
        }))
    }

    /// Tells a waiting relay at once that this process committed. Without it the relay finds out by itself, within
    /// 20 ms after a quiet while.
    pub fn wake(&self) {
        self.watch.wake();
    }

    /// Events that were set aside, in commit order, at most `limit`.
    pub async fn parked(&self, limit: usize) -> Result<Vec<Parked>> {
        self.worker.call(move |connection| parked(connection, limit).map_err(fault)).await
    }

    /// Removes acknowledged rows recorded more than `keep` ago, in small transactions so that no writer waits long,
    /// and returns how many. Parked rows and the last version of every entity stay.
    pub async fn prune(&self, keep: Duration) -> Result<u64> {
        let cutoff = (self.clock.0)().minus(keep);
        let (mut after, mut removed) = (0, 0);
        loop {
            let window =
                self.worker.call(move |connection| prune(connection, after, cutoff).map_err(fault)).await?;
            let Some((last, count)) = window else { return Ok(removed) };
            after = last;
            removed += count;
        }
    }
}

impl Outbox for SqliteOutbox {
    fn scan(&self, after: Cursor, limit: usize) -> Boxed<'_, Result<Scan>> {
        Box::pin(async move {
            let (changes, time) = (self.watch.changes(), (self.clock.0)());
            let source = self.source.clone();
            let scan = self
                .worker
                .call(move |connection| scan(connection, &source, after, limit, time).map_err(fault))
                .await?;
            if scan.complete {
                let last = scan.rows.last().map_or(after, |row| row.cursor);
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((last, changes));
            }
            Ok(scan)
        })
    }

    fn acknowledged(&self) -> Boxed<'_, Result<Cursor>> {
        Box::pin(self.worker.call(|connection| {
            let sql = "SELECT value FROM tidings_meta WHERE name = 'acknowledged'";
            connection.query_row(sql, [], |row| row.get(0)).map(|seq| Cursor(unsigned(seq))).map_err(fault)
        }))
    }

    fn acknowledge(&self, cursor: Cursor) -> Boxed<'_, Result<()>> {
        Box::pin(self.worker.call(move |connection| {
            let sql = "UPDATE tidings_meta SET value = ?1 WHERE name = 'acknowledged' AND value < ?1";
            // Reading and marking must not wait behind a lock that another process holds; the relay asks again.
            connection.busy_handler(None).map_err(fault)?;
            let done =
                connection.prepare_cached(sql).and_then(|mut update| update.execute([signed(cursor.0)]));
            wait_for_locks(connection).map_err(fault)?;
            done.map(drop).map_err(fault)
        }))
    }

    fn park<'a>(&'a self, cursor: Cursor, reason: &'a Error) -> Boxed<'a, Result<()>> {
        let (code, reason, time) = (reason.code().id(), reason.to_string(), (self.clock.0)());
        Box::pin(self.worker.call(move |connection| {
            let sql =
                "INSERT OR REPLACE INTO tidings_parked (seq, time, code, reason) VALUES (?1, ?2, ?3, ?4)";
            let values = params![signed(cursor.0), time.micros(), code, reason];
            connection.execute(sql, values).map(drop).map_err(fault)
        }))
    }

    fn wait(&self, after: Cursor, at_most: Duration) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            // No need to ask the database while nothing has changed since everything was seen.
            let ready = || {
                let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                let idle =
                    seen.is_some_and(|(last, changes)| last <= after && changes == self.watch.changes());
                std::future::ready(Ok(!idle))
            };
            let waiting = self.watch.until(|| self.worker.nudge(), ready);
            tokio::time::timeout(at_most, waiting).await.unwrap_or(Ok(()))
        })
    }
}

fn scan(
    connection: &Connection,
    source: &Arc<str>,
    after: Cursor,
    limit: usize,
    time: Time,
) -> rusqlite::Result<Scan> {
    let mut select = connection.prepare_cached(include_str!("scan.sql"))?;
    let mut found = select.query(params![signed(after.0), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while bytes < SCAN_BYTES {
        let Some(row) = found.next()? else {
            let complete = rows.len() < limit;
            return Ok(Scan { rows, complete, time });
        };
        let (pending, size) = row::pending(row, source)?;
        rows.push(pending);
        bytes += size;
    }
    Ok(Scan { rows, complete: false, time })
}

fn parked(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<Parked>> {
    let sql = "SELECT seq, time, code, reason FROM tidings_parked ORDER BY seq LIMIT ?1";
    let mut select = connection.prepare(sql)?;
    let rows = select.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(Parked {
            cursor: Cursor(unsigned(row.get(0)?)),
            time: Time::from_micros(row.get(1)?),
            code: row.get(2)?,
            reason: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// Prunes one window of rows after `after`; `None` once a window holds nothing old.
fn prune(connection: &mut Connection, after: i64, cutoff: Time) -> rusqlite::Result<Option<(i64, u64)>> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let window =
        tx.prepare_cached(include_str!("prune.sql"))?.query_row(params![after, cutoff.micros()], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
        })?;
    let (Some(last), Some(1..)) = window else { return Ok(None) };
    let sql = "DELETE FROM tidings_outbox WHERE seq > ?1 AND seq <= ?2 AND time < ?3
               AND seq NOT IN (SELECT seq FROM tidings_parked)";
    let removed = tx.prepare_cached(sql)?.execute(params![after, last, cutoff.micros()])?;
    tx.commit()?;
    Ok(Some((last, removed as u64)))
}

/// A clock that can be inside a type with `Debug`.
struct SharedClock(Clock);

impl std::fmt::Debug for SharedClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
