//! The same on PostgreSQL.
//!
//! The rules live in the database, in the functions of the schema `tidings` (install it with
//! `tidings_postgres::schema::install`, or from the program with `tidings outbox install`).
//!
//! ```no_run
//! # async fn change(pool: sqlx::PgPool, draft: tidings_core::Draft) -> Result<(), Box<dyn std::error::Error>> {
//! let mut tx = pool.begin().await?;
//! sqlx::query("UPDATE price SET cents = 1999 WHERE sku = 'SKU-1'").execute(&mut *tx).await?;
//! let recorded = tidings_sqlx::postgres::record(&mut tx, &draft).await?;
//! tx.commit().await?;
//! println!("published as version {}", recorded.stamp);
//! # Ok(())
//! # }
//! ```

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tidings_core::envelope::{Limits, check_draft};
use tidings_core::{Code, Data, Draft, Error, Result, Stamp, Time, Timeline, Version};

mod fault;

pub use fault::fault;

/// What became of a recorded event, if its transaction commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The version it was given: a token for reading one's own write.
    pub stamp: Stamp,
}

/// Records an event inside the caller's open transaction: it is published if, and only if, that commits. One round trip.
///
/// It takes the entity's row lock until the end of the transaction, so that versions follow the order of commits: two
/// transactions that record for the same entities in opposite order can deadlock, as with any rows. A transaction with
/// `synchronous_commit=off` is raised to `on`, because an event must not be published that can still un-happen.
///
/// Errors: [`Code::SETTING_INVALID`] outside a transaction of sqlx, where the event would not be bound to any state;
/// [`Code::VERSION_REGRESSED`] if the version does not follow the entity's last one; [`Code::NAME_INVALID`],
/// [`Code::ATTRIBUTE_INVALID`] and [`Code::OVERSIZED`] for what cannot be published; [`Code::OUTBOX_MISSING`],
/// [`Code::DATABASE_PRIVILEGE`]. PostgreSQL then aborts the whole transaction, unless it was refused before it was sent
/// or the caller set a savepoint.
pub async fn record(connection: &mut PgConnection, draft: &Draft) -> Result<Recorded> {
    if !connection.is_in_transaction() {
        let what = format!("{}: the event is not recorded in a transaction with its state", draft.entity);
        return Err(Error::new(Code::SETTING_INVALID, what));
    }
    // What no reader would take is refused before it is committed; the database has the word on versions.
    if draft.version != Some(Version::ZERO) {
        check_draft(draft, &Limits::default()).map_err(|e| e.at(&draft.entity))?;
    }
    insert(connection, draft).await.map_err(|e| fault(e).at(&draft.entity))
}

async fn insert(connection: &mut PgConnection, draft: &Draft) -> sqlx::Result<Recorded> {
    let time = |time: Option<Time>| time.map(|time| time.to_string());
    let version = draft.version.map(|v| i64::try_from(v.number()).unwrap_or(i64::MAX));
    let (json, body, content_type) = match &draft.data {
        Data::Empty => (None, None, None),
        Data::Json(text) => (Some(text.as_ref()), None, None),
        Data::Bytes { content_type, bytes } => (None, Some(bytes.as_ref()), Some(content_type.as_ref())),
    };
    let row = sqlx::query(include_str!("postgres/record.sql"))
        .bind(draft.kind.as_ref())
        .bind(draft.entity.as_str())
        .bind(json)
        .bind(version)
        .bind(time(draft.window.from))
        .bind(time(draft.window.until))
        .bind(draft.traceparent.as_deref())
        .bind(content_type)
        .bind(body)
        .fetch_one(connection)
        .await?;
    let timeline = u32::try_from(row.try_get::<i32, _>("new_timeline")?).unwrap_or_default();
    let version = u64::try_from(row.try_get::<i64, _>("new_version")?).ok().and_then(Version::new);
    Ok(Recorded { stamp: Stamp { timeline: Timeline(timeline), version: version.unwrap_or_default() } })
}
