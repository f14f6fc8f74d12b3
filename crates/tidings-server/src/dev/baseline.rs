//! What was there before the run: the versions that the copies begin with, and the events that wait to be applied.
//!
//! The checker believes no cache, so this is read from the files themselves: what the read model shows (it has taken in
//! everything before its own position), and every event beyond that, in the log or still in an outbox.

use std::collections::{HashMap, HashSet};
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
pub(super) const MOST_PARKED: usize = 100_000;

/// What an earlier run left, and how many events of it wait; `None` if there was none that came so far.
pub(crate) async fn known(dir: &DataDir, log: &SqliteLog) -> Result<(Option<Vec<Record>>, u64)> {
    let Some(mut known) = shown(dir)? else { return Ok((None, 0)) };
    // What was set aside is not shown there, and its owner has it all the same.
    let (parked, _) = log.parked(COPY, MOST_PARKED).await?;
    known.extend(
        parked.into_iter().map(|parked| Record::baseline(parked.event.entity.clone(), parked.event.stamp)),
    );
    let shown = known.len();
    let waiting = waiting(dir, log).await?;
    let news = beyond(&known, waiting);
    known.extend(news);
    let resumed = (known.len() - shown) as u64;
    Ok((Some(known), resumed))
}

/// The events that are newer than what the baseline already counts, each once: after a crash an event may be in the
/// log, still in its outbox, and taken in all the same.
fn beyond(baseline: &[Record], waiting: Vec<(Entity, Stamp)>) -> Vec<Record> {
    let mut newest = HashMap::<&Entity, Stamp>::new();
    for record in baseline {
        if let Record::Baseline { entity, stamp, .. } = record {
            let known = newest.entry(entity).or_insert(*stamp);
            *known = (*known).max(*stamp);
        }
    }
    let is_new = |(entity, stamp): &(Entity, Stamp)| newest.get(entity).is_none_or(|known| known < stamp);
    let mut seen = HashSet::new();
    let news = waiting.into_iter().filter(is_new).filter(|event| seen.insert(event.clone()));
    news.map(|(entity, stamp)| Record::Commit(Commit::of(entity, stamp, 0, Some(0)))).collect()
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
            baseline.push(Record::baseline(Entity::new(kind, &id)?, Stamp::of(version)));
        }
    }
    Ok(Some(baseline))
}

/// Events that an earlier run committed and that the read model may not have taken in, each once or more.
async fn waiting(dir: &DataDir, log: &SqliteLog) -> Result<Vec<(Entity, Stamp)>> {
    let mut waiting = Vec::new();
    for (context, file) in OUTBOXES.into_iter().filter(|(context, _)| *context != published::TOPIC) {
        let Some(outbox) = survey::open_outbox(dir, context, file)? else { continue };
        let mut after = outbox.acknowledged().await?;
        loop {
            let scan = outbox.scan(after, 1024).await?;
            let Some(last) = scan.rows.last() else { break };
            after = last.cursor;
            let events = scan.rows.iter().filter_map(|row| row.event.as_ref().ok());
            waiting.extend(events.map(|event| (event.entity.clone(), event.stamp)));
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

async fn unread(log: &SqliteLog, mut at: Position, waiting: &mut Vec<(Entity, Stamp)>) -> Result<()> {
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
                waiting.push((event.entity.clone(), event.stamp));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_baseline_counts_already_is_not_waiting() {
        let event = |id: &str, version| {
            let version = Version::new(version).unwrap();
            (Entity::new("price", id).unwrap(), Stamp::of(version))
        };
        let baseline = |id, version| {
            let (entity, stamp) = event(id, version);
            Record::baseline(entity, stamp)
        };
        // An event of b was parked: its owner has 4, though 2 is shown.
        let known = [baseline("a", 3), baseline("b", 2), baseline("b", 4)];
        let waiting =
            vec![event("a", 3), event("a", 4), event("b", 3), event("b", 5), event("a", 4), event("c", 1)];
        let news: Vec<_> = beyond(&known, waiting)
            .into_iter()
            .map(|record| match record {
                Record::Commit(commit) => (commit.entity, commit.stamp),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(news, [event("a", 4), event("b", 5), event("c", 1)]);
    }
}
