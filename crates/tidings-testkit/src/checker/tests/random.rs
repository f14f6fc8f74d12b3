//! Random histories of a correct deployment are never flagged; one doctored record always is, under the right name.

use std::time::{Duration, Instant};

use super::*;
use crate::rng::Rng;

const ENTITIES: usize = 6;
const COPIES: usize = 3;
const BOUND: Duration = Duration::from_nanos(400);

/// A deployment in miniature: what is true at each moment, and what each copy holds.
struct World {
    rng: Rng,
    now: Nanos,
    /// Per entity, the commits so far.
    commits: Vec<Vec<Commit>>,
    /// Per copy and entity, the version held.
    held: [[u64; ENTITIES]; COPIES],
    records: Vec<Record>,
}

fn entity(n: usize) -> Entity {
    Entity::parse(&format!("price/{n}")).unwrap()
}

fn copy(n: usize) -> std::sync::Arc<str> {
    format!("cache-{n}").into()
}

impl World {
    fn run(seed: u64, steps: usize) -> Vec<Record> {
        let mut world = Self {
            rng: Rng::new(seed),
            now: 1000,
            commits: vec![Vec::new(); ENTITIES],
            held: [[0; ENTITIES]; COPIES],
            records: Vec::new(),
        };
        for n in 0..COPIES {
            world.records.push(Record::Subscribed { copy: copy(n), kind: Some("price".into()), from: 0 });
        }
        for _ in 0..steps {
            world.now += 1 + world.rng.below(20) as u64;
            match world.rng.below(10) {
                0 => world.commit(),
                1 | 2 => world.apply(),
                _ => world.read(),
            }
        }
        world.finish()
    }

    /// Commits at `now`, of which the caller learns later.
    fn commit(&mut self) {
        let n = self.rng.below(ENTITIES);
        let number = self.commits[n].len() as u64 + 1;
        let began = self.now - self.rng.below(30) as u64;
        let began = self.commits[n].last().map_or(began, |last| began.max(last.began + 1));
        let answered = self.rng.chance(0.95);
        let ended = answered.then(|| self.now + self.rng.below(60) as u64);
        let commit = Commit { entity: entity(n), stamp: stamp(number), began: began.min(self.now), ended };
        self.commits[n].push(commit.clone());
        self.records.push(Record::Commit(commit));
    }

    /// One copy hears of one entity's newest version, skipping what was superseded.
    fn apply(&mut self) {
        let (c, n) = (self.rng.below(COPIES), self.rng.below(ENTITIES));
        self.catch_up(c, n);
    }

    fn catch_up(&mut self, c: usize, n: usize) {
        let newest = self.commits[n].len() as u64;
        self.held[c][n] = self.held[c][n].max(newest);
        if newest > 1 && self.rng.chance(0.05) {
            // What is parked supersedes nothing: its predecessor had to be applied.
            self.applied(c, n, newest - 1, Outcome::Applied);
            self.applied(c, n, newest, Outcome::Parked);
        } else if newest > 0 {
            self.applied(c, n, newest, Outcome::Applied);
        }
    }

    fn applied(&mut self, c: usize, n: usize, number: u64, outcome: Outcome) {
        let (copy, entity, at) = (copy(c), entity(n), self.now);
        self.records.push(Record::Applied(Applied { copy, entity, stamp: stamp(number), outcome, at }));
    }

    fn read(&mut self) {
        let c = self.rng.below(COPIES);
        let began = self.now - self.rng.below(40) as u64;
        let ended = self.now + self.rng.below(40) as u64;
        let first = self.rng.below(ENTITIES);
        let chosen: Vec<usize> = (first..ENTITIES).take(1 + self.rng.below(3)).collect();
        let from_source = self.rng.chance(0.3);
        let direct = self.rng.chance(0.1);
        let mut lag = Duration::ZERO;
        let mut deps = Vec::new();
        for n in chosen {
            let newest = self.commits[n].len() as u64;
            if from_source && !direct {
                self.held[c][n] = newest;
            }
            let shown = if direct { newest } else { self.held[c][n] };
            lag = lag.max(self.lag(n, shown, began));
            deps.push((entity(n), stamp(shown)));
        }
        let fresh = from_source && !direct;
        let freshness = match () {
            () if direct => Freshness::Direct,
            () if fresh => Freshness::Fresh,
            () if lag > BOUND => Freshness::Stale(Cause::SourceFailed),
            () => Freshness::Within(lag + Duration::from_nanos(self.rng.below(50) as u64)),
        };
        self.records.push(Record::Read(Read {
            copy: copy(c),
            session: 0,
            view: "product".into(),
            key: "k".into(),
            deps,
            began,
            ended,
            freshness,
            path: if fresh { Path::Source } else { Path::L1 },
            bound: Some(BOUND),
        }));
    }

    /// How long before `began` a successor of this version had been acknowledged.
    fn lag(&self, n: usize, shown: u64, began: Nanos) -> Duration {
        let later = self.commits[n].iter().skip(shown as usize).filter_map(|commit| commit.ended).min();
        Duration::from_nanos(later.map_or(0, |acknowledged| began.saturating_sub(acknowledged)))
    }

    fn finish(mut self) -> Vec<Record> {
        for c in 0..COPIES {
            for n in 0..ENTITIES {
                self.catch_up(c, n);
            }
        }
        // Records come in when operations end, not when they take effect.
        self.records.sort_by_key(|record| match record {
            Record::Commit(commit) => commit.ended.unwrap_or(commit.began),
            Record::Read(read) => read.ended,
            Record::Applied(applied) => applied.at,
            Record::Baseline { .. } | Record::Subscribed { .. } => 0,
        });
        self.records
    }
}

/// Hands a history in as it happened, settling and forgetting on the way.
fn judge_live(records: &[Record]) -> Verdict {
    let mut checker = Checker::new();
    for (n, record) in records.iter().enumerate() {
        checker.record(record.clone());
        if let (0, Record::Read(read)) = (n % 50, record) {
            checker.settle(read.ended.saturating_sub(200));
            checker.forget_before(read.ended.saturating_sub(800));
        }
    }
    checker.verdict().unwrap()
}

fn reads(records: &[Record]) -> impl Iterator<Item = (usize, &Read)> {
    records.iter().enumerate().filter_map(|(at, record)| match record {
        Record::Read(read) => Some((at, read)),
        _ => None,
    })
}

fn find_commit<'a>(records: &'a [Record], entity: &Entity, of: Stamp) -> Option<&'a Commit> {
    records.iter().find_map(|record| match record {
        Record::Commit(commit) if commit.entity == *entity && commit.stamp == of => Some(commit),
        _ => None,
    })
}

/// When a successor was first acknowledged.
fn outdated(records: &[Record], read: &Read) -> Option<Nanos> {
    let (entity, shown) = &read.deps[0];
    let later = records.iter().filter_map(|record| match record {
        Record::Commit(commit) if commit.entity == *entity && commit.stamp > *shown => commit.ended,
        _ => None,
    });
    later.min().filter(|acknowledged| *acknowledged < read.began)
}

/// One thing made wrong; `None` if this history offers no place for it.
type Doctor = fn(&[Record], &mut Rng) -> Option<Vec<Record>>;

fn replace(records: &[Record], at: usize, read: Read) -> Vec<Record> {
    let mut records = records.to_vec();
    records[at] = Record::Read(read);
    records
}

fn pick<T>(mut from: Vec<T>, rng: &mut Rng) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(rng.below(from.len())))
}

fn put_back(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let candidates = reads(records).filter(|(_, read)| read.freshness != Freshness::Direct);
    let seen_before = candidates.filter_map(|(at, read)| {
        let (entity, _) = &read.deps[0];
        let before = reads(records).filter(|(_, earlier)| {
            earlier.copy == read.copy && earlier.ended < read.began && earlier.freshness != Freshness::Direct
        });
        let newest = before.flat_map(|(_, earlier)| &earlier.deps).filter(|(e, _)| e == entity).max()?.1;
        let number = newest.version.number();
        (number > 1).then(|| (at, stamp(number - 1)))
    });
    let (at, older) = pick(seen_before.collect(), rng)?;
    let mut read = reads(records).find(|(n, _)| *n == at)?.1.clone();
    read.deps[0].1 = older;
    read.freshness = Freshness::Unverified;
    Some(replace(records, at, read))
}

fn make_fresher(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let lagging: Vec<_> =
        reads(records).filter_map(|(at, read)| Some((at, read, outdated(records, read)?))).collect();
    let (at, read, acknowledged) = pick(lagging, rng)?;
    let just_too_young = Freshness::Within(Duration::from_nanos(read.began - acknowledged - 1));
    let freshness = if rng.chance(0.5) { just_too_young } else { Freshness::Fresh };
    Some(replace(records, at, Read { freshness, ..read.clone() }))
}

fn tighten_bound(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let lagging = reads(records).filter_map(|(at, read)| Some((at, read, outdated(records, read)?)));
    let labelled = lagging.filter(|(_, read, _)| matches!(read.freshness, Freshness::Within(_)));
    let (at, read, acknowledged) = pick(labelled.collect(), rng)?;
    let bound = Some(Duration::from_nanos(read.began - acknowledged - 1));
    Some(replace(records, at, Read { bound, ..read.clone() }))
}

fn invent_version(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let (at, read) = pick(reads(records).collect(), rng)?;
    let mut read = read.clone();
    read.deps[0].1 = stamp(1_000_000);
    Some(replace(records, at, read))
}

fn read_the_future(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let too_early = reads(records).filter_map(|(at, read)| {
        let (entity, shown) = &read.deps[0];
        let next = stamp(shown.version.number() + 1);
        let commit = find_commit(records, entity, next)?;
        (commit.began > read.ended).then_some((at, read, next))
    });
    let (at, read, next) = pick(too_early.collect(), rng)?;
    let mut read = read.clone();
    read.deps[0].1 = next;
    Some(replace(records, at, read))
}

fn lose_event(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let n = rng.below(ENTITIES);
    let acknowledged = records.iter().filter_map(|record| match record {
        Record::Commit(commit) if commit.entity == entity(n) && commit.ended.is_some() => Some(commit.stamp),
        _ => None,
    });
    let newest = acknowledged.max()?;
    let victim = copy(rng.below(COPIES));
    let mut records = records.to_vec();
    records.retain(|record| match record {
        Record::Applied(a) => a.copy != victim || a.entity != entity(n) || a.stamp < newest,
        _ => true,
    });
    Some(records)
}

const DOCTORS: [(&str, Doctor, Invariant); 6] = [
    ("version put back", put_back, Invariant::I1),
    ("label made fresher", make_fresher, Invariant::I5),
    ("bound exceeded", tighten_bound, Invariant::I4),
    ("invented version", invent_version, Invariant::I0),
    ("version before its commit", read_the_future, Invariant::I0),
    ("lost event", lose_event, Invariant::I10),
];

#[test]
fn valid_histories_pass_and_every_single_fault_is_caught() {
    const SEEDS: u64 = 100;
    let budget = Instant::now() + Duration::from_secs(20);
    let mut done = [0; DOCTORS.len()];
    let mut lagging = 0;
    for seed in 0..SEEDS {
        if Instant::now() > budget && seed > 20 {
            println!("stopped before seed {seed}");
            break;
        }
        let records = World::run(seed, 400);
        for verdict in [judge(records.clone()), judge_live(&records)] {
            assert!(verdict.is_clean(), "seed {seed}: {verdict}");
            lagging += verdict.counts.behind_reads;
        }
        for ((name, doctor, invariant), done) in DOCTORS.iter().zip(&mut done) {
            let mut rng = Rng::new(seed);
            let Some(doctored) = doctor(&records, &mut rng) else { continue };
            *done += 1;
            for verdict in [judge(doctored.clone()), judge_live(&doctored)] {
                assert!(broken(&verdict).contains(invariant), "seed {seed}, {name}: {verdict}");
            }
        }
    }
    assert!(lagging > 0, "no valid history lagged: nothing was shown about honest lag");
    assert!(done.iter().all(|times| *times >= 15), "how often each was tried: {done:?}");
}
