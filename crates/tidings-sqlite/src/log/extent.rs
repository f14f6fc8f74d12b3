//! What partitions there are, how far they reach, and who has read how much.

use rusqlite::{Connection, OptionalExtension, params};
use tidings_core::{Code, Error, Offset, Partition, Position, Result, Topic};

use crate::fault::fault;

/// Offsets take the lower 40 bits of a record's place: a trillion records in a partition.
const OFFSET_BITS: u32 = 40;

/// Where a partition begins and ends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) id: i64,
    pub(super) earliest: u64,
    pub(super) head: u64,
    /// When the newest record was appended, in microseconds.
    pub(super) latest: i64,
    /// Bytes of the bodies of its records.
    pub(super) bytes: u64,
}

impl Extent {
    /// The key of the record at this offset.
    pub(super) fn place(&self, offset: u64) -> i64 {
        (self.id << OFFSET_BITS) | signed(offset)
    }

    /// The offset of the record with this key.
    pub(super) fn offset(place: i64) -> u64 {
        unsigned(place & ((1 << OFFSET_BITS) - 1))
    }
}

/// The extent of a partition; `None` if it does not exist (yet).
pub(super) fn find(connection: &Connection, partition: &Partition) -> rusqlite::Result<Option<Extent>> {
    let mut select = connection.prepare_cached(include_str!("partition.sql"))?;
    let found = select.query_row(params![partition.topic.as_str(), partition.index], |row| {
        Ok(Extent {
            id: row.get(0)?,
            earliest: unsigned(row.get(1)?),
            head: unsigned(row.get(2)?),
            latest: row.get(3)?,
            bytes: unsigned(row.get(4)?),
        })
    });
    found.optional()
}

/// Writes an extent back.
pub(super) fn save(connection: &Connection, extent: &Extent) -> rusqlite::Result<()> {
    let sql = "UPDATE partition SET earliest = ?2, head = ?3, latest = ?4, bytes = ?5 WHERE id = ?1";
    let (earliest, head, bytes) = (signed(extent.earliest), signed(extent.head), signed(extent.bytes));
    let mut update = connection.prepare_cached(sql)?;
    update.execute(params![extent.id, earliest, head, extent.latest, bytes]).map(drop)
}

/// How many partitions a topic has; `None` if it does not exist (yet).
pub(super) fn partitions(connection: &Connection, topic: &Topic) -> rusqlite::Result<Option<u32>> {
    let mut select = connection.prepare_cached("SELECT partitions FROM topic WHERE name = ?1")?;
    select.query_row([topic.as_str()], |row| row.get(0)).optional()
}

/// Creates a topic unless it is there, and returns how many partitions it has.
pub(super) fn create(connection: &Connection, topic: &Topic, count: u32) -> rusqlite::Result<u32> {
    if let Some(count) = partitions(connection, topic)? {
        return Ok(count);
    }
    let insert = "INSERT INTO topic (name, partitions) VALUES (?1, ?2)";
    connection.execute(insert, params![topic.as_str(), count])?;
    let id = connection.last_insert_rowid();
    connection.execute(include_str!("create.sql"), params![id, count])?;
    Ok(count)
}

pub(super) fn topics(connection: &Connection) -> Result<Vec<(Topic, u32)>> {
    let mut select = connection.prepare("SELECT name, partitions FROM topic ORDER BY name").map_err(fault)?;
    let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?))).map_err(fault)?;
    rows.map(|row| row.map_err(fault).and_then(|(name, count)| Ok((stored_topic(&name)?, count)))).collect()
}

pub(super) fn groups(connection: &Connection) -> Result<Vec<(String, Position)>> {
    let sql = "SELECT consumers, topic, part, next FROM committed ORDER BY consumers, topic, part";
    let mut select = connection.prepare(sql).map_err(fault)?;
    let rows = select.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, unsigned(row.get(3)?)))
    });
    let rows = rows.map_err(fault)?.map(|row| {
        let (group, topic, index, next) = row.map_err(fault)?;
        let partition = Partition { topic: stored_topic(&topic)?, index };
        Ok((group, Position { partition, offset: Offset(next) }))
    });
    rows.collect()
}

pub(super) fn committed(
    connection: &Connection,
    group: &str,
    partition: &Partition,
) -> rusqlite::Result<Option<Offset>> {
    let sql = "SELECT next FROM committed WHERE consumers = ?1 AND topic = ?2 AND part = ?3";
    let mut select = connection.prepare_cached(sql)?;
    let next = select.query_row(params![group, partition.topic.as_str(), partition.index], |row| row.get(0));
    Ok(next.optional()?.map(|next| Offset(unsigned(next))))
}

pub(super) fn stored_topic(name: &str) -> Result<Topic> {
    Topic::new(name).map_err(|e| Error::new(Code::STORE_CORRUPT, "a stored topic name is damaged").because(e))
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
