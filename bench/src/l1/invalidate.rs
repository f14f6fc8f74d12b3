//! Invalidating, by how many entries depend on what changed.

use std::cell::Cell;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tidings::{Entity, Region, Stamp, Version};

use super::live::{Depends, KIND, Live};
use super::{ENTRIES, ROOM, ROUNDS, Raw, key, value};
use crate::measure::{Random, contender, cpu_per, take_turns};
use crate::report::{Report, Target};

/// Per round.
const INVALIDATIONS: usize = 20_000;
/// Entities for the comparison by fan-out: as few as there are with the widest.
const FEW: usize = 10;

pub(super) fn run(report: &mut Report) -> Result<()> {
    report.section("L1 invalidate, 1,000,000 entries, CPU time");
    let keys: Vec<_> = (0..ENTRIES).map(key).collect();
    let raw = Raw::new(ROOM);
    keys.iter().enumerate().for_each(|(number, key)| raw.insert(key.clone(), Arc::new(value(number))));
    let own = Live::filled(ROOM, &keys, Depends::Own(1))?;
    let thousand = Live::filled(ROOM, &keys, Depends::Shared(1000))?;
    let many = Live::filled(ROOM, &keys, Depends::Shared(ENTRIES / FEW))?;

    let all = keys.iter().map(|key| Entity::new(KIND, key)).collect::<Result<Vec<_>, _>>()?;
    let shared =
        |count| (0..count).map(|n| Entity::new(KIND, &usize::to_string(&n))).collect::<Result<Vec<_>, _>>();
    let (thousandth, few) = (shared(ENTRIES / 1000)?, shared(FEW)?);
    let version = Cell::new(Version::ZERO.next());
    let raise = |copy: &Live, entities: &[Entity]| raise(copy, entities, &version);
    let figures = take_turns(
        ROUNDS,
        &mut [
            contender(|| remove(&raw, &keys, &version)),
            contender(|| raise(&own, &all)),
            contender(|| raise(&thousand, &thousandth)),
            contender(|| raise(&many, &few)),
            contender(|| raise(&own, &all[..FEW])),
        ],
    )?;
    let [removed, one, thousand, most, few_of_one] = figures.as_slice() else {
        bail!("a contender is missing")
    };
    let engine = ("quick_cache remove of one key", removed.as_slice());
    let target = Some(Target::RatioAtMost(1.5));
    report.versus("l1/invalidate/1-dependent", "ns", one, engine, target);
    report.versus("l1/invalidate/1,000-dependents", "ns", thousand, engine, target);
    report.versus("l1/invalidate/100,000-dependents", "ns", most, engine, target);
    // As flat as two measurements of the same thing.
    let flat = ("the same number of entities with 1 dependent", few_of_one.as_slice());
    report.versus("l1/invalidate/flat", "ns", most, flat, Some(Target::RatioAtMost(1.2)));
    gone(&many, &keys[0])?;
    bump(report, &keys)
}

/// Removes random keys that are there, and puts them back unmeasured.
fn remove(raw: &Raw, keys: &[String], version: &Cell<Version>) -> Result<f64> {
    let mut random = Random(version.get().number());
    let chosen: Vec<_> = (0..INVALIDATIONS).map(|_| random.below(keys.len())).collect();
    let figure = cpu_per(chosen.len(), || {
        for number in &chosen {
            raw.remove(&keys[*number]);
        }
        Ok(())
    })?;
    chosen.iter().for_each(|number| raw.insert(keys[*number].clone(), Arc::new(value(*number))));
    Ok(figure)
}

/// Raises the floors of random entities, each time higher than before.
fn raise(copy: &Live, entities: &[Entity], version: &Cell<Version>) -> Result<f64> {
    let mut random = Random(version.get().number());
    let chosen: Vec<_> = (0..INVALIDATIONS).map(|_| &entities[random.below(entities.len())]).collect();
    copy.mark()?;
    cpu_per(chosen.len(), || {
        for entity in chosen {
            version.set(version.get().next());
            copy.fence.raise(entity, Stamp::of(version.get()));
        }
        Ok(())
    })
}

fn bump(report: &mut Report, keys: &[String]) -> Result<()> {
    let copy = Live::filled(ROOM, keys, Depends::Region)?;
    let region = Region::new("category", "everything")?;
    let held = copy.view.cached(&keys[0]);
    held.context("the entry to be invalidated was not there")?;
    let figures = take_turns(
        ROUNDS,
        &mut [contender(|| {
            cpu_per(INVALIDATIONS, || {
                (0..INVALIDATIONS).for_each(|_| copy.fence.bump(&region));
                Ok(())
            })
        })],
    )?;
    gone(&copy, &keys[0])?;
    report.alone("l1/bump/1,000,000-dependents", "ns", &figures[0], Some(Target::AtMost(1000.0, "ns")));
    Ok(())
}

fn gone(copy: &Live, key: &String) -> Result<()> {
    match copy.view.cached(key) {
        Some(_) => bail!("an entry was served after its invalidation"),
        None => Ok(()),
    }
}
