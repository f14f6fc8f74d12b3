//! What was there before the run: the versions that the copies begin with, and the events that wait to be applied.
//!
//! The checker believes no cache, so this is read from the files themselves: what the read model shows (it has taken in
//! everything before its own position), and every event beyond that, in the log or still in an outbox.

use std::time::Duration;

use retail::catalog::CONTENT;
use retail::inventory::STOCK;
use retail::pricing::PRICE;
use rusqlite::{Connection, OpenFlags};
use tidings_core::port::{Log, Outbox, Parking, Read, ReadLimit, Record as Stored};
use tidings_core::{Entity, Offset, Partition, Position, Result, Stamp, Version};
use tidings_sqlite::{SqliteLog, fault};
use tidings_testkit::history::{Commit, Record};

use super::recorder::COPY;
use crate::data_dir::DataDir;
use crate::published;
use crate::survey::{self, OUTBOXES, PROJECTION};

/// The most parked events that are taken into account.
const MOST_PARKED: usize = 100_000;

/// What an earlier run left, and how many events of it wait; `None` if there was none that came so far.
pub(crate) async fn known(dir: &DataDir, log: &SqliteLog) -> Result<(Option<Vec<Record>>, u64)> {
    let Some(mut known) = shown(dir)? else { return Ok((None, 0)) };
    // What was set aside is not shown there, and its owner has it all the same.
    let (parked, _) = log.parked(COPY, MOST_PARKED).await?;
    known.extend(
        parked.into_iter().map(|parked| Record::Baseline {
            entity: parked.event.entity.clone(),
            stamp: parked.event.stamp,
        }),
    );
    let shown = known.len();
    known.extend(waiting(dir, log).await?);
    let resumed = (known.len() - shown) as u64;
    Ok((Some(known), resumed))
}

/// What is shown, one baseline for each entity; `None` if there is no read model yet.
fn shown(dir: &DataDir) -> Result<Option<Vec<Record>>> {
    let path = dir.file(PROJECTION);
    if !path.exists() {
        return Ok(None);
    }
    let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(fault)?;
    db.busy_timeout(Duration::from_secs(5)).map_err(fault)?;
    let begun = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'bootstrap')";
    let has = |sql| db.query_row(sql, [], |row| row.get::<_, bool>(0)).map_err(fault);
    if !has(begun)? || !has("SELECT EXISTS (SELECT 1 FROM bootstrap)")? {
        return Ok(None);
    }
    let mut baseline = Vec::new();
    let all = [
        (CONTENT, "SELECT sku, version FROM product"),
        (PRICE, "SELECT sku || '/' || region, price_version FROM offer"),
        (STOCK, "SELECT sku || '/' || region, stock_version FROM offer"),
    ];
    for (kind, sql) in all {
        let mut select = db.prepare(sql).map_err(fault)?;
        let mut rows = select.query([]).map_err(fault)?;
        while let Some(row) = rows.next().map_err(fault)? {
            let (id, version): (String, i64) =
                row.get(0).and_then(|id| Ok((id, row.get(1)?))).map_err(fault)?;
            let version = u64::try_from(version).ok().and_then(Version::new).unwrap_or_default();
            baseline.push(Record::Baseline { entity: Entity::new(kind, &id)?, stamp: Stamp::of(version) });
        }
    }
    Ok(Some(baseline))
}

/// Events that an earlier run committed and that the read model has not taken in, each once or more.
async fn waiting(dir: &DataDir, log: &SqliteLog) -> Result<Vec<Record>> {
    let mut waiting = Vec::new();
    for (context, file) in OUTBOXES.into_iter().filter(|(context, _)| *context != published::TOPIC) {
        let Some(outbox) = survey::open_outbox(dir, context, file)? else { continue };
        let mut after = outbox.acknowledged().await?;
        loop {
            let scan = outbox.scan(after, 1024).await?;
            let Some(last) = scan.rows.last() else { break };
            after = last.cursor;
            let events = scan.rows.iter().filter_map(|row| row.event.as_ref().ok());
            waiting.extend(events.map(|event| earlier(&event.entity, event.stamp)));
        }
    }
    let projected = survey::projected(dir)?;
    for (topic, count) in log.topics().await? {
        if topic.as_str() == published::TOPIC {
            continue;
        }
        for index in 0..count {
            let partition = Partition { topic: topic.clone(), index };
            let known = projected.iter().find(|position| position.partition == partition);
            let from = Position { partition, offset: known.map_or(Offset(0), |position| position.offset) };
            unread(log, from, &mut waiting).await?;
        }
    }
    Ok(waiting)
}

async fn unread(log: &SqliteLog, mut at: Position, waiting: &mut Vec<Record>) -> Result<()> {
    loop {
        let records = match log.read(&at, ReadLimit::default()).await? {
            Read::Records(records) => records,
            Read::Gap { resume } if resume > at.offset => {
                at.offset = resume;
                continue;
            }
            Read::Gap { .. } => return Ok(()),
        };
        let Some(last) = records.last() else { return Ok(()) };
        at.offset = last.offset.next();
        for stored in &records {
            if let Stored::Event(event) = &stored.record {
                waiting.push(earlier(&event.entity, event.stamp));
            }
        }
    }
}

fn earlier(entity: &Entity, stamp: Stamp) -> Record {
    Record::Commit(Commit { entity: entity.clone(), stamp, began: 0, ended: Some(0) })
}
