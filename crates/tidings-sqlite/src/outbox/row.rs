//! One row of the outbox as an event.

use std::sync::Arc;

use rusqlite::Row;
use rusqlite::types::ValueRef;
use tidings_core::port::{Cursor, Pending};
use tidings_core::{Code, Data, Entity, Error, Event, Result, Stamp, Time, Timeline, Version, Window};

use super::unsigned;

/// Reads a row of `scan.sql`. Only a failure of SQLite itself is an error: a row that is not an event (written past
/// the trigger, or damaged) is told apart, so that the relay can set it aside and go on. Also says its size in bytes.
pub(super) fn pending(row: &Row<'_>, source: &Arc<str>) -> rusqlite::Result<(Pending, usize)> {
    let cursor = Cursor(unsigned(row.get(0)?));
    let bytes = match row.get_ref(12)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        _ => 0,
    };
    let event = event(row, source).map(Arc::new);
    let event = event.map_err(|e| Arc::new(e.at(format_args!("outbox row {}", cursor.0))));
    Ok((Pending { cursor, event }, bytes))
}

fn event(row: &Row<'_>, source: &Arc<str>) -> Result<Event> {
    let version = column::<i64>(row, 6)?;
    let version = u64::try_from(version).ok().and_then(Version::new).filter(|v| *v > Version::ZERO);
    let version = version.ok_or_else(|| invalid(row, 6))?;
    let timeline = u32::try_from(column::<i64>(row, 5)?).map_err(|_| invalid(row, 5))?;
    let kind = column::<Arc<str>>(row, 2)?;
    tidings_core::name::check("event type", &kind)?;
    let time = |index| Ok::<_, Error>(column::<Option<i64>>(row, index)?.map(Time::from_micros));
    Ok(Event {
        id: column(row, 1)?,
        source: source.clone(),
        kind,
        entity: Entity::new(&column::<String>(row, 3)?, &column::<String>(row, 4)?)?,
        stamp: Stamp { timeline: Timeline(timeline), version },
        time: Time::from_micros(column(row, 7)?),
        window: Window { from: time(8)?, until: time(9)? },
        traceparent: column::<Option<Box<str>>>(row, 10)?,
        schema: None,
        extensions: Vec::new(),
        data: data(row)?,
    })
}

fn data(row: &Row<'_>) -> Result<Data> {
    let content_type = column::<Option<Box<str>>>(row, 11)?;
    let is_json = content_type.as_deref().is_none_or(|t| t == "application/json");
    let bytes = match row.get_ref(12) {
        Ok(ValueRef::Null) => return Ok(Data::Empty),
        Ok(ValueRef::Text(text)) if is_json => {
            let text = std::str::from_utf8(text).map_err(|e| invalid(row, 12).because(e))?;
            return Ok(Data::Json(text.into()));
        }
        Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => bytes,
        _ => return Err(invalid(row, 12)),
    };
    let content_type = content_type.unwrap_or_else(|| "application/octet-stream".into());
    Ok(Data::Bytes { content_type, bytes: bytes.into() })
}

fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, index: usize) -> Result<T> {
    row.get(index).map_err(|e| invalid(row, index).because(e))
}

fn invalid(row: &Row<'_>, index: usize) -> Error {
    let name = row.as_ref().column_name(index).unwrap_or("?");
    Error::new(Code::ATTRIBUTE_INVALID, format!("the column {name} has no usable value"))
}
