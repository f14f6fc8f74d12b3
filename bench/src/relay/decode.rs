//! Draining by logical decoding, beside PostgreSQL's own reader of a slot.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use services::Kafka;
use tidings_core::port::Log;
use tidings_kafka::{KafkaLog, KafkaSettings};
use tidings_postgres::Discovery;

use super::{nowhere, through};
use crate::measure::{Scale, contender, take_turns};
use crate::postgres::Source;
use crate::report::{Report, Target};

/// The most microseconds of CPU time that one event may take.
const CPU: f64 = 8.0;

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    report.section("PostgreSQL: a backlog by logical decoding, into a log that keeps nothing");
    shape(report, scale, "one-row", scale.of(200_000, 40_000), 1)?;
    shape(report, scale, "thousand-row", scale.of(300_000, 80_000), 1000)
}

fn shape(report: &mut Report, scale: Scale, name: &str, events: usize, together: usize) -> Result<()> {
    let source = Source::start(report)?;
    source.keep_place()?;
    let end = source.load(events, together)?;
    let mut cpu = Vec::new();
    let figures = take_turns(
        scale.rounds(),
        &mut [
            contender(|| {
                let way = Discovery::Decode { slot: Some(source.rewind()?) };
                let found = through(&source, way, nowhere, events)?;
                cpu.push(found.cpu);
                Ok(found.rate)
            }),
            contender(|| bare(&source, &source.rewind()?, &end, events)),
        ],
    )?;
    let [ours, bare] = figures.as_slice() else { bail!("a contender is missing") };
    let limit = ("pg_recvlogical to /dev/null", bare.as_slice());
    let row = format!("relay/decode/{name}");
    report.versus(&row, "events/s", ours, limit, Some(Target::RatioAtLeast(0.8)));
    // The warming round is in here, too.
    report.alone(&format!("{row}/cpu"), "us/event", &cpu[1..], Some(Target::AtMost(CPU, "us")));
    into_kafka(report, &source, events, &row)
}

/// PostgreSQL's own client of a slot, with the same options, up to the end of the backlog.
fn bare(source: &Source, slot: &str, end: &str, events: usize) -> Result<f64> {
    let mut reader = Command::new(source.program("pg_recvlogical")?);
    reader.args(["--start", "--no-loop", "--file=/dev/null", "--slot", slot, "--endpos", end]);
    for option in ["proto_version=1", "publication_names=tidings", "messages=true"] {
        reader.args(["--option", option]);
    }
    reader.args(["--dbname", &source.server.url()]).stdin(Stdio::null());
    let start = Instant::now();
    let output = reader.output().context("cannot start pg_recvlogical")?;
    let took = start.elapsed();
    if !output.status.success() {
        bail!("pg_recvlogical: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(events as f64 / took.as_secs_f64())
}

fn into_kafka(report: &mut Report, source: &Source, events: usize, row: &str) -> Result<()> {
    let kafka = Kafka::start(&[])?;
    let open = || -> Result<Arc<dyn Log>> { Ok(KafkaLog::open(KafkaSettings::new(kafka.bootstrap()))?) };
    let found = through(source, Discovery::Decode { slot: Some(source.rewind()?) }, open, events)?;
    report.alone(&format!("{row}/kafka"), "events/s", &[found.rate], None);
    report.alone(&format!("{row}/kafka/cpu"), "us/event", &[found.cpu], None);
    Ok(())
}
