//! The relay's ordinary session: the lease, the progress, and reading the table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_core::{Code, Error, Result, Time};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row as Answer, Statement};

use super::snapshot::Snapshot;
use super::window::Resume;
use crate::address::Address;
use crate::fault::fault;
use crate::row::{self, Columns, Row};

/// The advisory lock that the leading relay holds: the bytes of `tidings` and a zero.
const LEASE: i64 = i64::from_be_bytes(*b"tidings\0");

/// One answer is about this large at most, but for its last row.
pub(super) const ANSWER_BYTES: usize = 2 << 20;

/// The column after a row's own: how many rows were found.
const FOUND: usize = row::NAMES.len();

/// How often a relay that stands by looks whether the lease is free.
const LEASE_POLL: Duration = Duration::from_millis(20);

/// A session that holds the lease.
#[derive(Debug)]
pub(super) struct Control {
    client: Client,
    fresh: Statement,
    rest: Statement,
    waiting: Statement,
    pub(super) epoch: i64,
    /// The server's version, such as 150018.
    pub(super) version: i32,
}

/// What the table of the relay's progress said.
pub(super) struct Progress {
    pub(super) position: u64,
    pub(super) resume: Resume,
}

impl Control {
    /// Connects, waits at most `patience` for the lease, and takes over. `epoch` is that of this relay if it led before.
    ///
    /// Errors: [`Code::SLOT_IN_USE`] while another relay leads, [`Code::FENCED`] if another one led since.
    pub(super) async fn open(address: &Address, epoch: i64, patience: Duration) -> Result<(Self, Progress)> {
        let client = address.connect("tidings relay", row::SESSION_RELAY).await?;
        let opened = Self::take_over(client, epoch, patience).await;
        opened.map_err(|e| e.at(address))
    }

    async fn take_over(client: Client, epoch: i64, patience: Duration) -> Result<(Self, Progress)> {
        let version = number(&client, "SELECT current_setting('server_version_num')::bigint").await?;
        if version < 140_000 {
            let what = format!("the server is PostgreSQL {}", version / 10_000);
            return Err(Error::new(Code::SERVER_TOO_OLD, what));
        }
        let schema = number(&client, "SELECT schema_version::bigint FROM tidings.meta").await?;
        crate::schema::check_version(schema)?;
        let from = Instant::now();
        while number(&client, &format!("SELECT pg_try_advisory_lock({LEASE})::int::bigint")).await? == 0 {
            if from.elapsed() >= patience {
                return Err(Error::new(Code::SLOT_IN_USE, "another relay leads"));
            }
            tokio::time::sleep(LEASE_POLL).await;
        }
        let system = "SELECT c.system_identifier - m.system FROM pg_control_system() c, tidings.meta m";
        if number(&client, system).await? != 0 {
            return Err(Error::new(Code::SOURCE_CHANGED, "the outbox was made in another cluster"));
        }
        let sql = include_str!("../sql/take_over.sql");
        let row = client.query_typed_opt(sql, &[(&epoch, Type::INT8)]).await.map_err(fault)?;
        let row = row.ok_or_else(|| Error::new(Code::FENCED, "another relay has led since"))?;
        let next: Option<&str> = row.get(3);
        let resume = Resume {
            done: Snapshot::parse(row.get(2))?,
            next: next.map(Snapshot::parse).transpose()?,
            seq: row.get(4),
            lsn: row.get::<_, Option<i64>>(5).map(i64::cast_unsigned),
        };
        let progress = Progress { position: unsigned(row.get(1)), resume };
        let fresh = client.prepare(include_str!("../sql/fresh.sql")).await.map_err(fault)?;
        let rest = client.prepare(include_str!("../sql/rest.sql")).await.map_err(fault)?;
        let waiting = client.prepare(include_str!("../sql/waiting.sql")).await.map_err(fault)?;
        let version = i32::try_from(version).unwrap_or(i32::MAX);
        Ok((Self { client, fresh, rest, waiting, epoch: row.get(0), version }, progress))
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The source's clock.
    pub(super) async fn clock(&self) -> Result<Time> {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        number(&self.client, sql).await.map(Time::from_micros)
    }

    /// What is visible now, and how far the log was flushed and written after that.
    pub(super) async fn horizon(&self) -> Result<Horizon> {
        let row =
            self.client.query_typed_one(include_str!("../sql/horizon.sql"), &[]).await.map_err(fault)?;
        let snapshot = Snapshot::parse(row.get(0))?;
        Ok(Horizon { snapshot, flushed: unsigned(row.get(1)), written: unsigned(row.get(2)) })
    }

    /// Rows that are visible now and were not in `done`, oldest first, and what is visible now.
    pub(super) async fn fresh(
        &self,
        done: &Snapshot,
        limit: usize,
        reading: &Reading,
    ) -> Result<(Batch, Option<Snapshot>)> {
        let parameters: [&(dyn ToSql + Sync); 3] = [&&*done.text, &signed(limit), &signed(ANSWER_BYTES)];
        let found = self.client.query(&self.fresh, &parameters).await.map_err(fault)?;
        let snapshot = found.first().map(|row| Snapshot::parse(row.get(FOUND + 1))).transpose()?;
        Ok((Batch::new(&found, limit, reading), snapshot))
    }

    /// Rows after `seq` that are visible in `next` and were not in `done`, oldest first.
    pub(super) async fn rest(
        &self,
        done: &Snapshot,
        next: &Snapshot,
        seq: i64,
        limit: usize,
        reading: &Reading,
    ) -> Result<Batch> {
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&&*done.text, &&*next.text, &seq, &signed(limit), &signed(ANSWER_BYTES)];
        let found = self.client.query(&self.rest, &parameters).await.map_err(fault)?;
        Ok(Batch::new(&found, limit, reading))
    }

    /// The next transaction id to be given: every transaction that has one has a lower one.
    pub(super) async fn next_id(&self) -> Result<u64> {
        number(&self.client, include_str!("../sql/next_id.sql")).await.map(unsigned)
    }

    /// Whether there are rows that were not visible in `done`.
    pub(super) async fn is_waiting(&self, done: &Snapshot) -> Result<bool> {
        let row = self.client.query_one(&self.waiting, &[&&*done.text]).await.map_err(fault)?;
        Ok(row.get(0))
    }

    /// Records the progress.
    ///
    /// Errors: [`Code::FENCED`] if another relay has taken over.
    pub(super) async fn save(&self, position: u64, resume: &Resume) -> Result<()> {
        let next = resume.next.as_ref().map(|next| &*next.text);
        let lsn = resume.lsn.map(u64::cast_signed);
        let position = position.cast_signed();
        let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
            (&self.epoch, Type::INT8),
            (&position, Type::INT8),
            (&&*resume.done.text, Type::TEXT),
            (&next, Type::TEXT),
            (&resume.seq, Type::INT8),
            (&lsn, Type::INT8),
        ];
        let saved =
            self.client.query_typed(include_str!("../sql/save.sql"), &parameters).await.map_err(fault)?;
        if saved.is_empty() {
            return Err(Error::new(Code::FENCED, "another relay has taken over"));
        }
        Ok(())
    }

    /// Sets a row aside. Its place is not known any more if the session broke in between; then it will be delivered, and
    /// parked, again.
    pub(super) async fn park(&self, cursor: u64, seq: Option<i64>, reason: &Error) -> Result<()> {
        let cursor = cursor.cast_signed();
        let (seq, text) = (seq.unwrap_or(-cursor), reason.to_string());
        let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
            (&seq, Type::INT8),
            (&cursor, Type::INT8),
            (&reason.code().id(), Type::TEXT),
            (&text, Type::TEXT),
        ];
        let sql = include_str!("../sql/park.sql");
        self.client.query_typed(sql, &parameters).await.map(drop).map_err(fault)
    }
}

/// Rows of one answer.
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    /// About how much memory they take.
    pub(super) bytes: usize,
    /// There may be more rows than these.
    pub(super) more: bool,
}

impl Batch {
    /// The server cuts an answer off that gets too large, and says how many rows it would have had.
    fn new(answers: &[Answer], limit: usize, reading: &Reading) -> Self {
        let found: i64 = answers.first().map_or(0, |answer| answer.get(FOUND));
        let rows = reading.rows(answers);
        let bytes = rows.iter().map(|row| row.bytes).sum();
        let more = found >= signed(limit) || found > signed(rows.len());
        Self { rows, bytes, more }
    }
}

/// A moment of the source.
pub(super) struct Horizon {
    /// What was visible.
    pub(super) snapshot: Snapshot,
    /// What was visible and durable, ended before this place in the log.
    pub(super) flushed: u64,
    /// What was visible, ended before this place.
    pub(super) written: u64,
}

/// How rows become events.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) source: Arc<str>,
    /// What a mark has vouched for is not said to be committed before it: a row's own time is from before its commit.
    pub(super) not_before: Time,
}

impl Reading {
    /// Reads one row. `committed` is when it was committed, if that is known better than by its own time.
    pub(super) fn row(&self, columns: &Columns<'_>, committed: Option<Time>) -> Row {
        row::row(columns, &self.source, committed, self.not_before)
    }

    fn rows(&self, found: &[Answer]) -> Vec<Row> {
        found
            .iter()
            .map(|answer| {
                let mut columns: Columns<'_> = [None; row::NAMES.len()];
                for (at, column) in columns.iter_mut().enumerate() {
                    *column = answer.get(at);
                }
                self.row(&columns, None)
            })
            .collect()
    }
}

pub(super) async fn number(client: &Client, sql: &str) -> Result<i64> {
    client.query_typed_one(sql, &[]).await.map(|row| row.get(0)).map_err(fault)
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
