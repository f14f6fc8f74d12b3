//! The replication slot: looking it over, making it, replacing a lost one.

use tidings_core::{Code, Error, Result};
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
/// [`Code::DATABASE_PRIVILEGE`].
pub(super) async fn ready(control: &Control, name: &str) -> Result<Slot> {
    let sql = include_str!("../sql/slot.sql");
    let found = control.client().query_typed_opt(sql, &[(&name, Type::TEXT)]).await.map_err(fault)?;
    let Some(row) = found else { return make(control, name).await };
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
            make(control, name).await
        }
    }
}

/// Waits until every transaction that is under way now has ended: only from there on can a slot stream.
async fn make(control: &Control, name: &str) -> Result<Slot> {
    // From PostgreSQL 17 on, standbys can keep a copy of the slot, so that it survives a failover.
    let failover = if control.version >= 170_000 { ", false, false, true" } else { "" };
    let sql = format!(
        "SELECT (lsn - '0/0'::pg_lsn)::bigint FROM pg_create_logical_replication_slot($1, 'pgoutput'{failover})"
    );
    let row = control.client().query_typed_one(&sql, &[(&name, Type::TEXT)]).await.map_err(fault)?;
    Ok(Slot { confirmed: u64::try_from(row.get::<_, i64>(0)).unwrap_or_default(), is_new: true })
}
