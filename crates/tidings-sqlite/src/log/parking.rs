//! Events that a consumer has set aside.

use std::sync::Arc;

use rusqlite::{Connection, params};
use tidings_core::envelope::{Limits, decode_json, encode_json};
use tidings_core::port::{Boxed, Parked, Parking};
use tidings_core::{Code, Error, Offset, Partition, Position, Result};

use super::SqliteLog;
use super::extent::{signed, stored_topic, unsigned};
use crate::fault::fault;

/// A parked event as its row.
pub(super) struct Row {
    position: Position,
    event: Vec<u8>,
    code: &'static str,
    what: String,
}

impl From<&Parked> for Row {
    fn from(parked: &Parked) -> Self {
        let mut event = Vec::new();
        encode_json(&parked.event, &mut event);
        let (code, what) = (parked.reason.code().id(), parked.reason.what());
        Self { position: parked.position.clone(), event, code, what }
    }
}

impl Row {
    pub(super) fn bytes(&self) -> usize {
        self.event.len() + self.what.len()
    }
}

impl Parking for SqliteLog {
    fn park<'a>(&'a self, group: &'a str, parked: &'a [Parked]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            tidings_core::name::check("group", group)?;
            self.writer.park(group.to_owned(), parked.iter().map(Row::from).collect()).await
        })
    }

    fn parked<'a>(&'a self, group: &'a str, limit: usize) -> Boxed<'a, Result<(Vec<Parked>, u64)>> {
        let (group, limits) = (group.to_owned(), self.limits);
        Box::pin(self.reader().call(move |c| list(c, &group, limit, &limits)))
    }
}

impl SqliteLog {
    /// How many events each group has set aside, by group; groups without any are left out.
    pub async fn parked_counts(&self) -> Result<Vec<(String, u64)>> {
        self.reader().call(|c| counts(c).map_err(fault)).await
    }
}

/// Parks rows; one that is parked already stays as it is.
pub(super) fn park(connection: &Connection, group: &str, rows: &[Row], now: i64) -> rusqlite::Result<u64> {
    let mut insert = connection.prepare_cached(include_str!("park.sql"))?;
    for Row { position, event, code, what } in rows {
        let Position { partition, offset } = position;
        let place = (partition.topic.as_str(), partition.index, signed(offset.0));
        insert.execute(params![group, place.0, place.1, place.2, now, event, code, what])?;
    }
    Ok(0)
}

fn list(connection: &Connection, group: &str, limit: usize, limits: &Limits) -> Result<(Vec<Parked>, u64)> {
    let sql = "SELECT count(*) FROM parked WHERE consumers = ?1";
    let total: i64 = connection.query_row(sql, [group], |row| row.get(0)).map_err(fault)?;
    let sql = "SELECT topic, part, offset, event, code, what FROM parked WHERE consumers = ?1
               ORDER BY parked, topic, part, offset LIMIT ?2";
    let mut select = connection.prepare_cached(sql).map_err(fault)?;
    let mut rows = select.query(params![group, i64::try_from(limit).unwrap_or(i64::MAX)]).map_err(fault)?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        listed.push(parked(row, limits)?);
    }
    Ok((listed, unsigned(total)))
}

fn parked(row: &rusqlite::Row<'_>, limits: &Limits) -> Result<Parked> {
    let topic: String = row.get(0).map_err(fault)?;
    let partition = Partition { topic: stored_topic(&topic)?, index: row.get(1).map_err(fault)? };
    let position = Position { partition, offset: Offset(unsigned(row.get(2).map_err(fault)?)) };
    let event: Vec<u8> = row.get(3).map_err(fault)?;
    let event = decode_json(&event, limits).map_err(|cause| {
        Error::new(Code::STORE_CORRUPT, format!("the event parked from {position} is damaged")).because(cause)
    })?;
    let (code, what): (String, String) = (row.get(4).map_err(fault)?, row.get(5).map_err(fault)?);
    // A code that only a newer program knows still has its words.
    let code = Code::ALL.iter().find(|known| known.id() == code).copied().unwrap_or(Code::DATA_UNREADABLE);
    Ok(Parked { position, event: Arc::new(event), reason: Error::new(code, what) })
}

fn counts(connection: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    let sql = "SELECT consumers, count(*) FROM parked GROUP BY consumers ORDER BY consumers";
    let mut select = connection.prepare(sql)?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
    rows.collect()
}
