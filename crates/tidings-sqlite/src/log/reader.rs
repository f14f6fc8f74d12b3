//! Reading: records in order without holes, or the word that there is a gap.

use rusqlite::{Connection, Row, params};
use tidings_core::envelope::Limits;
use tidings_core::port::{Read, ReadLimit, Stored};
use tidings_core::{Offset, Partition, Position, Time};

use super::codec;
use super::extent::{self, Extent};

/// Reads forward from a position, in one snapshot.
pub(super) fn read(
    connection: &mut Connection,
    from: &Position,
    limit: ReadLimit,
    limits: &Limits,
) -> rusqlite::Result<Read> {
    let snapshot = connection.transaction()?;
    let extent = extent::find(&snapshot, &from.partition)?.unwrap_or_default();
    let wanted = from.offset.0;
    if wanted < extent.earliest || wanted > extent.head {
        return Ok(Read::Gap { resume: Offset(extent.earliest) });
    }
    if wanted == extent.head || limit.records == 0 {
        return Ok(Read::Records(Vec::new()));
    }
    let sql = "SELECT place, kind, body FROM record WHERE place >= ?1 AND place < ?2 ORDER BY place";
    let mut select = snapshot.prepare_cached(sql)?;
    let mut rows = select.query(params![extent.place(wanted), extent.place(extent.head)])?;
    let (mut records, mut bytes, mut next) = (Vec::new(), 0, wanted);
    while records.len() < limit.records && (records.is_empty() || bytes < limit.bytes) {
        let Some(row) = rows.next()? else { break };
        let offset = Extent::offset(row.get(0)?);
        // Cannot be, unless the file was changed by hand: still a gap, never a silent skip.
        if offset != next {
            return Ok(hole(records, offset));
        }
        bytes += row.get_ref(2)?.as_bytes().map_or(0, <[u8]>::len);
        records.push(stored(row, &from.partition, offset, limits));
        next += 1;
    }
    if records.is_empty() { Ok(hole(records, extent.head)) } else { Ok(Read::Records(records)) }
}

/// What was read before a hole; at the hole itself, the gap.
fn hole(records: Vec<Stored>, resume: u64) -> Read {
    if records.is_empty() { Read::Gap { resume: Offset(resume) } } else { Read::Records(records) }
}

fn stored(row: &Row<'_>, partition: &Partition, offset: u64, limits: &Limits) -> Stored {
    let body = row.get_ref(2).ok().and_then(|value| value.as_blob().ok()).unwrap_or_default();
    let kind = row.get(1).unwrap_or(-1);
    let place = format_args!("{partition}@{offset}");
    Stored { offset: Offset(offset), record: codec::decode(kind, body, limits, &place) }
}

/// Whether any position is not at its head: there is a record, or a gap to be told.
pub(super) fn any_to_read(connection: &Connection, positions: &[Position]) -> rusqlite::Result<bool> {
    for position in positions {
        let extent = extent::find(connection, &position.partition)?.unwrap_or_default();
        if extent.head != position.offset.0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first offset appended at or after `time`: append times never fall within a partition, so halving finds it.
pub(super) fn offset_at(
    connection: &mut Connection,
    partition: &Partition,
    time: Time,
) -> rusqlite::Result<Offset> {
    let snapshot = connection.transaction()?;
    let extent = extent::find(&snapshot, partition)?.unwrap_or_default();
    let sql = "SELECT appended FROM record WHERE place >= ?1 ORDER BY place LIMIT 1";
    let mut select = snapshot.prepare_cached(sql)?;
    let (mut low, mut high) = (extent.earliest, extent.head);
    while low < high {
        let middle = low.midpoint(high);
        let appended: i64 = select.query_row([extent.place(middle)], |row| row.get(0))?;
        if appended < time.micros() { low = middle + 1 } else { high = middle }
    }
    Ok(Offset(low))
}
