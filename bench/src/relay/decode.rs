//! Draining by logical decoding, beside PostgreSQL's own reader of a slot.

use std::cell::RefCell;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use services::Kafka;
use tidings_core::port::Log;
use tidings_kafka::{KafkaLog, KafkaSettings};
use tidings_postgres::Discovery;

use super::{Through, nowhere, through};
use crate::log::kept;
use crate::measure::{Scale, children_cpu, contender, runtime, take_turns};
use crate::postgres::Source;
use crate::report::{Report, Target};

/// The most microseconds of CPU time that one event may take.
const CPU: f64 = 8.0;

pub(super) fn run(report: &mut Report, scale: Scale, kafka: &Kafka) -> Result<()> {
    report.section("PostgreSQL: a backlog by logical decoding, into a log that keeps nothing");
    shape(report, scale, kafka, ("one-row", scale.of(200_000, 40_000), 1))?;
    shape(report, scale, kafka, ("thousand-row", scale.of(400_000, 80_000), 1000))
}

fn shape(
    report: &mut Report,
    scale: Scale,
    kafka: &Kafka,
    (name, events, together): (&str, usize, usize),
) -> Result<()> {
    report
        .note(format!("{events} events of about 300 bytes, {together} in a transaction, of 4,000 entities"));
    let source = Source::start(report)?;
    source.keep_place()?;
    let end = source.load(events, together)?;
    let (cpu, bare_cpu) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let figures = take_turns(
        scale.rounds(),
        &mut [
            contender(|| {
                let way = Discovery::Decode { slot: Some(source.rewind()?) };
                let found = through(&source, way, nowhere, events)?;
                cpu.borrow_mut().push(found.cpu);
                Ok(found.rate)
            }),
            contender(|| {
                let found = bare(&source, (&source.rewind()?, &end), events, together)?;
                bare_cpu.borrow_mut().push(found.cpu);
                Ok(found.rate)
            }),
        ],
    )?;
    let [ours, bare] = figures.as_slice() else { bail!("a contender is missing") };
    let reader = "pg_recvlogical to /dev/null";
    let row = format!("relay/decode/{name}");
    report.versus(&row, "events/s", ours, (reader, bare), Some(Target::RatioAtLeast(0.8)));
    // The warming rounds are in here, too.
    let (cpu, bare_cpu) = (cpu.take(), bare_cpu.take());
    let target = Some(Target::AtMost(CPU, "us"));
    report.versus(&format!("{row}/cpu"), "us/event", &cpu[1..], (reader, &bare_cpu[1..]), target);
    into_kafka(report, scale, (&source, kafka), events, &row)
}

/// PostgreSQL's own client of a slot, with the same options, up to the end of the backlog.
fn bare(source: &Source, (slot, end): (&str, &str), events: usize, together: usize) -> Result<Through> {
    let mut reader = Command::new(source.program("pg_recvlogical")?);
    reader.args(["--start", "--no-loop", "--file=/dev/null", "--slot", slot, "--endpos", end]);
    for option in ["proto_version=1", "publication_names=tidings", "messages=true"] {
        reader.args(["--option", option]);
    }
    reader.args(["--dbname", &source.server.url()]).stdin(Stdio::null());
    let (cpu, start) = (children_cpu()?, Instant::now());
    let output = reader.output().context("cannot start pg_recvlogical")?;
    let took = start.elapsed();
    if !output.status.success() {
        bail!("pg_recvlogical: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let used = children_cpu()? - cpu;
    source.told(slot, events / together).context("pg_recvlogical did not read everything")?;
    Ok(Through { rate: events as f64 / took.as_secs_f64(), cpu: used.as_secs_f64() * 1e6 / events as f64 })
}

/// The same into topics that nobody has written to. Half of the way has no bare counterpart here: see the bench `log`.
fn into_kafka(
    report: &mut Report,
    scale: Scale,
    (source, kafka): (&Source, &Kafka),
    events: usize,
    row: &str,
) -> Result<()> {
    let (mut rates, mut cpu) = (Vec::new(), Vec::new());
    for round in 0..=scale.rounds() {
        let mut settings = KafkaSettings::new(kafka.bootstrap());
        settings.prefix = format!("{}-{round}-", row.replace('/', "-"));
        let open = || -> Result<Arc<dyn Log>> { Ok(KafkaLog::open(settings.clone())?) };
        let found = through(source, Discovery::Decode { slot: Some(source.rewind()?) }, open, events)?;
        let kept = there(&settings)?;
        if kept <= events as u64 {
            bail!("Kafka has {kept} records of {events} events, and marks");
        }
        // The first round warms up.
        if round > 0 {
            rates.push(found.rate);
            cpu.push(found.cpu);
        }
    }
    report.alone(&format!("{row}/kafka"), "events/s", &rates, None);
    report.alone(&format!("{row}/kafka/cpu"), "us/event", &cpu, None);
    Ok(())
}

/// How many records there are, marks too.
fn there(settings: &KafkaSettings) -> Result<u64> {
    let runtime = runtime()?;
    let _entered = runtime.enter();
    runtime.block_on(kept(&*KafkaLog::open(settings.clone())?))
}
