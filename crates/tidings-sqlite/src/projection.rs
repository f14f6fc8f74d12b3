//! A read model in SQLite that knows how far it has come, and what it is missing.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tidings_core::error::Kind;
use tidings_core::port::{Batch, Boxed, Store};
use tidings_core::{Code, Error, Event, Offset, Partition, Position, Result, Time, Topic};
use tokio::sync::Notify;

use crate::fault::fault;
use crate::open::{self, Sync};
use crate::watch::Watch;
use crate::worker::Worker;

mod missing;
mod repair;

use missing::Missing;
pub use repair::Gap;

/// The version of the position tables that this program writes and understands.
const FORMAT: i64 = 1;

/// Changes the read model by one event. Events come again and out of order, so it must compare versions, for example
/// by `INSERT ... ON CONFLICT DO UPDATE ... WHERE excluded.version > version`. Its failure undoes the whole batch; if the
/// event is at fault, its consumer then parks that event alone.
pub type Apply = Box<dyn Fn(&Transaction<'_>, &Event) -> Result<()> + Send + std::marker::Sync>;

/// Tables of the user's own, kept up to date by events. Each batch of events and the position after it are one durable
/// transaction, so neither is ever ahead of the other. Several may share a file.
pub struct SqliteProjection {
    worker: Worker,
    name: Arc<str>,
    apply: Arc<Apply>,
    saved: Arc<Mutex<Saved>>,
    /// Told of every gap.
    opened: Arc<Notify>,
}

/// What is in the position tables.
#[derive(Debug, Default)]
struct Saved {
    epoch: u64,
    partitions: BTreeMap<Partition, Progress>,
    missing: Missing,
    /// The partitions that its consumer follows now; not saved.
    followed: Vec<Partition>,
}

/// How far one partition has come: the next offset, and the source's time of the newest mark.
type Progress = (Offset, Option<Time>);

impl SqliteProjection {
    /// Opens the projection of this name in this database file, creating the file if it is new. `schema_sql` runs each
    /// time, in one transaction: write it with `IF NOT EXISTS`.
    ///
    /// Errors: [`Code::STORE_TOO_NEW`], [`Code::STORE_CORRUPT`], [`Code::READ_ONLY`], [`Code::FILE_UNREADABLE`]; and
    /// [`Code::DEFECT`] if SQLite does not take `schema_sql`.
    pub fn open(path: impl AsRef<Path>, name: &str, schema_sql: &str, apply: Apply) -> Result<Arc<Self>> {
        let path = path.as_ref();
        tidings_core::name::check("projection name", name)?;
        // What a power failure forgets is in the log, and the position goes with it.
        let mut connection = open::open(path, true, Sync::Normal)?;
        open::use_wal(path, &connection)?;
        prepare(&mut connection, name, schema_sql).map_err(|e| e.at(path.display()))?;
        let saved = load(&connection, name).map_err(|e| e.at(path.display()))?;
        let worker = Worker::spawn("tidings-projection", connection, Arc::new(Watch::default()))?;
        let saved = Arc::new(Mutex::new(saved));
        Ok(Arc::new(Self {
            worker,
            name: name.into(),
            apply: Arc::new(apply),
            saved,
            opened: Arc::default(),
        }))
    }

    /// The offset of the next record to apply, to resume from; `None` before the first batch of this partition.
    #[must_use]
    pub fn position(&self, partition: &Partition) -> Option<Offset> {
        lock(&self.saved).partitions.get(partition).map(|(next, _)| *next)
    }

    /// The source time as of which its rows are complete. `None` while any partition that is followed has met no mark.
    /// It does not pass an event that is missing here: one that was parked and neither redriven nor superseded, or, after
    /// a gap, whatever was in it, until that is [repaired](Self::repair).
    #[must_use]
    pub fn caught_up(&self) -> Option<Time> {
        let saved = lock(&self.saved);
        let followed =
            saved.followed.iter().map(|partition| saved.partitions.get(partition).and_then(|p| p.1));
        let seen = saved.partitions.values().map(|(_, time)| *time);
        let times: Option<Vec<Time>> = followed.chain(seen).collect();
        times?.into_iter().chain(saved.missing.since()).min()
    }

    /// The entities whose newest event is missing here, by kind and id.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        lock(&self.saved).missing.entities()
    }

    /// How many epochs were opened: how often something was missed.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        lock(&self.saved).epoch
    }
}

impl Store for SqliteProjection {
    fn begin<'a>(&'a self, _consumer: &'a str, partitions: &'a [Partition]) -> Boxed<'a, Result<()>> {
        lock(&self.saved).followed = partitions.to_vec();
        Box::pin(std::future::ready(Ok(())))
    }

    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>> {
        let (events, parked) = (batch.events.to_vec(), batch.parked.to_vec());
        let (next, caught_up) = (batch.next.clone(), batch.caught_up);
        let (apply, name, saved) = (self.apply.clone(), self.name.clone(), self.saved.clone());
        Box::pin(self.worker.call(move |connection| {
            let mut missing = lock(&saved).missing.clone();
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
            for event in &events {
                apply_safely(&apply, &tx, event)?;
                missing.found(&tx, &name, event).map_err(fault)?;
            }
            for event in &parked {
                missing.add(&tx, &name, event).map_err(fault)?;
            }
            let progress = save(&tx, &name, &next, caught_up).map_err(fault)?;
            tx.commit().map_err(fault)?;
            let mut saved = lock(&saved);
            saved.partitions.insert(next.partition, progress);
            saved.missing = missing;
            Ok(())
        }))
    }

    fn open_epoch<'a>(&'a self, why: &'a str) -> Boxed<'a, Result<()>> {
        let (why, name) = (why.to_owned(), self.name.clone());
        let (saved, opened) = (self.saved.clone(), self.opened.clone());
        let until = self.caught_up();
        Box::pin(self.worker.call(move |connection| {
            let mut missing = lock(&saved).missing.clone();
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
            let sql = "UPDATE tidings_projection SET epoch = epoch + 1, epoch_why = ?2 WHERE name = ?1
                       RETURNING epoch";
            let epoch = tx.query_row(sql, params![name, why], |row| row.get(0)).map_err(fault)?;
            missing.add_gap(&tx, &name, until).map_err(fault)?;
            tx.commit().map_err(fault)?;
            let mut saved = lock(&saved);
            saved.epoch = unsigned(epoch);
            saved.missing = missing;
            drop(saved);
            opened.notify_waiters();
            Ok(())
        }))
    }
}

impl fmt::Debug for SqliteProjection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteProjection").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A projection that panics, or breaks its own tables' rules, has failed on this event and on no other.
fn apply_safely(apply: &Apply, tx: &Transaction<'_>, event: &Event) -> Result<()> {
    let what =
        || format!("the projection cannot take {} {} version {}", event.kind, event.entity, event.stamp);
    match catch_unwind(AssertUnwindSafe(|| apply(tx, event))) {
        Ok(Err(error)) if error.kind() == Kind::Fatal => {
            Err(Error::new(Code::DATA_UNREADABLE, what()).because(error))
        }
        Ok(result) => result,
        Err(_) => Err(Error::new(Code::DATA_UNREADABLE, what()).because("it panicked")),
    }
}

/// Creates what is missing, and refuses what a newer version wrote.
fn prepare(connection: &mut Connection, name: &str, schema_sql: &str) -> Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
    tx.execute_batch(include_str!("projection/schema.sql")).map_err(fault)?;
    let sql = "SELECT format FROM tidings_projection WHERE name = ?1";
    let format: Option<i64> = tx.query_row(sql, [name], |row| row.get(0)).optional().map_err(fault)?;
    match format {
        Some(format) if format > FORMAT => {
            let what = format!("the projection {name} has format {format}; this program knows {FORMAT}");
            return Err(Error::new(Code::STORE_TOO_NEW, what));
        }
        Some(_) => {}
        None => {
            let sql = "INSERT INTO tidings_projection (name, format) VALUES (?1, ?2)";
            tx.execute(sql, params![name, FORMAT]).map_err(fault)?;
        }
    }
    tx.execute_batch(schema_sql).map_err(fault)?;
    tx.commit().map_err(fault)
}

fn load(connection: &Connection, name: &str) -> Result<Saved> {
    let sql = "SELECT epoch FROM tidings_projection WHERE name = ?1";
    let epoch = connection.query_row(sql, [name], |row| row.get(0)).map_err(fault)?;
    let sql = "SELECT topic, part, next, caught_up FROM tidings_projection_position WHERE name = ?1";
    let mut select = connection.prepare(sql).map_err(fault)?;
    let rows = select.query_map([name], |row| {
        let progress: Progress =
            (Offset(unsigned(row.get(2)?)), row.get::<_, Option<i64>>(3)?.map(Time::from_micros));
        Ok((row.get::<_, String>(0)?, row.get(1)?, progress))
    });
    let mut partitions = BTreeMap::new();
    for row in rows.map_err(fault)? {
        let (topic, index, progress) = row.map_err(fault)?;
        partitions.insert(Partition { topic: Topic::new(&topic)?, index }, progress);
    }
    let missing = Missing::load(connection, name).map_err(fault)?;
    Ok(Saved { epoch: unsigned(epoch), partitions, missing, followed: Vec::new() })
}

/// Saves the position beside the rows, and returns what is saved now.
fn save(
    tx: &Transaction<'_>,
    name: &str,
    next: &Position,
    caught_up: Option<Time>,
) -> rusqlite::Result<Progress> {
    let partition = &next.partition;
    let offset = i64::try_from(next.offset.0).unwrap_or(i64::MAX);
    let values =
        params![name, partition.topic.as_str(), partition.index, offset, caught_up.map(Time::micros)];
    tx.prepare_cached(include_str!("projection/save.sql"))?.execute(values)?;
    let sql = "SELECT next, caught_up FROM tidings_projection_position WHERE name = ?1 AND topic = ?2 AND part = ?3";
    tx.prepare_cached(sql)?.query_row(params![name, partition.topic.as_str(), partition.index], |row| {
        Ok((Offset(unsigned(row.get(0)?)), row.get::<_, Option<i64>>(1)?.map(Time::from_micros)))
    })
}

/// The lock guards plain values, whole at every moment: a panic elsewhere does not spoil them.
fn lock(saved: &Mutex<Saved>) -> std::sync::MutexGuard<'_, Saved> {
    saved.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
