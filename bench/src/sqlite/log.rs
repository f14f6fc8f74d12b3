//! Appending to the log, beside the disk itself, and reading it.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use rusqlite::Connection;
use tidings::{Event, Offset, Partition, Position, Stamp, Time, Version};
use tidings_core::envelope::encode_json;
use tidings_core::port::{Append, Log, Read, ReadLimit, Record};
use tidings_sqlite::SqliteLog;
use tokio::runtime::Runtime;

use super::{directory, pricing};
use crate::codec::Bare;
use crate::measure::{contender, process_cpu, take_turns};
use crate::report::{Report, Target};

const ROUNDS: usize = 9;
const BATCH: usize = 1024;
/// Batches per round.
const BATCHES: usize = 16;

pub(super) fn run(report: &mut Report) -> Result<()> {
    report.section("SQLite log: batches of 1,024 records, durable");
    let directory = directory()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let path = directory.path().join("log.db");
    let log = SqliteLog::open(&path)?;
    let partition = Partition { topic: pricing::topic()?, index: 0 };
    runtime.block_on(log.partitions(&partition.topic))?;
    let batch = batch(&partition)?;
    let bytes = encoded(&batch);
    let file = preallocated(&directory.path().join("segment"), bytes.len() * BATCHES)?;
    let figures = take_turns(
        ROUNDS,
        &mut [
            contender(|| rate(|| (0..BATCHES).try_for_each(|_| Ok(runtime.block_on(log.append(&batch))?)))),
            contender(|| {
                rate(|| {
                    (0..BATCHES).try_for_each(|number| {
                        file.write_all_at(&bytes, (number * bytes.len()) as u64)?;
                        Ok(file.sync_data()?)
                    })
                })
            }),
        ],
    )?;
    let [ours, bare] = figures.as_slice() else { bail!("a contender is missing") };
    let limit = ("write and fdatasync of the same bytes", bare.as_slice());
    report.versus("sqlite/log/append", "records/s", ours, limit, Some(Target::RatioAtLeast(0.5)));
    read(report, &runtime, &log, (&path, &partition))
}

fn read(
    report: &mut Report,
    runtime: &Runtime,
    log: &SqliteLog,
    (path, partition): (&Path, &Partition),
) -> Result<()> {
    let bare = Connection::open(path)?;
    let figures = take_turns(
        ROUNDS,
        &mut [
            contender(|| read_rate(|| runtime.block_on(read_all(log, partition)))),
            contender(|| read_rate(|| select_all(&bare))),
            contender(|| read_cpu(|| runtime.block_on(read_all(log, partition)))),
            contender(|| read_cpu(|| select_all(&bare))),
        ],
    )?;
    let [ours, bare, cpu, bare_cpu] = figures.as_slice() else { bail!("a contender is missing") };
    let limit = "SELECT and serde_json derive";
    let target = Target::AtLeast(1_000_000.0, "records/s");
    report.versus("sqlite/log/read", "records/s", ours, (limit, bare), Some(target));
    report.versus("sqlite/log/read-cpu", "us", cpu, (limit, bare_cpu), None);
    Ok(())
}

fn read_rate(read: impl FnOnce() -> Result<usize>) -> Result<f64> {
    let start = Instant::now();
    Ok(read()? as f64 / start.elapsed().as_secs_f64())
}

fn read_cpu(read: impl FnOnce() -> Result<usize>) -> Result<f64> {
    let before = process_cpu();
    let count = read()?;
    Ok((process_cpu() - before).as_secs_f64() * 1e6 / count as f64)
}

fn select_all(bare: &Connection) -> Result<usize> {
    let mut select = bare.prepare_cached("SELECT place, kind, body FROM record ORDER BY place")?;
    let mut rows = select.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        black_box(serde_json::from_slice::<Bare>(row.get_ref(2)?.as_blob()?)?);
        count += 1;
    }
    Ok(count)
}

async fn read_all(log: &SqliteLog, partition: &Partition) -> Result<usize> {
    let mut position = Position { partition: partition.clone(), offset: Offset(0) };
    loop {
        match log.read(&position, ReadLimit::default()).await? {
            Read::Records(records) if records.is_empty() => return Ok(usize::try_from(position.offset.0)?),
            Read::Records(records) => position.offset.0 += records.len() as u64,
            Read::Gap { .. } => bail!("the log has a gap"),
        }
    }
}

fn rate(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok((BATCH * BATCHES) as f64 / start.elapsed().as_secs_f64())
}

fn batch(partition: &Partition) -> Result<Vec<Append>> {
    let event = |number: usize| -> Result<Append> {
        let draft = pricing::draft(number)?;
        let event = Event {
            id: format!("0190b6a4-5d3e-7c1a-9f00-{number:012}").into(),
            source: "/pricing".into(),
            kind: draft.kind,
            entity: draft.entity,
            stamp: Stamp::of(Version::new(number as u64 + 1).unwrap_or_default()),
            time: Time::from_micros(1_795_000_000_123_456),
            window: draft.window,
            traceparent: None,
            schema: None,
            extensions: Vec::new(),
            data: draft.data,
        };
        Ok(Append { partition: partition.clone(), record: Record::Event(Arc::new(event)) })
    };
    (0..BATCH).map(event).collect()
}

fn encoded(batch: &[Append]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for append in batch {
        if let Record::Event(event) = &append.record {
            encode_json(event, &mut bytes);
        }
    }
    bytes
}

/// A file whose blocks exist, so that a sync writes data only.
pub(crate) fn preallocated(path: &Path, bytes: usize) -> Result<File> {
    let file = File::create_new(path)?;
    file.write_all_at(&vec![1; bytes], 0)?;
    file.sync_all()?;
    Ok(file)
}
