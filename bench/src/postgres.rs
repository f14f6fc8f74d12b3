//! A PostgreSQL of one's own: the outbox, a backlog in it, and the way back to its beginning.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use services::Postgres;
use tidings::Topic;
use tidings_postgres::{Address, Discovery, PostgresOutbox, Settings, schema};

use crate::measure::{runtime, wait};
use crate::report::Report;

/// Long enough for another session of this program to have ended.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const KIND: &str = "pricing.BasePriceChanged";
/// Sessions that write a backlog.
const WRITERS: usize = 4;
/// Different entities of one writer.
const ENTITIES: usize = 1000;
/// Every transaction is to wait until it is read, not the server until it may forget.
const SETTINGS: &[(&str, &str)] = &[("max_wal_size", "8GB"), ("checkpoint_timeout", "1h")];
/// Where all backlogs begin.
const START: &str = "bench_start";

/// A server whose database has an outbox.
pub(crate) struct Source {
    pub(crate) server: Postgres,
    pub(crate) address: Address,
    turn: AtomicU32,
}

impl Source {
    pub(crate) fn start(report: &mut Report) -> Result<Self> {
        let server = Postgres::start(SETTINGS)?;
        report.version("postgresql", &server.query("SHOW server_version")?);
        let address = Address::parse(&server.url())?;
        runtime()?.block_on(async {
            let mut client = address.connect("bench", "").await?;
            schema::install(&client).await?.apply(&mut client).await
        })?;
        Ok(Self { server, address, turn: AtomicU32::new(0) })
    }

    /// Makes a slot here, from which [`Source::rewind`] makes others, and keeps what the relay would have saved here.
    pub(crate) fn keep_place(&self) -> Result<()> {
        let slot = format!("SELECT pg_create_logical_replication_slot('{START}', 'pgoutput')");
        self.server.query(&slot)?;
        let sql = format!(
            "CREATE TABLE bench_start AS SELECT pg_current_snapshot() AS done, confirmed_flush_lsn AS lsn
             FROM pg_replication_slots WHERE slot_name = '{START}'"
        );
        self.server.query(&sql).map(drop)
    }

    /// So many events, of which so many are in one transaction, and one more to end with. Returns where in the server's log
    /// all but that one end.
    pub(crate) fn load(&self, events: usize, together: usize) -> Result<String> {
        // Only while loading: how fast the server syncs is not asked here.
        self.set("fsync", "off")?;
        let each = events / WRITERS;
        std::thread::scope(|scope| {
            let write = |writer| move || self.server.query(&backlog(writer, each, together));
            let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(write(writer))).collect();
            writers.into_iter().try_for_each(|writer| {
                writer.join().ok().context("a writer panicked")?.map(drop).context("cannot write a backlog")
            })
        })?;
        self.server.query("CHECKPOINT; ANALYZE")?;
        self.set("fsync", "on")?;
        let end = self.place()?;
        // Whoever reads up to the end sees by this one that it is reached.
        self.server.query(&format!("SELECT tidings.publish('{KIND}', 'price/last')"))?;
        Ok(end)
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        self.server.query(&format!("ALTER SYSTEM SET {name} = {value}"))?;
        self.server.query("SELECT pg_reload_conf()")?;
        wait("a new setting", PATIENCE, || {
            self.server.query(&format!("SHOW {name}")).is_ok_and(|now| now == value)
        })
    }

    /// A new slot at the kept place, with the relay's progress there as well.
    pub(crate) fn rewind(&self) -> Result<String> {
        let drop = r"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
                     WHERE slot_name LIKE 'bench\_turn%' AND NOT active";
        self.server.query(drop)?;
        let update = "UPDATE tidings.relay
                      SET position = 0, done = s.done, next = NULL, seq = 0, lsn = s.lsn FROM bench_start AS s";
        self.server.query(update)?;
        let slot = format!("bench_turn_{}", self.turn.fetch_add(1, Ordering::Relaxed));
        self.server.query(&format!("SELECT pg_copy_logical_replication_slot('{START}', '{slot}')"))?;
        Ok(slot)
    }

    /// The relay's progress before anything there is in the table.
    pub(crate) fn rewind_table(&self) -> Result<()> {
        let update = "UPDATE tidings.relay SET position = 0, done = '1:1:', next = NULL, seq = 0, lsn = NULL";
        self.server.query(update).map(drop)
    }

    /// Waits until a slot has confirmed to the server that all up to this place is done with.
    pub(crate) fn confirmed(&self, place: &str, at_most: Duration) -> Result<()> {
        let sql = format!(
            "SELECT coalesce(bool_or(confirmed_flush_lsn >= '{place}'), false) FROM pg_replication_slots
             WHERE slot_name <> '{START}'"
        );
        wait("confirming", at_most, || self.server.query(&sql).is_ok_and(|is| is == "t"))
    }

    /// Waits until the server says that it has told at least so many transactions to whoever reads this slot.
    pub(crate) fn told(&self, slot: &str, transactions: usize) -> Result<()> {
        let sql = format!("SELECT total_txns FROM pg_stat_replication_slots WHERE slot_name = '{slot}'");
        let told = || self.server.query(&sql).ok().and_then(|told| told.parse::<usize>().ok());
        wait("telling", PATIENCE, || told() >= Some(transactions))
    }

    /// How far the server's log is written.
    pub(crate) fn place(&self) -> Result<String> {
        self.server.query("SELECT pg_current_wal_insert_lsn()")
    }

    /// One of the server's own programs, not a wrapper that looks for it.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let directory = self.server.query("SELECT setting FROM pg_config WHERE name = 'BINDIR'")?;
        Ok(PathBuf::from(directory).join(name))
    }

    pub(crate) async fn open(&self, discovery: Discovery) -> Result<Arc<PostgresOutbox>> {
        let settings = Settings { discovery, patience: PATIENCE, ..Settings::new("/pricing") };
        Ok(Box::pin(PostgresOutbox::open(&self.address, settings)).await?)
    }
}

/// The statement of one writer. The data has about 300 bytes.
fn backlog(writer: usize, events: usize, together: usize) -> String {
    // What counts: the transactions, or the rows of one.
    let number = if together == 1 { "t" } else { "n" };
    let publish = format!(
        "tidings.publish('{KIND}', 'price/{writer}-' || {number} % {ENTITIES},
         json_build_object('cents', {number}, 'text', repeat('x', 280)))"
    );
    let last = events / together;
    let body = match together {
        1 => format!("PERFORM {publish};"),
        _ => format!("PERFORM count({publish}) FROM generate_series(1, {together}) AS n;"),
    };
    format!("DO $$ BEGIN FOR t IN 1..{last} LOOP {body} COMMIT; END LOOP; END $$")
}

/// The entities of a backlog, each of the kind `price`.
pub(crate) fn backlog_entities() -> Vec<String> {
    (0..WRITERS).flat_map(|writer| (0..ENTITIES).map(move |number| format!("{writer}-{number}"))).collect()
}

/// Commits one event after the other at the given pace, on a thread of its own, and says when each was acknowledged.
/// Their entities are `price/`, this prefix, and the number.
pub(crate) fn write(
    source: &Source,
    prefix: &str,
    commits: usize,
    per_second: usize,
) -> Result<Vec<Instant>> {
    let (address, prefix) = (source.address.clone(), prefix.to_owned());
    let writer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(write_all(&address, &prefix, commits, per_second))
    });
    writer.join().ok().context("the writer panicked")?
}

async fn write_all(
    address: &Address,
    prefix: &str,
    commits: usize,
    per_second: usize,
) -> Result<Vec<Instant>> {
    let client = address.connect("bench", "").await?;
    let sql =
        format!("SELECT tidings.publish('{KIND}', 'price/{prefix}' || $1::bigint, '{{\"cents\":1999}}')");
    let publish = client.prepare(&sql).await?;
    let (start, mut committed) = (Instant::now(), Vec::with_capacity(commits));
    for number in 0..commits {
        let due = start + Duration::from_secs(1) * u32::try_from(number)? / u32::try_from(per_second)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        client.query_one(&publish, &[&i64::try_from(number)?]).await?;
        committed.push(Instant::now());
    }
    Ok(committed)
}

pub(crate) fn topic() -> Result<Topic> {
    Ok(Topic::new("pricing")?)
}
