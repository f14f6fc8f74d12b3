//! Random histories of a correct deployment are never flagged; one doctored record always is, under the right name.

use std::time::{Duration, Instant};

use super::*;
use crate::history::{self, InForce, Reader, Said, Span, State, Writer};
use crate::rng::Rng;

const ENTITIES: usize = 6;
const COPIES: usize = 3;
const BOUND: Duration = Duration::from_nanos(400);
const SLA: Duration = Duration::from_nanos(300);
/// The entity that is deleted now and then, and the one whose versions have windows.
const DELETED: usize = 4;
const WINDOWED: usize = 5;

mod doctors;

use doctors::Doctor;

/// A deployment in miniature: what is true at each moment, and what each copy holds.
struct World {
    rng: Rng,
    now: Nanos,
    /// Per entity, the commits so far.
    commits: Vec<Vec<Commit>>,
    /// Per copy and entity, the version held.
    held: [[u64; ENTITIES]; COPIES],
    /// Per copy and entity, the newest version whose event it took in.
    taken: [[u64; ENTITIES]; COPIES],
    records: Vec<Record>,
}

fn digest(n: usize, number: u64) -> u64 {
    (n as u64 + 1) * 1_000_003 + number
}

/// What is in force at a moment, of the versions up to `number`.
fn in_force(commits: &[Commit], number: u64, moment: Nanos) -> InForce {
    let mut best: Option<(Nanos, Stamp)> = None;
    for commit in commits.iter().take(number as usize) {
        let Some(window) = commit.window else { continue };
        if window.from <= moment && moment < window.until {
            best = best.max(Some((window.from, commit.stamp)));
        }
    }
    best.map_or(InForce::Nothing, |(_, stamp)| InForce::Version(stamp))
}

fn of(shown: &Shown) -> Stamp {
    match shown.state {
        State::At { stamp, .. } => stamp,
        State::Absent => Stamp::default(),
    }
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
            taken: [[0; ENTITIES]; COPIES],
            records: Vec::new(),
        };
        for n in 0..COPIES {
            world.records.push(Record::Subscribed { copy: copy(n), kind: Some("price".into()), from: 0 });
            world.records.push(Record::Lease { copy: copy(n), kind: None, until: Nanos::MAX, at: 1000 });
        }
        for _ in 0..steps {
            world.now += 1 + world.rng.below(20) as u64;
            match world.rng.below(40) {
                0..4 => world.commit(),
                4..11 => world.apply(),
                11 | 12 => world.say(),
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
        let revokes = (answered && n == 0 && self.rng.chance(0.3)).then_some(SLA);
        let from = self.now + self.rng.below(300) as u64;
        let until = if self.rng.chance(0.5) { Nanos::MAX } else { from + 1 + self.rng.below(500) as u64 };
        let commit = Commit {
            digest: Some(digest(n, number)),
            deleted: n == DELETED && number.is_multiple_of(3),
            window: (n == WINDOWED).then_some(Span { from, until }),
            revokes,
            ..Commit::of(entity(n), stamp(number), began.min(self.now), ended)
        };
        self.commits[n].push(commit.clone());
        self.records.push(Record::Commit(commit));
        if revokes.is_some() {
            (0..COPIES).for_each(|c| self.take(c, n, number));
        }
    }

    fn take(&mut self, c: usize, n: usize, number: u64) {
        self.held[c][n] = self.held[c][n].max(number);
        self.taken[c][n] = number;
        self.applied(c, n, number, Outcome::Applied);
    }

    /// One copy says how far it has come, or that it does not know, or what it holds.
    fn say(&mut self) {
        let (c, at) = (self.rng.below(COPIES), self.now);
        let taken = self.taken[c];
        let missing = |n: usize| self.commits[n].iter().skip(taken[n] as usize).filter_map(|c| c.ended).min();
        let record = match self.rng.below(8) {
            0 => Record::Epoch { copy: copy(c), at },
            1..5 => {
                let n = self.rng.below(ENTITIES);
                let upto = missing(n).unwrap_or(at).min(at);
                Record::Held { copy: copy(c), shown: self.shown(n, self.held[c][n], at), upto, at }
            }
            _ => {
                let upto = (0..ENTITIES).filter_map(missing).min().unwrap_or(at).min(at);
                Record::Marked { copy: copy(c), kind: Some("price".into()), upto, at }
            }
        };
        self.records.push(record);
    }

    fn shown(&self, n: usize, number: u64, moment: Nanos) -> Shown {
        let is_deleted = number == 0 || self.commits[n][number as usize - 1].deleted;
        if n == DELETED && is_deleted {
            return Shown { entity: entity(n), state: State::Absent };
        }
        let digest = (number > 0).then(|| digest(n, number));
        let in_force = (n == WINDOWED && number > 0).then(|| in_force(&self.commits[n], number, moment));
        Shown { entity: entity(n), state: State::At { stamp: stamp(number), digest, in_force } }
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
            self.taken[c][n] = newest;
        } else if newest > 0 {
            self.take(c, n, newest);
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
        let (mut shows, mut asked) = (Vec::new(), Vec::new());
        for n in chosen {
            let newest = self.commits[n].len() as u64;
            if from_source && !direct {
                self.held[c][n] = newest;
            }
            let shown = if direct { newest } else { self.held[c][n] };
            lag = lag.max(self.lag(n, shown, began));
            asked.push((entity(n), stamp(shown.saturating_sub(self.rng.below(2) as u64))));
            shows.push(self.shown(n, shown, self.now));
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
            session: if direct || self.rng.chance(0.3) { 0 } else { c as u64 + 1 },
            view: "product".into(),
            key: "k".into(),
            shows,
            token: if self.rng.chance(0.3) { asked.pop() } else { None },
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
            Record::Applied(Applied { at, .. })
            | Record::Marked { at, .. }
            | Record::Epoch { at, .. }
            | Record::Held { at, .. } => *at,
            _ => 0,
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

/// Writes a history to a file, with a word now and then of how far it is complete.
fn write(records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for (n, record) in records.iter().enumerate() {
        writer.record(record).unwrap();
        if let (0, Record::Read(read)) = (n % 50, record) {
            writer.settled(read.ended.saturating_sub(200)).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// As [`write`] says, to a checker beside it.
fn judge_beside(records: &[Record]) -> Verdict {
    let mut checker = Checker::new();
    for (n, record) in records.iter().enumerate() {
        checker.record(record.clone());
        if let (0, Record::Read(read)) = (n % 50, record) {
            checker.advance(read.ended.saturating_sub(200));
        }
    }
    checker.verdict().unwrap()
}

/// Live, from a file, and in parts: always the same.
#[track_caller]
fn check_all_ways(name: &str, records: &[Record]) -> Verdict {
    let verdict = judge_beside(records);
    let file = write(records);
    let read: Vec<_> = Reader::new(&file[..]).map(Result::unwrap).collect();
    let read = read.into_iter().filter_map(|said| if let Said::Record(r) = said { Some(r) } else { None });
    assert!(read.eq(records.iter().cloned()), "{name}: what is read is what was written");
    for shards in [1, 3] {
        let from_file = history::check(Reader::new(&file[..]), shards).unwrap();
        assert_eq!(from_file, verdict, "{name}, {shards} shards");
    }
    verdict
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
    let (entity, shown) = (&read.shows[0].entity, &of(&read.shows[0]));
    if read.shows[0].state == State::Absent {
        return None;
    }
    let later = records.iter().filter_map(|record| match record {
        Record::Commit(commit) if commit.entity == *entity && commit.stamp > *shown => commit.ended,
        _ => None,
    });
    later.min().filter(|acknowledged| *acknowledged < read.began)
}

const DOCTORS: [(&str, Doctor, Invariant); 15] = [
    ("version put back", doctors::put_back, Invariant::I1),
    ("label made fresher", doctors::make_fresher, Invariant::I5),
    ("bound exceeded", doctors::tighten_bound, Invariant::I4),
    ("invented version", doctors::invent_version, Invariant::I0),
    ("version before its commit", doctors::read_the_future, Invariant::I0),
    ("absence made up", doctors::deny, Invariant::I0),
    ("content of another", doctors::tear, Invariant::I0),
    ("lost event", doctors::lose_event, Invariant::I10),
    ("session goes back", doctors::go_back_in_session, Invariant::I2),
    ("token ignored", doctors::ignore_token, Invariant::I3),
    ("mark too far", doctors::mark_too_far, Invariant::I6),
    ("not in force", doctors::put_in_force, Invariant::I7),
    ("revoked answer", doctors::serve_revoked, Invariant::I8),
    ("no receipt", doctors::keep_revoked, Invariant::I8),
    ("old state held", doctors::hold_old, Invariant::I9),
];

#[test]
fn valid_histories_pass_and_every_single_fault_is_caught() {
    const SEEDS: u64 = 40;
    let budget = Instant::now() + Duration::from_secs(20);
    let mut done = [0; DOCTORS.len()];
    let mut lagging = 0;
    for seed in 0..SEEDS {
        if Instant::now() > budget && seed > 20 {
            println!("stopped before seed {seed}");
            break;
        }
        let records = World::run(seed, 400);
        let valid = [judge(records.clone()), judge_live(&records), check_all_ways("valid", &records)];
        for verdict in valid {
            assert!(verdict.is_clean(), "seed {seed}: {verdict}");
            lagging += verdict.counts.behind_reads;
        }
        for ((name, doctor, invariant), done) in DOCTORS.iter().zip(&mut done) {
            let mut rng = Rng::new(seed);
            let Some(doctored) = doctor(&records, &mut rng) else { continue };
            *done += 1;
            for verdict in [judge(doctored.clone()), judge_live(&doctored), check_all_ways(name, &doctored)] {
                assert!(broken(&verdict).contains(invariant), "seed {seed}, {name}: {verdict}");
            }
        }
    }
    assert!(lagging > 0, "no valid history lagged: nothing was shown about honest lag");
    assert!(done.iter().all(|times| *times >= 10), "how often each was tried: {done:?}");
}
