//! Removing what is too old or too much.

use rusqlite::{Connection, params};
use tidings_core::Time;
use tidings_core::port::Retention;

use super::extent::{self, Extent, signed, unsigned};

/// Records removed in one transaction: few enough that appends do not notice.
const AT_ONCE: u64 = 2000;

/// Removes a first part of what the retention does not keep and returns how many records; 0 once nothing is left to
/// remove. A partition is kept within the limits by itself.
pub(super) fn retain(connection: &Connection, retention: Retention, now: Time) -> rusqlite::Result<u64> {
    let cutoff = retention.age.map(|age| now.minus(age).micros());
    for mut extent in extents(connection)? {
        let excess = retention.bytes.map_or(0, |limit| extent.bytes.saturating_sub(limit));
        let (until, bytes) = first_kept(connection, &extent, cutoff, excess)?;
        if until == extent.earliest {
            continue;
        }
        let places = params![extent.place(extent.earliest), extent.place(until)];
        connection.prepare_cached("DELETE FROM record WHERE place >= ?1 AND place < ?2")?.execute(places)?;
        let removed = until - extent.earliest;
        extent.earliest = until;
        extent.bytes = extent.bytes.saturating_sub(bytes);
        extent::save(connection, &extent)?;
        return Ok(removed);
    }
    Ok(0)
}

/// The offset of the oldest record to keep (as far as one transaction goes), and the bytes before it.
fn first_kept(
    connection: &Connection,
    extent: &Extent,
    cutoff: Option<i64>,
    excess: u64,
) -> rusqlite::Result<(u64, u64)> {
    let sql =
        "SELECT appended, length(body) FROM record WHERE place >= ?1 AND place < ?2 ORDER BY place LIMIT ?3";
    let mut select = connection.prepare_cached(sql)?;
    let places = params![extent.place(extent.earliest), extent.place(extent.head), signed(AT_ONCE)];
    let mut rows = select.query(places)?;
    let (mut until, mut bytes) = (extent.earliest, 0);
    while let Some(row) = rows.next()? {
        let is_old = cutoff.is_some_and(|cutoff| row.get(0).is_ok_and(|appended: i64| appended < cutoff));
        if !is_old && bytes >= excess {
            break;
        }
        bytes += unsigned(row.get(1)?);
        until += 1;
    }
    Ok((until, bytes))
}

fn extents(connection: &Connection) -> rusqlite::Result<Vec<Extent>> {
    let sql = "SELECT id, earliest, head, latest, bytes FROM partition WHERE head > earliest";
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map([], |row| {
        Ok(Extent {
            id: row.get(0)?,
            earliest: unsigned(row.get(1)?),
            head: unsigned(row.get(2)?),
            latest: row.get(3)?,
            bytes: unsigned(row.get(4)?),
        })
    })?;
    rows.collect()
}
