//! Filling: ticket, a load that has its answer at once, the accept rule, and the entry becomes visible.

use std::sync::Arc;

use anyhow::{Result, bail};

use super::live::{Depends, Live};
use super::{ROUNDS, Raw, key, value};
use crate::measure::{contender, cpu_per, take_turns};
use crate::report::{Report, Target};

const NEW: usize = 200_000;
const ROOM: usize = NEW / 4 * 5;

pub(super) fn run(report: &mut Report) -> Result<()> {
    report.section("L1 insert of new keys, the whole way of a miss, CPU time");
    let keys: Vec<_> = (0..NEW).map(key).collect();
    let figures = take_turns(
        ROUNDS,
        &mut [contender(|| insert(&keys)), contender(|| fill(&keys, 1)), contender(|| fill(&keys, 4))],
    )?;
    let [raw, one, four] = figures.as_slice() else { bail!("a contender is missing") };
    let engine = ("quick_cache", raw.as_slice());
    report.versus("l1/insert/1-dependency", "ns", one, engine, Some(Target::RatioAtMost(2.0)));
    report.versus("l1/insert/4-dependencies", "ns", four, engine, None);
    Ok(())
}

fn insert(keys: &[String]) -> Result<f64> {
    let raw = Raw::new(ROOM);
    cpu_per(keys.len(), || {
        for (number, key) in keys.iter().enumerate() {
            raw.insert(key.clone(), Arc::new(value(number)));
        }
        Ok(())
    })
}

fn fill(keys: &[String], dependencies: usize) -> Result<f64> {
    let copy = Live::new(ROOM)?;
    let figure = cpu_per(keys.len(), || copy.fill(keys, Depends::Own(dependencies)))?;
    let kept = copy.view.entries();
    if kept < keys.len() / 100 * 99 {
        bail!("only {kept} of {} fills were kept", keys.len());
    }
    Ok(figure)
}
