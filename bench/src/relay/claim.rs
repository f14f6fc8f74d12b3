//! Draining by asking the table, beside the bare loop: read by key behind a safe guard, then delete what was read.

use std::time::Instant;

use anyhow::{Result, bail};
use tidings_postgres::Discovery;

use super::{nowhere, through};
use crate::measure::{Scale, contender, runtime, take_turns};
use crate::postgres::Source;
use crate::report::{Report, Target};

/// Rows that the bare loop reads at once.
const BATCH: i64 = 1000;
/// Nothing that an open transaction could still overtake.
const READ: &str = "
    SELECT seq, id::text, aggregatetype, aggregateid, type, timeline, version, time::text, payload::text FROM bare
    WHERE seq > $1 AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY seq LIMIT $2";
const DELETE: &str = "DELETE FROM bare WHERE seq > $1 AND seq <= $2";
const COPY: &str = "
    DROP TABLE IF EXISTS bare;
    CREATE TABLE bare (LIKE tidings.outbox INCLUDING ALL);
    INSERT INTO bare SELECT * FROM tidings.outbox;
    ANALYZE bare";

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    report.section("PostgreSQL: a backlog by asking the table, one-row transactions");
    let events = scale.of(200_000, 40_000);
    report.note(format!("{events} events of about 300 bytes, of 4,000 entities"));
    let source = Source::start(report)?;
    source.load(events, 1)?;
    let mut cpu = Vec::new();
    let figures = take_turns(
        scale.rounds(),
        &mut [
            contender(|| {
                source.rewind_table()?;
                let found = through(&source, Discovery::Claim, nowhere, events)?;
                cpu.push(found.cpu);
                Ok(found.rate)
            }),
            contender(|| bare(&source, events, false)),
            contender(|| bare(&source, events, true)),
        ],
    )?;
    let [ours, read, deleted] = figures.as_slice() else { bail!("a contender is missing") };
    let limit = ("read by key and delete", deleted.as_slice());
    report.versus("relay/claim", "events/s", ours, limit, Some(Target::RatioAtLeast(0.8)));
    report.versus("relay/claim/read", "events/s", ours, ("read by key alone", read), None);
    report.alone("relay/claim/cpu", "us/event", &cpu[1..], None);
    report.note(
        "Ours deletes no row: rows go with their whole partition. So the limit is between the two.".into(),
    );
    Ok(())
}

/// From a fresh copy: what a round has deleted is there again.
fn bare(source: &Source, events: usize, deletes: bool) -> Result<f64> {
    source.server.query(COPY)?;
    runtime()?.block_on(async {
        let mut client = source.address.connect("bench", "").await?;
        let (read, delete) = (client.prepare(READ).await?, client.prepare(DELETE).await?);
        let (mut from, mut count, start) = (0_i64, 0, Instant::now());
        while count < events {
            let batch = client.transaction().await?;
            let rows = batch.query(&read, &[&from, &BATCH]).await?;
            let Some(last) = rows.last() else { bail!("only {count} rows were there") };
            let to: i64 = last.get(0);
            if deletes {
                batch.execute(&delete, &[&from, &to]).await?;
            }
            batch.commit().await?;
            (from, count) = (to, count + rows.len());
        }
        Ok(events as f64 / start.elapsed().as_secs_f64())
    })
}
