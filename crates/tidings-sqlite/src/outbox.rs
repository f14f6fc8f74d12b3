//! The outbox: events that commit with the state they tell of.
//!
//! It is installed into the service's own database file ([`install`]) and written in the service's own transaction:
//! from Rust with [`record`], from any language by inserting into the view `tidings_publish` (the comment at the top of
//! `outbox/schema.sql` shows how). Both go through one trigger, so its rules hold for everybody: the names are checked,
//! the version is assigned or checked under the write lock, and a connection whose commits can un-happen is refused.

use rusqlite::{Connection, OptionalExtension, params};
use tidings_core::envelope::{Limits, check_draft};
use tidings_core::port::Cursor;
use tidings_core::{Code, Data, Draft, Error, Result, Stamp, Time, Timeline, Version};

use crate::clock;
use crate::fault::fault;

mod relay;
mod row;

pub use relay::{Parked, SqliteOutbox};

/// The version of the schema that this program writes and understands.
const SCHEMA: i64 = 1;

/// What became of a recorded event, if its transaction commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The version it was given: a token for reading one's own write.
    pub stamp: Stamp,
    /// Its place in the outbox.
    pub cursor: Cursor,
}

/// Installs the outbox in this database, or does nothing if it is there. All or nothing; inside a transaction of the
/// caller it becomes part of that.
///
/// Errors: [`Code::STORE_TOO_NEW`] if a newer version installed it.
pub fn install(connection: &Connection) -> Result<()> {
    let (begin, end) = if connection.is_autocommit() {
        ("BEGIN IMMEDIATE", "COMMIT")
    } else {
        ("SAVEPOINT tidings_install", "RELEASE tidings_install")
    };
    connection.execute_batch(begin).map_err(fault)?;
    let done = match schema_version(connection) {
        Ok(Some(version)) => check_version(version),
        Ok(None) => connection.execute_batch(include_str!("outbox/schema.sql")).map_err(fault),
        Err(e) => Err(e),
    };
    let done = done.and_then(|()| connection.execute_batch(end).map_err(fault));
    if done.is_err() {
        let undo =
            if end == "COMMIT" { "ROLLBACK" } else { "ROLLBACK TO tidings_install; RELEASE tidings_install" };
        // The first failure is the one to tell; SQLite may have rolled back by itself.
        let _ = connection.execute_batch(undo);
    }
    done
}

/// Records an event inside the caller's open transaction: it is published if, and only if, that commits.
///
/// Errors: [`Code::SETTING_INVALID`] outside a transaction, where the event would not be bound to any state;
/// [`Code::NOT_DURABLE`] if a commit of this connection can un-happen; [`Code::VERSION_REGRESSED`] if the version does
/// not follow the entity's last one; [`Code::NAME_INVALID`], [`Code::ATTRIBUTE_INVALID`] and [`Code::OVERSIZED`] for
/// what cannot be published. Nothing is recorded then, and the transaction stays open.
pub fn record(connection: &Connection, draft: &Draft) -> Result<Recorded> {
    record_at(connection, draft, clock::now())
}

/// As [`record`], with the source's time told by the caller.
pub fn record_at(connection: &Connection, draft: &Draft, time: Time) -> Result<Recorded> {
    if connection.is_autocommit() {
        let what = format!("{}: the event is not recorded in a transaction with its state", draft.entity);
        return Err(Error::new(Code::SETTING_INVALID, what));
    }
    check_durable(connection)?;
    // What no reader would take is refused before it is committed; the trigger has the word on versions.
    if draft.version != Some(Version::ZERO) {
        check_draft(draft, &Limits::default()).map_err(|e| e.at(&draft.entity))?;
    }
    insert(connection, draft, time).map_err(|e| fault(e).at(&draft.entity))
}

/// Starts a new timeline (after a restore from a backup, say, in which versions may be issued again): events recorded
/// from now on outrank all earlier ones. A lower or equal timeline changes nothing.
pub fn begin_timeline(connection: &Connection, timeline: Timeline) -> Result<()> {
    connection
        .execute("UPDATE tidings_meta SET value = max(value, ?1) WHERE name = 'timeline'", [timeline.0])
        .map(drop)
        .map_err(fault)
}

/// `synchronous` is compiled into the statement when it is prepared, so that one must not be cached.
fn check_durable(connection: &Connection) -> Result<()> {
    let level: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).map_err(fault)?;
    let mut journal = connection.prepare_cached("PRAGMA journal_mode").map_err(fault)?;
    let journal: String = journal.query_row([], |row| row.get(0)).map_err(fault)?;
    if level >= 2 && journal != "off" && journal != "memory" {
        return Ok(());
    }
    let what =
        format!("with synchronous={level} and journal_mode={journal} a commit can be lost after it returned");
    Err(Error::new(Code::NOT_DURABLE, what))
}

fn insert(connection: &Connection, draft: &Draft, time: Time) -> rusqlite::Result<Recorded> {
    let mut insert = connection.prepare_cached(include_str!("outbox/record.sql"))?;
    let micros = |time: Option<Time>| time.map(Time::micros);
    let version = draft.version.map(|version| signed(version.number()));
    let (text, bytes, content_type) = match &draft.data {
        Data::Empty => (None, None, None),
        Data::Json(text) => (Some(text), None, None),
        Data::Bytes { content_type, bytes } => (None, Some(bytes), Some(content_type)),
    };
    let data: &dyn rusqlite::ToSql = if bytes.is_some() { &bytes } else { &text };
    insert.execute(params![
        draft.kind,
        draft.entity.as_str(),
        version,
        data,
        micros(draft.window.from),
        micros(draft.window.until),
        draft.traceparent,
        content_type,
        time.micros(),
    ])?;
    let mut recorded = connection.prepare_cached(include_str!("outbox/recorded.sql"))?;
    recorded.query_row([], |row| {
        let version = Version::new(unsigned(row.get(2)?)).unwrap_or_default();
        Ok(Recorded {
            stamp: Stamp { timeline: Timeline(row.get(1)?), version },
            cursor: Cursor(unsigned(row.get(0)?)),
        })
    })
}

/// The installed version of the schema; `None` if there is no outbox here.
fn schema_version(connection: &Connection) -> Result<Option<i64>> {
    let there: bool = connection
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'tidings_meta')", [], |row| {
            row.get(0)
        })
        .map_err(fault)?;
    if !there {
        return Ok(None);
    }
    connection
        .query_row("SELECT value FROM tidings_meta WHERE name = 'outbox_schema'", [], |row| row.get(0))
        .optional()
        .map_err(fault)
}

fn check_version(version: i64) -> Result<()> {
    if version <= SCHEMA {
        return Ok(());
    }
    let what = format!("this database has version {version} of the outbox; this program knows {SCHEMA}");
    Err(Error::new(Code::STORE_TOO_NEW, what))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
