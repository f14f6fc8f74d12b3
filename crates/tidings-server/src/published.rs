//! The outbox of events that were handed in with `tidings publish`: for services that have no database of their own
//! beside which an event could be recorded.
//!
//! It is the ordinary outbox in a file of its own, and beside it what a foreign event brings along: its id, its source
//! and its extension attributes. Its events go to the topic [`TOPIC`], never to that of a context that has an outbox:
//! a mark in a topic is one source's word, and two sources in it would vouch for each other.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tidings_core::envelope::{self, Limits};
use tidings_core::port::{Boxed, Cursor, Outbox, Pending, Scan};
use tidings_core::{Code, DraftEvent, Entity, Error, Event, Result, Stamp, Time, Timeline, Version};
use tidings_sqlite::{SqliteOutbox, fault, outbox};

use crate::data_dir::DataDir;

/// Where its events go, and the name of its consumer in `dev`.
pub(crate) const TOPIC: &str = "published";
/// What an event's source is unless it says so itself.
const SOURCE: &str = "/publish";
/// Its file.
pub(crate) const FILE: &str = "publish.db";

/// The side that records.
pub(crate) struct Publisher {
    connection: Connection,
}

impl Publisher {
    /// Opens the outbox of this directory, or installs it.
    pub(crate) fn open(dir: &DataDir) -> Result<Self> {
        Self::open_file(dir).map_err(|error| dir.check_writable().err().unwrap_or(error))
    }

    fn open_file(dir: &DataDir) -> Result<Self> {
        let path = dir.file(FILE);
        let connection = open(&path)?;
        outbox::install(&connection).map_err(|e| e.at(path.display()))?;
        connection.execute_batch(include_str!("published.sql")).map_err(|e| fault(e).at(path.display()))?;
        Ok(Self { connection })
    }

    /// Begins a batch: what is recorded until [`Publisher::commit`] becomes durable together.
    pub(crate) fn begin(&self) -> Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(fault)
    }

    /// Makes the batch durable; if that fails, nothing of it is.
    pub(crate) fn commit(&self) -> Result<()> {
        self.connection.execute_batch("COMMIT").map_err(|e| {
            self.roll_back();
            fault(e)
        })
    }

    /// Drops the batch.
    pub(crate) fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            // It is rolled back anyway when the connection closes.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Records one event in the batch. An event that is refused leaves nothing, and the batch goes on.
    pub(crate) fn record(&self, event: &DraftEvent) -> Result<Stamp> {
        self.connection.execute_batch("SAVEPOINT one").map_err(fault)?;
        let recorded = self.record_one(event);
        // A full disk may have rolled the whole batch back, and the savepoint with it.
        if !self.connection.is_autocommit() {
            let end = if recorded.is_ok() { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" };
            self.connection.execute_batch(end).map_err(fault)?;
        }
        recorded
    }

    fn record_one(&self, event: &DraftEvent) -> Result<Stamp> {
        let source = event.source.as_deref().unwrap_or(SOURCE);
        self.refuse_repeated(source, event)?;
        if event.timeline.is_some_and(|timeline| timeline != Timeline(0)) {
            let what = "only a source itself can begin a timeline; leave it out";
            return Err(Error::new(Code::ATTRIBUTE_INVALID, what));
        }
        let recorded = match event.time {
            Some(time) => outbox::record_at(&self.connection, &event.draft, time),
            None => outbox::record(&self.connection, &event.draft),
        };
        let recorded =
            recorded.map_err(|e| self.name_last_version(e, &event.draft.entity, event.draft.version))?;
        let sql = "SELECT id, time FROM tidings_outbox WHERE seq = ?1";
        let assigned = self.connection.query_row(sql, [signed(recorded.cursor.0)], |row| {
            Ok((row.get::<_, String>(0)?, Time::from_micros(row.get(1)?)))
        });
        let (id, time) = assigned.map_err(fault)?;
        let id = event.id.clone().unwrap_or_else(|| id.into());
        envelope::check(&whole(event, id.clone(), source, recorded.stamp, time), &Limits::default())?;
        let extensions =
            if event.extensions.is_empty() { None } else { Some(crate::out::to_json(&event.extensions)?) };
        let sql = "INSERT INTO published (seq, id, source, schema, extensions) VALUES (?1, ?2, ?3, ?4, ?5)";
        let row = params![signed(recorded.cursor.0), id, source, event.schema, extensions];
        self.connection.execute(sql, row).map_err(fault)?;
        Ok(recorded.stamp)
    }

    fn refuse_repeated(&self, source: &str, event: &DraftEvent) -> Result<()> {
        let Some(id) = &event.id else { return Ok(()) };
        let sql = "SELECT version FROM published LEFT JOIN tidings_outbox USING (seq) WHERE source = ?1 AND published.id = ?2";
        let known: Option<Option<i64>> = self
            .connection
            .query_row(sql, params![source, id], |row| row.get(0))
            .optional()
            .map_err(fault)?;
        match known {
            None => Ok(()),
            Some(version) => {
                let version = version
                    .map_or_else(String::new, |v| format!(", as version {v} of {}", event.draft.entity));
                let what = format!("the event {id} of {source} has been published before{version}");
                Err(Error::new(Code::VERSION_REGRESSED, what))
            }
        }
    }

    fn name_last_version(&self, error: Error, entity: &Entity, given: Option<Version>) -> Error {
        if error.code() != Code::VERSION_REGRESSED {
            return error;
        }
        let sql = "SELECT version FROM tidings_entity WHERE entity = ?1";
        let last: rusqlite::Result<i64> = self.connection.query_row(sql, [entity.as_str()], |row| row.get(0));
        match (last, given) {
            (Ok(last), Some(given)) => {
                let what = format!("version {given} of {entity} does not follow {last}, the last one");
                Error::new(Code::VERSION_REGRESSED, what)
            }
            _ => error,
        }
    }
}

fn open(path: &Path) -> Result<Connection> {
    let set_up = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    set_up().map_err(|e| fault(e).at(path.display()))
}

fn whole(event: &DraftEvent, id: Arc<str>, source: &str, stamp: Stamp, time: Time) -> Event {
    let draft = event.draft.clone();
    Event {
        id,
        source: source.into(),
        kind: draft.kind,
        entity: draft.entity,
        stamp,
        time,
        window: draft.window,
        traceparent: draft.traceparent,
        schema: event.schema.clone(),
        extensions: event.extensions.clone(),
        data: draft.data,
    }
}

/// The relay's side: the ordinary outbox, whose events get back what they brought along.
pub(crate) struct PublishedOutbox {
    rows: Arc<SqliteOutbox>,
    brought: Arc<Mutex<Connection>>,
}

struct Brought {
    id: Arc<str>,
    source: Arc<str>,
    schema: Option<Box<str>>,
    extensions: Vec<(Box<str>, Box<str>)>,
}

impl PublishedOutbox {
    /// Opens the outbox of this directory, or installs it.
    pub(crate) fn open(dir: &DataDir) -> Result<Arc<Self>> {
        let publisher = Publisher::open(dir)?;
        let rows = SqliteOutbox::open(dir.file(FILE), SOURCE)?;
        Ok(Arc::new(Self { rows, brought: Arc::new(Mutex::new(publisher.connection)) }))
    }

    async fn complete(&self, mut scan: Scan) -> Result<Scan> {
        if scan.rows.is_empty() {
            return Ok(scan);
        }
        let brought = self.brought.clone();
        let work = move || {
            let connection = brought.lock().unwrap_or_else(PoisonError::into_inner);
            for row in &mut scan.rows {
                complete(&connection, row).map_err(fault)?;
            }
            Ok(scan)
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|e| Err(Error::new(Code::DEFECT, "reading published events panicked").because(e)))
    }
}

fn complete(connection: &Connection, row: &mut Pending) -> rusqlite::Result<()> {
    let Ok(event) = &mut row.event else { return Ok(()) };
    let mut select =
        connection.prepare_cached("SELECT id, source, schema, extensions FROM published WHERE seq = ?1")?;
    let brought = select.query_row([signed(row.cursor.0)], |row| {
        let extensions: Option<String> = row.get(3)?;
        let extensions = extensions.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Ok(Brought { id: row.get(0)?, source: row.get(1)?, schema: row.get(2)?, extensions })
    });
    // A row without it was inserted past `tidings publish`, which any SQL client may do.
    if let Some(Brought { id, source, schema, extensions }) = brought.optional()? {
        *event = Arc::new(Event { id, source, schema, extensions, ..Event::clone(event) });
    }
    Ok(())
}

impl Outbox for PublishedOutbox {
    fn scan(&self, after: Cursor, limit: usize) -> Boxed<'_, Result<Scan>> {
        Box::pin(async move { self.complete(self.rows.scan(after, limit).await?).await })
    }

    fn acknowledged(&self) -> Boxed<'_, Result<Cursor>> {
        self.rows.acknowledged()
    }

    fn acknowledge(&self, cursor: Cursor) -> Boxed<'_, Result<()>> {
        self.rows.acknowledge(cursor)
    }

    fn park<'a>(&'a self, cursor: Cursor, reason: &'a Error) -> Boxed<'a, Result<()>> {
        self.rows.park(cursor, reason)
    }

    fn wait(&self, after: Cursor, at_most: Duration) -> Boxed<'_, Result<()>> {
        self.rows.wait(after, at_most)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
