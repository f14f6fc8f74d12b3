//! What the outbox costs a commit.

use std::cell::Cell;
use std::time::Instant;

use anyhow::{Result, bail};
use rusqlite::{Connection, Transaction};
use tidings_sqlite::outbox;

use super::{directory, pricing};
use crate::measure::{contender, nanos, take_turns, thread_cpu};
use crate::report::{Report, Target};

const ROUNDS: usize = 15;
const COMMITS: usize = 150;

/// A way to change a price, in a database of its own.
struct Way {
    connection: Connection,
    change: fn(&Transaction<'_>, usize) -> Result<()>,
    done: usize,
    /// CPU time per commit, by round.
    cpu: Vec<f64>,
}

pub(super) fn run(report: &mut Report) -> Result<()> {
    report.section("SQLite: one UPDATE with its event, committed with synchronous=FULL");
    let directory = directory()?;
    let way = |name: &str, change| -> Result<Cell<Option<Way>>> {
        let connection = pricing::create(&directory.path().join(name))?;
        Ok(Cell::new(Some(Way { connection, change, done: 0, cpu: Vec::new() })))
    };
    let ours = way("ours.db", |tx, number| {
        pricing::update(tx, number)?;
        outbox::record(tx, &pricing::draft(number)?)?;
        Ok(())
    })?;
    let by_hand = way("by-hand.db", |tx, number| {
        pricing::update(tx, number)?;
        pricing::insert(tx, number)
    })?;
    let same_rows = way("same-rows.db", |tx, number| {
        pricing::update(tx, number)?;
        pricing::assign(tx, number)?;
        pricing::insert(tx, number)
    })?;
    let update = way("update.db", pricing::update)?;
    let ways = [ours, by_hand, same_rows, update];
    let mut contenders: Vec<_> = ways.iter().map(|way| contender(move || commits(way))).collect();
    let figures = take_turns(ROUNDS, &mut contenders)?;
    drop(contenders);
    let [ours, by_hand, same_rows, update] = figures.as_slice() else { bail!("a contender is missing") };
    let (insert, rows) =
        (("UPDATE and a plain INSERT", by_hand.as_slice()), ("the same rows by hand", same_rows.as_slice()));
    report.versus("sqlite/commit/insert", "commits/s", ours, insert, Some(Target::RatioAtLeast(0.95)));
    report.versus("sqlite/commit/same-rows", "commits/s", ours, rows, Some(Target::RatioAtLeast(0.85)));
    report.versus("sqlite/commit/update-only", "commits/s", ours, ("UPDATE alone", update), None);
    let cpu: Vec<_> = ways.into_iter().filter_map(|way| way.take().map(|way| way.cpu)).collect();
    let [ours, by_hand, same_rows, update] = cpu.as_slice() else { bail!("a contender is missing") };
    report.versus("sqlite/commit/cpu-insert", "us", ours, ("UPDATE and a plain INSERT", by_hand), None);
    report.versus("sqlite/commit/cpu-same-rows", "us", ours, ("the same rows by hand", same_rows), None);
    report.versus("sqlite/commit/cpu-update-only", "us", ours, ("UPDATE alone", update), None);
    Ok(())
}

fn commits(way: &Cell<Option<Way>>) -> Result<f64> {
    let Some(mut own) = way.take() else { bail!("a contender is missing") };
    let (cpu, start) = (thread_cpu(), Instant::now());
    for _ in 0..COMMITS {
        let tx = pricing::begin(&mut own.connection)?;
        (own.change)(&tx, own.done)?;
        tx.commit()?;
        own.done += 1;
    }
    let took = start.elapsed();
    own.cpu.push(nanos(thread_cpu() - cpu) / 1000.0 / COMMITS as f64);
    way.set(Some(own));
    Ok(COMMITS as f64 / took.as_secs_f64())
}
