//! Records Tidings events inside an `sqlx` transaction: on SQLite with [`record`], on PostgreSQL with
//! [`postgres::record`].
//!
//! On SQLite the rules live in the database itself, in the trigger behind the view `tidings_publish` (install it with
//! `tidings_sqlite::outbox::install`, or run that crate's `outbox/schema.sql` as a migration). This crate only writes
//! to it, so that a service built on `sqlx` needs no second SQLite library.
//!
//! ```no_run
//! # async fn change(pool: sqlx::SqlitePool, draft: tidings_core::Draft) -> Result<(), Box<dyn std::error::Error>> {
//! let mut tx = pool.begin().await?;
//! sqlx::query("UPDATE price SET cents = 1999 WHERE sku = 'SKU-1'").execute(&mut *tx).await?;
//! let recorded = tidings_sqlx::record(&mut tx, &draft).await?;
//! tx.commit().await?;
//! println!("published as version {}", recorded.stamp);
//! # Ok(())
//! # }
//! ```

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use tidings_core::envelope::{Limits, check_draft};
use tidings_core::port::Cursor;
use tidings_core::{Code, Data, Draft, Error, Result, Stamp, Time, Timeline, Version};

mod fault;
pub mod postgres;

pub use fault::fault;

/// What became of a recorded event, if its transaction commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The version it was given: a token for reading one's own write.
    pub stamp: Stamp,
    /// Its place in the outbox.
    pub cursor: Cursor,
}

/// Records an event inside the caller's open transaction: it is published if, and only if, that commits.
///
/// Note that sqlx leaves `synchronous` as SQLite has it (FULL) unless told otherwise; anything less is refused.
///
/// Errors: [`Code::SETTING_INVALID`] outside a transaction, where the event would not be bound to any state;
/// [`Code::NOT_DURABLE`] if a commit of this connection can un-happen; [`Code::OUTBOX_MISSING`];
/// [`Code::VERSION_REGRESSED`] if the version does not follow the entity's last one; [`Code::NAME_INVALID`],
/// [`Code::ATTRIBUTE_INVALID`] and [`Code::OVERSIZED`] for what cannot be published. Nothing is recorded then, and the
/// transaction stays open.
pub async fn record(connection: &mut SqliteConnection, draft: &Draft) -> Result<Recorded> {
    if !connection.is_in_transaction() {
        let what = format!("{}: the event is not recorded in a transaction with its state", draft.entity);
        return Err(Error::new(Code::SETTING_INVALID, what));
    }
    // What no reader would take is refused before it is committed; the trigger has the word on versions.
    if draft.version != Some(Version::ZERO) {
        check_draft(draft, &Limits::default()).map_err(|e| e.at(&draft.entity))?;
    }
    insert(connection, draft).await.map_err(|e| fault(e).at(&draft.entity))
}

async fn insert(connection: &mut SqliteConnection, draft: &Draft) -> sqlx::Result<Recorded> {
    let micros = |time: Option<Time>| time.map(Time::micros);
    let version = draft.version.map(|v| i64::try_from(v.number()).unwrap_or(i64::MAX));
    let (text, bytes, content_type) = match &draft.data {
        Data::Empty => (None, None, None),
        Data::Json(text) => (Some(text.as_ref()), None, None),
        Data::Bytes { content_type, bytes } => (None, Some(bytes.as_ref()), Some(content_type.as_ref())),
    };
    let insert = sqlx::query(include_str!("record.sql"))
        .bind(draft.kind.as_ref())
        .bind(draft.entity.as_str())
        .bind(version);
    let insert = if bytes.is_some() { insert.bind(bytes) } else { insert.bind(text) };
    insert
        .bind(micros(draft.window.from))
        .bind(micros(draft.window.until))
        .bind(draft.traceparent.as_deref())
        .bind(content_type)
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query(include_str!("recorded.sql")).fetch_one(connection).await?;
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let version = Version::new(number(row.try_get("version")?)).unwrap_or_default();
    let timeline = Timeline(row.try_get("timeline")?);
    Ok(Recorded { stamp: Stamp { timeline, version }, cursor: Cursor(number(row.try_get("seq")?)) })
}
