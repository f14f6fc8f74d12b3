//! Recording an event beside the change it tells of.

use tidings_core::envelope::{Limits, check_draft};
use tidings_core::{Data, Draft, Result, Stamp, Time, Timeline, Version};
use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use crate::fault::fault;

/// What became of a recorded event, if its transaction commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The version it was given: a token for reading one's own write.
    pub stamp: Stamp,
}

/// Records an event inside the caller's transaction: it is published if, and only if, that commits. One round trip.
///
/// It takes the entity's row lock until the end of the transaction, so that versions follow the order of commits: two
/// transactions that record for the same entities in opposite order can deadlock, as with any rows. A transaction with
/// `synchronous_commit=off` is raised to `on`, because an event must not be published that can still un-happen.
///
/// Errors: [`Code::VERSION_REGRESSED`] if the version does not follow the entity's last one; [`Code::NAME_INVALID`],
/// [`Code::ATTRIBUTE_INVALID`] and [`Code::OVERSIZED`] for what cannot be published; [`Code::OUTBOX_MISSING`],
/// [`Code::DATABASE_PRIVILEGE`]. PostgreSQL then aborts the whole transaction, unless it was refused before it was sent
/// or the caller set a savepoint.
///
/// [`Code::VERSION_REGRESSED`]: tidings_core::Code::VERSION_REGRESSED
/// [`Code::NAME_INVALID`]: tidings_core::Code::NAME_INVALID
/// [`Code::ATTRIBUTE_INVALID`]: tidings_core::Code::ATTRIBUTE_INVALID
/// [`Code::OVERSIZED`]: tidings_core::Code::OVERSIZED
/// [`Code::OUTBOX_MISSING`]: tidings_core::Code::OUTBOX_MISSING
/// [`Code::DATABASE_PRIVILEGE`]: tidings_core::Code::DATABASE_PRIVILEGE
pub async fn record(transaction: &Transaction<'_>, draft: &Draft) -> Result<Recorded> {
    // What no reader would take is refused before it is committed; the database has the word on versions.
    if draft.version != Some(Version::ZERO) {
        check_draft(draft, &Limits::default()).map_err(|e| e.at(&draft.entity))?;
    }
    insert(transaction, draft).await.map_err(|e| fault(e).at(&draft.entity))
}

async fn insert(
    transaction: &Transaction<'_>,
    draft: &Draft,
) -> std::result::Result<Recorded, tokio_postgres::Error> {
    let time = |time: Option<Time>| time.map(|time| time.to_string());
    let version = draft.version.map(|v| i64::try_from(v.number()).unwrap_or(i64::MAX));
    let (json, body, content_type) = match &draft.data {
        Data::Empty => (None, None, None),
        Data::Json(text) => (Some(text.as_ref()), None, None),
        Data::Bytes { content_type, bytes } => (None, Some(bytes.as_ref()), Some(content_type.as_ref())),
    };
    let (from, until) = (time(draft.window.from), time(draft.window.until));
    let parameters: [(&(dyn ToSql + Sync), Type); 9] = [
        (&&*draft.kind, Type::TEXT),
        (&draft.entity.as_str(), Type::TEXT),
        (&json, Type::TEXT),
        (&version, Type::INT8),
        (&from, Type::TEXT),
        (&until, Type::TEXT),
        (&draft.traceparent.as_deref(), Type::TEXT),
        (&content_type, Type::TEXT),
        (&body, Type::BYTEA),
    ];
    let row = transaction.query_typed_one(include_str!("sql/record.sql"), &parameters).await?;
    let timeline = u32::try_from(row.get::<_, i32>(0)).unwrap_or_default();
    let version = u64::try_from(row.get::<_, i64>(1)).ok().and_then(Version::new).unwrap_or_default();
    Ok(Recorded { stamp: Stamp { timeline: Timeline(timeline), version } })
}
