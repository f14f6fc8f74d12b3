//! The state of a data directory, whether something runs in it or not: read from its files, beside whoever writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use tidings_core::port::{Log, Outbox, Parking, Read, ReadLimit, Record};
use tidings_core::{Error, Offset, Partition, Position, Result, Time, Topic};
use tidings_sqlite::{SqliteLog, SqliteOutbox, fault};

use crate::data_dir::{DataDir, RunningAt};
use crate::published;

/// The contexts that may have an outbox here: name, file.
pub(crate) const OUTBOXES: [(&str, &str); 4] = [
    ("catalog", "catalog.db"),
    ("pricing", "pricing.db"),
    ("inventory", "inventory.db"),
    (published::TOPIC, published::FILE),
];
/// The read model that keeps its own position.
pub(crate) const PROJECTION: &str = "experience.db";
/// The consumer behind that read model.
pub(crate) const EXPERIENCE: &str = "experience-api";
/// Beyond this a backlog is "at least so many": an answer must not take longer than it is worth.
const MOST: u64 = 100_000;
const PARKED_SHOWN: usize = 20;

/// What is in a data directory.
#[derive(Debug, Serialize)]
pub(crate) struct Survey {
    pub(crate) data: String,
    pub(crate) running: Option<RunningAt>,
    pub(crate) outboxes: Vec<Backlog>,
    pub(crate) partitions: Vec<Kept>,
    pub(crate) groups: Vec<Lag>,
    pub(crate) parked: Vec<SetAside>,
    pub(crate) parked_total: u64,
}

/// An outbox: what is committed and not yet in the log.
#[derive(Debug, Serialize)]
pub(crate) struct Backlog {
    pub(crate) context: &'static str,
    pub(crate) waiting: u64,
    pub(crate) oldest_s: f64,
    pub(crate) parked: u64,
}

/// A partition of the log: what is kept.
#[derive(Debug, Serialize)]
pub(crate) struct Kept {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) earliest: u64,
    pub(crate) head: u64,
}

/// How far a group is behind in one partition.
#[derive(Debug, Serialize)]
pub(crate) struct Lag {
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) next: u64,
    /// Events before the head that it has not taken in.
    pub(crate) events: u64,
    /// How long the oldest of them has waited.
    pub(crate) seconds: f64,
}

/// An event that could not be applied.
#[derive(Debug, Serialize)]
pub(crate) struct SetAside {
    pub(crate) group: String,
    pub(crate) position: String,
    pub(crate) entity: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) reason: String,
}

impl Survey {
    /// Looks at a directory; `log` is its log, if it has one.
    pub(crate) async fn take(dir: &DataDir, log: Option<&SqliteLog>) -> Result<Self> {
        let mut survey = Self {
            data: dir.path().display().to_string(),
            running: dir.running(),
            outboxes: Vec::new(),
            partitions: Vec::new(),
            groups: Vec::new(),
            parked: Vec::new(),
            parked_total: 0,
        };
        for (context, file) in OUTBOXES {
            if let Some(backlog) = backlog(dir, context, file, &mut survey.parked).await? {
                survey.parked_total += backlog.parked;
                survey.outboxes.push(backlog);
            }
        }
        if let Some(log) = log {
            survey.look_into(dir, log).await?;
        }
        Ok(survey)
    }

    async fn look_into(&mut self, dir: &DataDir, log: &SqliteLog) -> Result<()> {
        for (topic, count) in log.topics().await? {
            for index in 0..count {
                let (earliest, head) = log.bounds(&Partition { topic: topic.clone(), index }).await?;
                let (earliest, head) = (earliest.0, head.0);
                self.partitions.push(Kept { topic: topic.to_string(), partition: index, earliest, head });
            }
        }
        let mut positions = log.groups().await?;
        positions.extend(projected(dir)?.into_iter().map(|p| (EXPERIENCE.to_owned(), p)));
        let mut groups: Vec<_> = positions.iter().map(|(group, _)| group.clone()).collect();
        groups.extend(log.parked_counts().await?.into_iter().map(|(group, _)| group));
        groups.sort();
        groups.dedup();
        for (group, position) in positions {
            self.groups.push(lag(log, group, position).await?);
        }
        for group in groups {
            let (parked, total) = log.parked(&group, PARKED_SHOWN).await?;
            self.parked_total += total;
            self.parked.extend(parked.into_iter().map(|parked| SetAside {
                group: group.clone(),
                position: parked.position.to_string(),
                entity: parked.event.entity.to_string(),
                kind: parked.event.kind.to_string(),
                reason: parked.reason.to_string(),
            }));
        }
        Ok(())
    }
}

/// The log of a directory, if it has one yet.
pub(crate) fn open_log(dir: &DataDir) -> Result<Option<std::sync::Arc<SqliteLog>>> {
    let path = dir.file("log.db");
    if path.exists() { SqliteLog::open(path).map(Some) } else { Ok(None) }
}

/// A context's outbox, if it is there: `None` while its file is missing or was never finished.
pub(crate) fn open_outbox(
    dir: &DataDir,
    context: &str,
    file: &str,
) -> Result<Option<std::sync::Arc<SqliteOutbox>>> {
    let path = dir.file(file);
    if !path.exists() {
        return Ok(None);
    }
    match SqliteOutbox::open(path, &format!("/{context}")) {
        Err(error) if error.code() == tidings_core::Code::OUTBOX_MISSING => Ok(None),
        other => other.map(Some),
    }
}

/// Where the read model stands, as it says itself, in the transaction that changed it.
pub(crate) fn projected(dir: &DataDir) -> Result<Vec<Position>> {
    let path = dir.file(PROJECTION);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let read = || -> rusqlite::Result<Vec<(String, u32, i64)>> {
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(Duration::from_secs(5))?;
        let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'tidings_projection_position')";
        if !db.query_row(exists, [], |row| row.get::<_, bool>(0))? {
            return Ok(Vec::new());
        }
        let mut select =
            db.prepare("SELECT topic, part, next FROM tidings_projection_position ORDER BY topic, part")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    };
    let rows = read().map_err(|e| fault(e).at(path.display()))?;
    let position = |(topic, index, next): (String, u32, i64)| {
        let partition = Partition { topic: Topic::new(&topic)?, index };
        Ok::<_, Error>(Position { partition, offset: Offset(u64::try_from(next).unwrap_or_default()) })
    };
    rows.into_iter().map(position).collect()
}

async fn backlog(
    dir: &DataDir,
    context: &'static str,
    file: &str,
    parked: &mut Vec<SetAside>,
) -> Result<Option<Backlog>> {
    let Some(outbox) = open_outbox(dir, context, file)? else { return Ok(None) };
    let mut backlog = Backlog { context, waiting: 0, oldest_s: 0.0, parked: 0 };
    let mut after = outbox.acknowledged().await?;
    while backlog.waiting < MOST {
        let scan = outbox.scan(after, 1024).await?;
        let Some(last) = scan.rows.last() else { break };
        after = last.cursor;
        if backlog.waiting == 0 {
            let oldest = scan.rows.iter().find_map(|row| row.event.as_ref().ok().map(|event| event.time));
            backlog.oldest_s = oldest.map_or(0.0, |time| scan.time.since(time).as_secs_f64());
        }
        backlog.waiting += scan.rows.len() as u64;
    }
    let rows = outbox.parked(PARKED_SHOWN).await?;
    backlog.parked = rows.len() as u64;
    parked.extend(rows.into_iter().map(|row| SetAside {
        group: format!("relay of {context}"),
        position: format!("{context} outbox row {}", row.cursor.0),
        entity: String::new(),
        kind: String::new(),
        reason: row.reason,
    }));
    Ok(Some(backlog))
}

async fn lag(log: &SqliteLog, group: String, position: Position) -> Result<Lag> {
    let Position { partition, offset: next } = position;
    let mut lag = Lag {
        group,
        topic: partition.topic.to_string(),
        partition: partition.index,
        next: next.0,
        events: 0,
        seconds: 0.0,
    };
    let mut at = next;
    while lag.events < MOST {
        let from = Position { partition: partition.clone(), offset: at };
        let records = match log.read(&from, ReadLimit::default()).await? {
            Read::Records(records) => records,
            Read::Gap { resume } if resume > at => {
                at = resume;
                continue;
            }
            Read::Gap { .. } => break,
        };
        let Some(last) = records.last() else { break };
        at = last.offset.next();
        for stored in &records {
            if let Record::Event(event) = &stored.record {
                if lag.events == 0 {
                    lag.seconds = now().since(event.time).as_secs_f64();
                }
                lag.events += 1;
            }
        }
    }
    Ok(lag)
}

/// The wall clock of this machine, by which the sources here stamp their commits.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
