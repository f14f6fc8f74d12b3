//! The relay's ordinary session: the lease, the progress, and reading the table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_core::{Code, Error, Result, Time};
use tokio::task::JoinSet;
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
const ANOTHER_SINCE: &str = "another relay has led since";

/// A session that holds the lease.
#[derive(Debug)]
pub(super) struct Control {
    client: Arc<Client>,
    fresh: Statement,
    horizon: Statement,
    batch: Statement,
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
    /// Errors: [`Code::LEASE_TAKEN`] while another relay leads, [`Code::FENCED`] if another one led since.
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
            // Who has led since will not give back what this one had.
            if epoch > 0 && number(&client, "SELECT epoch FROM tidings.relay").await? != epoch {
                return Err(Error::new(Code::FENCED, ANOTHER_SINCE));
            }
            if from.elapsed() >= patience {
                return Err(Error::new(Code::LEASE_TAKEN, "another relay leads"));
            }
            tokio::time::sleep(LEASE_POLL).await;
        }
        let system = "SELECT c.system_identifier - m.system FROM pg_control_system() c, tidings.meta m";
        if number(&client, system).await? != 0 {
            return Err(Error::new(Code::SOURCE_CHANGED, "the outbox was made in another cluster"));
        }
        let sql = include_str!("../sql/take_over.sql");
        let row = client.query_typed_opt(sql, &[(&epoch, Type::INT8)]).await.map_err(fault)?;
        let row = row.ok_or_else(|| Error::new(Code::FENCED, ANOTHER_SINCE))?;
        let next: Option<&str> = row.get(3);
        let resume = Resume {
            done: Snapshot::parse(row.get(2))?,
            next: next.map(Snapshot::parse).transpose()?,
            seq: row.get(4),
            lsn: row.get::<_, Option<i64>>(5).map(i64::cast_unsigned),
        };
        let progress = Progress { position: unsigned(row.get(1)), resume };
        let fresh = client.prepare(include_str!("../sql/fresh.sql")).await.map_err(fault)?;
        let horizon = client.prepare(include_str!("../sql/horizon.sql")).await.map_err(fault)?;
        let batch = client.prepare(include_str!("../sql/batch.sql")).await.map_err(fault)?;
        let waiting = client.prepare(include_str!("../sql/waiting.sql")).await.map_err(fault)?;
        let (version, client) = (i32::try_from(version).unwrap_or(i32::MAX), Arc::new(client));
        Ok((Self { client, fresh, horizon, batch, waiting, epoch: row.get(0), version }, progress))
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The source's clock, what is visible after that, and how far the log was flushed and written then.
    pub(super) async fn horizon(&self) -> Result<Horizon> {
        let row = self.client.query_one(&self.horizon, &[]).await.map_err(fault)?;
        let time = Time::from_micros(row.get(4));
        let now = Now { snapshot: Snapshot::parse(row.get(0))?, next_id: unsigned(row.get(3)) };
        Ok(Horizon { time, now, flushed: unsigned(row.get(1)), written: unsigned(row.get(2)) })
    }

    /// The source's clock; what is visible after that, if there are rows that were not in `done`; and the last place that
    /// was taken in the table.
    /// Everything that is visible is durable when this returns: what could still un-happen must not be published.
    ///
    /// Errors: [`Code::FENCED`] if another relay has taken over.
    pub(super) async fn fresh(&self, done: &Snapshot) -> Result<(Time, Option<(Now, i64)>)> {
        let row = self.client.query_one(&self.fresh, &[&&*done.text]).await.map_err(fault)?;
        let time = Time::from_micros(row.get(5));
        if !row.get::<_, bool>(2) {
            return Ok((time, None));
        }
        if !row.get::<_, bool>(4) {
            self.flush().await?;
        }
        let now = Now { snapshot: Snapshot::parse(row.get(0))?, next_id: unsigned(row.get(1)) };
        Ok((time, Some((now, row.get(3)))))
    }

    async fn flush(&self) -> Result<()> {
        let sql = include_str!("../sql/flush.sql");
        let flushed = self.client.query_typed(sql, &[(&self.epoch, Type::INT8)]).await.map_err(fault)?;
        if flushed.is_empty() { Err(taken_over()) } else { Ok(()) }
    }

    /// Asks for the rows that are visible in `next` and were not in `done`, oldest first, after the place `at`; and after
    /// the place `low`, but for those of transactions that ran at `done`.
    pub(super) fn ask(
        &self,
        (done, next): (&Snapshot, &Snapshot),
        (at, low): (i64, i64),
        limit: usize,
    ) -> Asked {
        let (client, batch) = (self.client.clone(), self.batch.clone());
        let (done, next) = (done.text.clone(), next.text.clone());
        let mut answer = JoinSet::new();
        // A task of its own: an answer that nobody takes would hold up all that come after it.
        answer.spawn(async move {
            let parameters: [&(dyn ToSql + Sync); 6] =
                [&&*done, &&*next, &at, &low, &signed(limit), &signed(ANSWER_BYTES)];
            client.query(&batch, &parameters).await
        });
        Asked { answer, limit }
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
        if saved.is_empty() { Err(taken_over()) } else { Ok(()) }
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

/// Rows that were asked for. Nobody waits for the answer once this is gone.
#[derive(Debug)]
pub(super) struct Asked {
    answer: JoinSet<std::result::Result<Vec<Answer>, tokio_postgres::Error>>,
    limit: usize,
}

impl Asked {
    pub(super) async fn batch(mut self) -> Result<Batch> {
        match self.answer.join_next().await {
            Some(Ok(answers)) => Ok(Batch::new(answers.map_err(fault)?, self.limit)),
            Some(Err(e)) => {
                Err(Error::new(Code::DEFECT, "a question to the server was not asked").because(e))
            }
            None => Err(Error::new(Code::DEFECT, "a question to the server was not asked")),
        }
    }
}

/// Rows of one answer.
pub(super) struct Batch {
    answers: Vec<Answer>,
    /// There may be more rows than these.
    pub(super) more: bool,
}

impl Batch {
    /// The server cuts an answer off that gets too large, and says how many rows it would have had.
    fn new(answers: Vec<Answer>, limit: usize) -> Self {
        let found: i64 = answers.first().map_or(0, |answer| answer.get(FOUND));
        let more = found >= signed(limit) || found > signed(answers.len());
        Self { answers, more }
    }

    pub(super) fn count(&self) -> usize {
        self.answers.len()
    }

    /// About how much memory the rows take.
    pub(super) fn bytes(&self) -> usize {
        self.answers.iter().map(|answer| row::BESIDES + answer.raw_size_bytes()).sum()
    }

    /// The place of the last one.
    pub(super) fn last(&self) -> Option<i64> {
        self.answers.last()?.get::<_, Option<&str>>(0)?.parse().ok()
    }

    pub(super) fn rows(self, reading: &Reading) -> impl Iterator<Item = Row> {
        self.answers.into_iter().map(|answer| {
            let mut columns: Columns<'_> = [None; row::NAMES.len()];
            for (at, column) in columns.iter_mut().enumerate() {
                *column = answer.get(at);
            }
            reading.row(&columns, None)
        })
    }
}

/// What is visible, and who can still come.
pub(super) struct Now {
    snapshot: Snapshot,
    /// Every transaction that has an id has a lower one.
    next_id: u64,
}

impl Now {
    /// Every transaction with a lower id had ended.
    pub(super) fn oldest(&self) -> u64 {
        self.snapshot.oldest
    }

    /// What is visible, with everybody who runs in its list, and whether it has them all: then the rows of those who are
    /// neither seen nor listed are behind every place that was taken before.
    pub(super) fn listed(self) -> (Snapshot, bool) {
        let listed = self.snapshot.clone().up_to(self.next_id);
        listed.map_or((self.snapshot, false), |snapshot| (snapshot, true))
    }
}

/// A moment of the source.
pub(super) struct Horizon {
    /// The source's clock: what was committed before it is visible.
    pub(super) time: Time,
    /// What was visible.
    pub(super) now: Now,
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
}

fn taken_over() -> Error {
    Error::new(Code::FENCED, "another relay has taken over")
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
