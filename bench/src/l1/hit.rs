//! Reading what is there.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Result, bail};
use foldhash::fast::RandomState;
use tidings::{BoxError, Fill, Loaded};

use super::live::{Depends, Live};
use super::{ENTRIES, Foyer, Moka, ROOM, ROUNDS, Raw, Value, key, value};
use crate::measure::{Random, at_once, contender, nanos, take_turns, thread_cpu};
use crate::report::{Report, Target};

const HOT: usize = 4096;
const HOT_PASSES: usize = 250;
const ZIPF_READS: usize = 500_000;

/// Which keys are read: the list, so many times.
struct Traffic {
    name: &'static str,
    /// Of each thread, in the order of reading, so that fetching the key itself is no part of what is measured.
    keys: [Vec<String>; 2],
    passes: usize,
}

/// All caches at once, each with all entries.
struct Caches {
    raw: Raw,
    one: Live,
    four: Live,
    moka: Moka,
    foyer: Foyer,
}

pub(super) fn run(report: &mut Report) -> Result<()> {
    report.section("L1 hit, CPU time: hot, 4,096 entries; zipf 0.99 over 1,000,000");
    let few = Caches::filled(HOT, 4 * HOT)?;
    allocations(report, &few.one)?;
    both(report, &few, &Traffic::hot())?;
    drop(few);
    both(report, &Caches::filled(ENTRIES, ROOM)?, &Traffic::zipf())
}

fn both(report: &mut Report, caches: &Caches, traffic: &Traffic) -> Result<()> {
    [1, 2].into_iter().try_for_each(|threads| compare(report, caches, traffic, threads))
}

impl Traffic {
    fn hot() -> Self {
        let list = |seed| {
            let numbers = Random(seed).shuffled(HOT);
            numbers.into_iter().map(key).collect()
        };
        Self { name: "hot", keys: [list(1), list(2)], passes: HOT_PASSES }
    }

    fn zipf() -> Self {
        let first: Vec<_> = Random(3).zipf(ENTRIES, 0.99, ZIPF_READS).into_iter().map(key).collect();
        // What is popular is so for both threads.
        let (head, tail) = first.split_at(ZIPF_READS / 2);
        let second = [tail, head].concat();
        Self { name: "zipf", keys: [first, second], passes: 1 }
    }
}

impl Caches {
    fn filled(entries: usize, room: usize) -> Result<Self> {
        let keys: Vec<_> = (0..entries).map(key).collect();
        let one = Live::filled(room, &keys, Depends::Own(1))?;
        let four = Live::filled(room, &keys, Depends::Own(4))?;
        let raw = Raw::new(room);
        let moka =
            moka::sync::Cache::builder().max_capacity(room as u64).build_with_hasher(RandomState::default());
        let foyer = foyer::CacheBuilder::new(room).with_hash_builder(RandomState::default()).build();
        for (number, key) in keys.iter().enumerate() {
            raw.insert(key.clone(), Arc::new(value(number)));
            moka.insert(key.clone(), Arc::new(value(number)));
            foyer.insert(key.clone(), Arc::new(value(number)));
        }
        moka.run_pending_tasks();
        Ok(Self { raw, one, four, moka, foyer })
    }
}

fn compare(report: &mut Report, caches: &Caches, traffic: &Traffic, threads: usize) -> Result<()> {
    let Caches { raw, one, four, moka, foyer } = caches;
    let first = |value: &Value| value[0];
    let figures = take_turns(
        ROUNDS,
        &mut [
            contender(|| read(traffic, threads, |key| raw.get(key).map(|hit| first(&hit)))),
            contender(|| read_view(one, traffic, threads)),
            contender(|| read_view(four, traffic, threads)),
            contender(|| read(traffic, threads, |key| get(one, key))),
            contender(|| read(traffic, threads, |key| moka.get(key).map(|hit| first(&hit)))),
            contender(|| read(traffic, threads, |key| foyer.get(key).map(|hit| first(hit.value())))),
        ],
    )?;
    let [raw, one, four, get, moka, foyer] = figures.as_slice() else { bail!("a contender is missing") };
    let row = |what: &str| format!("l1/hit/{}/{threads}-threads/{what}", traffic.name);
    let engine = ("quick_cache", raw.as_slice());
    report.versus(&row("1-dependency"), "ns", one, engine, Some(Target::RatioAtMost(1.3)));
    report.versus(&row("4-dependencies"), "ns", four, engine, Some(Target::RatioAtMost(1.6)));
    report.versus(&row("get-future"), "ns", get, engine, None);
    report.versus(&row("beside-moka"), "ns", one, ("moka", moka), Some(Target::RatioAtMost(0.333)));
    report.versus(&row("beside-foyer"), "ns", one, ("foyer", foyer), None);
    Ok(())
}

fn read_view(copy: &Live, traffic: &Traffic, threads: usize) -> Result<f64> {
    copy.mark()?;
    read(traffic, threads, |key| copy.view.cached(key).and_then(|hit| hit.value().map(|value| value[0])))
}

/// The asynchronous way in, which a hit leaves without waiting.
fn get(copy: &Live, key: &String) -> Option<u8> {
    let nothing = |_: Fill| async { Err::<Loaded<Value>, BoxError>("nothing should be loaded".into()) };
    let hit = at_once(copy.view.get(key, nothing)).ok()?.ok()?;
    hit.value().map(|value| value[0])
}

/// Nanoseconds of CPU time per read.
fn read(traffic: &Traffic, threads: usize, lookup: impl Fn(&String) -> Option<u8> + Sync) -> Result<f64> {
    let pass = |keys: &[String]| {
        let (before, mut found) = (thread_cpu(), 0);
        for _ in 0..traffic.passes {
            found += keys.iter().filter(|key| black_box(lookup(key)).is_some()).count();
        }
        (nanos(thread_cpu() - before), found)
    };
    let results = match threads {
        1 => vec![pass(&traffic.keys[0])],
        _ => std::thread::scope(|scope| {
            let running = traffic.keys.iter().map(|keys| scope.spawn(|| pass(keys))).collect::<Vec<_>>();
            running.into_iter().filter_map(|thread| thread.join().ok()).collect()
        }),
    };
    let reads = traffic.keys[0].len() * traffic.passes * threads;
    let found: usize = results.iter().map(|(_, found)| found).sum();
    if found < reads / 1000 * 999 {
        bail!("only {found} of {reads} reads were hits");
    }
    Ok(results.iter().map(|(nanos, _)| nanos).sum::<f64>() / reads as f64)
}

fn allocations(report: &mut Report, copy: &Live) -> Result<()> {
    let keys: Vec<_> = (0..1000).map(key).collect();
    let mut found = 0;
    let counted = allocation_counter::measure(|| {
        found = keys.iter().filter(|key| copy.view.cached(key).is_some()).count();
    });
    if found < keys.len() / 100 * 99 {
        bail!("only {found} of {} keys were hits", keys.len());
    }
    let per_hit = counted.count_total as f64 / keys.len() as f64;
    report.alone("l1/hit/allocations", "allocations", &[per_hit], Some(Target::AtMost(0.0, "allocations")));
    Ok(())
}
