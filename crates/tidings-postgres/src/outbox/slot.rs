//! The replication slot: looking it over, making it, replacing a lost one.

use std::time::Duration;

use tidings_core::{Code, Error, Result};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::control::Control;
use crate::fault::fault;

/// A slot that can be streamed from.
pub(super) struct Slot {
    /// What it has confirmed: it streams the transactions that ended later.
    pub(super) confirmed: u64,
    /// It was made just now: what was committed before has to be read from the table.
    pub(super) is_new: bool,
}

/// Finds the slot, or makes it. One that is somebody else's is left alone; one whose log is gone is replaced.
///
/// Errors: [`Code::SLOT_FOREIGN`], [`Code::SLOT_IN_USE`], [`Code::SLOTS_FULL`], [`Code::WAL_LEVEL`],
/// [`Code::DATABASE_PRIVILEGE`]; [`Code::BUSY`] if it cannot be made within `patience`.
pub(super) async fn ready(control: &Control, name: &str, patience: Duration) -> Result<Slot> {
    let sql = include_str!("../sql/slot.sql");
    let found = control.client().query_typed_opt(sql, &[(&name, Type::TEXT)]).await.map_err(fault)?;
    let Some(row) = found else { return make(control, name, patience).await };
    let (plugin, database): (String, Option<String>) = (row.get(0), row.get(1));
    if !row.get::<_, bool>(2) {
        let database = database.as_deref().unwrap_or("another kind");
        let what = format!("the slot {name:?} is of {database} with {plugin}");
        return Err(Error::new(Code::SLOT_FOREIGN, what));
    }
    if row.get(3) {
        return Err(Error::new(Code::SLOT_IN_USE, format!("the slot {name:?} is in use")));
    }
    match row.get::<_, Option<i64>>(4) {
        Some(confirmed) if !row.get::<_, bool>(5) => {
            Ok(Slot { confirmed: u64::try_from(confirmed).unwrap_or_default(), is_new: false })
        }
        _ => {
            let sql = "SELECT pg_drop_replication_slot($1)";
            control.client().query_typed(sql, &[(&name, Type::TEXT)]).await.map_err(fault)?;
            make(control, name, patience).await
        }
    }
}

/// Whether the stream that has just begun is one of the server that is asked here: an address can come to lead elsewhere
/// between two connections, and the places of one server mean nothing on another.
///
/// Errors: [`Code::DATABASE_UNREACHABLE`].
pub(super) async fn check_active(control: &Control, name: &str) -> Result<()> {
    let sql = include_str!("../sql/slot.sql");
    let found = control.client().query_typed_opt(sql, &[(&name, Type::TEXT)]).await.map_err(fault)?;
    if found.is_some_and(|row| row.get(3)) {
        return Ok(());
    }
    let what = format!(
        "the stream of the slot {name:?} ended at once, or is of another server than the address led to before"
    );
    Err(Error::new(Code::DATABASE_UNREACHABLE, what))
}

/// Waits until every transaction that is under way now has ended: only from there on can a slot stream.
/// The server itself keeps the time: had we just turned away, it would go on waiting, and keep slot and lease.
async fn make(control: &Control, name: &str, patience: Duration) -> Result<Slot> {
    // From PostgreSQL 17 on, standbys can keep a copy of the slot, so that it survives a failover.
    let failover = if control.version >= 170_000 { ", false, false, true" } else { "" };
    let sql = format!(
        "SELECT (lsn - '0/0'::pg_lsn)::bigint FROM pg_create_logical_replication_slot($1, 'pgoutput'{failover})"
    );
    let millis = patience.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
    let limit = format!("SET statement_timeout = {millis}");
    control.client().batch_execute(&limit).await.map_err(fault)?;
    let made = control.client().query_typed_one(&sql, &[(&name, Type::TEXT)]).await;
    control.client().batch_execute("RESET statement_timeout").await.map_err(fault)?;
    let row = match made {
        Err(e) if e.code() == Some(&SqlState::QUERY_CANCELED) => {
            return Err(held_up(control).await?.because(e));
        }
        made => made.map_err(fault)?,
    };
    Ok(Slot { confirmed: u64::try_from(row.get::<_, i64>(0)).unwrap_or_default(), is_new: true })
}

/// Who holds up the making of a slot.
async fn held_up(control: &Control) -> Result<Error> {
    let found =
        control.client().query_typed_opt(include_str!("../sql/holder.sql"), &[]).await.map_err(fault)?;
    let who: Option<(String, Option<String>)> = found.map(|row| (row.get(0), row.get(1)));
    let what = "the replication slot waits for transactions that began before it";
    let what = match who {
        Some((who, Some(since))) => format!("{what}; {who} has been open since {since}"),
        Some((who, None)) => format!("{what}; {who} has been open for longest"),
        None => what.to_owned(),
    };
    Ok(Error::new(Code::BUSY, what))
}
