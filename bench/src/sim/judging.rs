//! The checker, with numbers, with names, and from a file in memory: the same history each time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tidings_core::{Entity, Freshness, Outcome, Path, Stamp, Version};
use tidings_testkit::history::{self, Nanos, Record, State};
use tidings_testkit::judge::{self, Judge};
use tidings_testkit::{Checker, Invariant, Verdict};

use crate::measure::{Random, contender, take_turns, thread_cpu};
use crate::report::{Report, Target};

const ROUNDS: usize = 5;
const RECORDS: usize = 1_000_000;
const ENTITIES: usize = 10_000;
const COPIES: u32 = 3;
/// Time between two records.
const STEP: Nanos = 1_000;
/// The caller's word that nothing older is missing comes this often, in records.
const SETTLED: usize = 10_000;
const BOUND: Duration = Duration::from_secs(1);

/// One record, whatever it will be handed in as.
enum Line {
    Commit { entity: usize, stamp: Stamp },
    Applied { copy: u32, entity: usize, stamp: Stamp },
    Read { copy: u32, shows: [(usize, Stamp); 3], many: usize, is_fresh: bool },
}

pub(crate) fn run(report: &mut Report) -> Result<()> {
    report.section(
        "The checker: 10,000 entities, 3 copies, 90 % reads of 2 or 3 of them, CPU time of one core",
    );
    let lines = lines();
    let records = Named::new()?.records(&lines);
    let file = written(&records)?;
    let figures = take_turns(
        ROUNDS,
        &mut [contender(|| numbered(&lines)), contender(|| named(&records)), contender(|| from_file(&file))],
    )?;
    let unit = "records/s";
    for (name, samples) in ["sim/judge", "sim/checker", "sim/checker-file"].into_iter().zip(&figures) {
        let target = (name != "sim/checker-file").then_some(Target::AtLeast(2_000_000.0, unit));
        report.alone(name, unit, samples, target);
    }
    report.note(format!("the file has {} bytes a record", file.len() / records.len()));
    Ok(())
}

/// Every commit is applied at every copy; every read shows what was newest when it began.
fn lines() -> Vec<Line> {
    let mut random = Random(3);
    let mut newest = vec![0; ENTITIES];
    let mut due = Vec::new();
    let stamp = |version| Stamp::of(Version::new(version).unwrap_or_default());
    let line = |at: usize| {
        if at.is_multiple_of(40) {
            let entity = random.below(ENTITIES);
            newest[entity] += 1;
            let stamp = stamp(newest[entity]);
            due.extend((0..COPIES).map(|copy| Line::Applied { copy, entity, stamp }));
            return Line::Commit { entity, stamp };
        }
        if let Some(applied) = due.pop_if(|_| at % 10 == 3) {
            return applied;
        }
        let shows = std::array::from_fn(|_| {
            let entity = random.below(ENTITIES);
            (entity, stamp(newest[entity]))
        });
        let copy = (at % COPIES as usize) as u32;
        Line::Read { copy, shows, many: 2 + at % 2, is_fresh: random.below(3) > 0 }
    };
    (0..RECORDS).map(line).collect()
}

const fn freshness(is_fresh: bool) -> Freshness {
    if is_fresh { Freshness::Fresh } else { Freshness::Within(Duration::from_millis(1)) }
}

/// When a record begins; it ends half a step later.
const fn began(at: usize) -> Nanos {
    (at as Nanos + 1) * STEP
}

const fn ended(at: usize) -> Nanos {
    began(at) + STEP / 2
}

/// Until when everything is known after this record. Those that say who subscribed come before the first.
fn settled(at: usize) -> Option<Nanos> {
    (at % SETTLED == SETTLED - 1).then(|| began(at.saturating_sub(COPIES as usize)))
}

fn rate(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = thread_cpu();
    work()?;
    Ok(RECORDS as f64 / (thread_cpu() - before).as_secs_f64())
}

fn numbered(lines: &[Line]) -> Result<f64> {
    rate(|| {
        let mut judge = Judge::default();
        let entities: Vec<_> = (0..ENTITIES).map(|_| judge.entity(0)).collect();
        (0..COPIES).for_each(|copy| judge.subscribed(copy, None, 0));
        for (at, line) in lines.iter().enumerate() {
            match line {
                Line::Commit { entity, stamp } => {
                    judge.commit(&judge::Commit {
                        entity: entities[*entity],
                        stamp: *stamp,
                        began: began(at),
                        ended: ended(at),
                        deleted: false,
                        digest: 0,
                        window: None,
                        revokes: None,
                    });
                }
                Line::Applied { copy, entity, stamp } => judge.applied(&judge::Applied {
                    copy: *copy,
                    entity: entities[*entity],
                    stamp: *stamp,
                    outcome: Outcome::Applied,
                    at: ended(at),
                }),
                Line::Read { copy, shows, many, is_fresh } => {
                    let read = judge::Read {
                        copy: *copy,
                        session: 0,
                        token: None,
                        began: began(at),
                        ended: ended(at),
                        freshness: freshness(*is_fresh),
                        path: Path::L1,
                        bound: Some(BOUND),
                    };
                    let shown = shows.map(|(entity, stamp)| judge::Shown {
                        entity: entities[entity],
                        state: State::at(stamp),
                    });
                    judge.read(read, &shown[..*many]);
                }
            }
            if let Some(time) = settled(at) {
                judge.settle(time);
                judge.forget_before(time);
            }
        }
        judge.finish();
        clean(judge.found().first().map(|found| (found.invariant, found.what.as_str())))
    })
}

fn named(records: &[Record]) -> Result<f64> {
    rate(|| {
        let mut checker = Checker::new();
        for (at, record) in records.iter().enumerate() {
            checker.add(record);
            if let Some(time) = settled(at) {
                checker.advance(time);
            }
        }
        clean_verdict(&checker.verdict()?)
    })
}

/// The same records, as `tidings dev --history` writes them.
fn written(records: &[Record]) -> Result<Vec<u8>> {
    let mut writer = history::Writer::new(Vec::new())?;
    for (at, record) in records.iter().enumerate() {
        writer.record(record)?;
        if let Some(time) = settled(at) {
            writer.settled(time)?;
        }
    }
    Ok(writer.finish()?)
}

fn from_file(file: &[u8]) -> Result<f64> {
    rate(|| clean_verdict(&history::check(history::Reader::new(file), 1)?))
}

fn clean_verdict(verdict: &Verdict) -> Result<()> {
    clean(verdict.violations.first().map(|violation| (violation.invariant, violation.what.as_str())))
}

fn clean(found: Option<(Invariant, &str)>) -> Result<()> {
    match found {
        Some((invariant, what)) => bail!("a history without a fault was found faulty: {invariant:?}: {what}"),
        None => Ok(()),
    }
}

/// The names of everything.
struct Named {
    entities: Vec<Entity>,
    copies: Vec<Arc<str>>,
    view: Arc<str>,
    keys: Vec<Arc<str>>,
}

impl Named {
    fn new() -> Result<Self> {
        let entities = (0..ENTITIES).map(|number| Entity::new("price", &format!("SKU-{number:06}")));
        Ok(Self {
            entities: entities.collect::<Result<_, _>>()?,
            copies: (0..COPIES).map(|copy| format!("cache-{copy}").into()).collect(),
            view: "product_detail".into(),
            keys: (0..ENTITIES).map(|number| format!("SKU-{number:06}").into()).collect(),
        })
    }

    fn records(&self, lines: &[Line]) -> Vec<Record> {
        let subscribed =
            self.copies.iter().map(|copy| Record::Subscribed { copy: copy.clone(), kind: None, from: 0 });
        subscribed.chain(lines.iter().enumerate().map(|(at, line)| self.record(at, line))).collect()
    }

    fn record(&self, at: usize, line: &Line) -> Record {
        let entity = |number: usize| self.entities[number].clone();
        let copy = |number: u32| self.copies[number as usize].clone();
        match *line {
            Line::Commit { entity: number, stamp } => {
                Record::Commit(history::Commit::of(entity(number), stamp, began(at), Some(ended(at))))
            }
            Line::Applied { copy: by, entity: number, stamp } => Record::Applied(history::Applied {
                copy: copy(by),
                entity: entity(number),
                stamp,
                outcome: Outcome::Applied,
                at: ended(at),
            }),
            Line::Read { copy: by, shows, many, is_fresh } => Record::Read(history::Read {
                copy: copy(by),
                session: 0,
                view: self.view.clone(),
                key: self.keys[shows[0].0].clone(),
                shows: shows[..many]
                    .iter()
                    .map(|(number, stamp)| history::Shown::at(entity(*number), *stamp))
                    .collect(),
                token: None,
                began: began(at),
                ended: ended(at),
                freshness: freshness(is_fresh),
                path: Path::L1,
                bound: Some(BOUND),
            }),
        }
    }
}
