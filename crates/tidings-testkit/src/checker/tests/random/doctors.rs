//! What can be made wrong in a valid history.

use super::*;

/// One thing made wrong; `None` if this history offers no place for it.
pub(super) type Doctor = fn(&[Record], &mut Rng) -> Option<Vec<Record>>;

fn replace(records: &[Record], at: usize, read: Read) -> Vec<Record> {
    let mut records = records.to_vec();
    records[at] = Record::Read(read);
    records
}

fn pick<T>(mut from: Vec<T>, rng: &mut Rng) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(rng.below(from.len())))
}

pub(super) fn put_back(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let candidates = reads(records).filter(|(_, read)| read.freshness != Freshness::Direct);
    let seen_before = candidates.filter_map(|(at, read)| {
        let entity = &read.shows[0].entity;
        let before = reads(records).filter(|(_, earlier)| {
            earlier.copy == read.copy && earlier.ended < read.began && earlier.freshness != Freshness::Direct
        });
        let newest =
            before.flat_map(|(_, earlier)| &earlier.shows).filter(|s| s.entity == *entity).map(of).max()?;
        let number = newest.version.number();
        (number > 1).then(|| (at, stamp(number - 1)))
    });
    let (at, older) = pick(seen_before.collect(), rng)?;
    let mut read = reads(records).find(|(n, _)| *n == at)?.1.clone();
    read.shows[0].state = State::at(older);
    read.freshness = Freshness::Unverified;
    Some(replace(records, at, read))
}

pub(super) fn make_fresher(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let lagging: Vec<_> =
        reads(records).filter_map(|(at, read)| Some((at, read, outdated(records, read)?))).collect();
    let (at, read, acknowledged) = pick(lagging, rng)?;
    let just_too_young = Freshness::Within(Duration::from_nanos(read.began - acknowledged - 1));
    let freshness = if rng.chance(0.5) { just_too_young } else { Freshness::Fresh };
    Some(replace(records, at, Read { freshness, ..read.clone() }))
}

pub(super) fn tighten_bound(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let lagging = reads(records).filter_map(|(at, read)| Some((at, read, outdated(records, read)?)));
    let labelled = lagging.filter(|(_, read, _)| matches!(read.freshness, Freshness::Within(_)));
    let (at, read, acknowledged) = pick(labelled.collect(), rng)?;
    let bound = Some(Duration::from_nanos(read.began - acknowledged - 1));
    Some(replace(records, at, Read { bound, ..read.clone() }))
}

pub(super) fn invent_version(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let (at, read) = pick(reads(records).collect(), rng)?;
    let mut read = read.clone();
    read.shows[0].state = State::at(stamp(1_000_000));
    Some(replace(records, at, read))
}

pub(super) fn read_the_future(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let too_early = reads(records).filter_map(|(at, read)| {
        let (entity, shown) = (&read.shows[0].entity, &of(&read.shows[0]));
        let next = stamp(shown.version.number() + 1);
        let commit = find_commit(records, entity, next)?;
        (commit.began > read.ended).then_some((at, read, next))
    });
    let (at, read, next) = pick(too_early.collect(), rng)?;
    let mut read = read.clone();
    read.shows[0].state = State::at(next);
    Some(replace(records, at, read))
}

pub(super) fn lose_event(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
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

/// Reads of the first entity shown that were not direct.
fn cached(records: &[Record]) -> impl Iterator<Item = (usize, &Read)> {
    reads(records).filter(|(_, read)| read.freshness != Freshness::Direct)
}

fn show(read: &Read, at: usize, state: State) -> Read {
    let mut read = read.clone();
    read.shows[at].state = state;
    read
}

pub(super) fn ignore_token(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let versions = cached(records).filter(|(_, read)| read.shows[0].state != State::Absent);
    let (at, read) = pick(versions.collect(), rng)?;
    let shown = &read.shows[0];
    let token = Some((shown.entity.clone(), stamp(of(shown).version.number() + 1)));
    Some(replace(records, at, Read { token, ..read.clone() }))
}

/// The session moves to another copy, which shows it less.
pub(super) fn go_back_in_session(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let mut candidates = Vec::new();
    for (at, read) in cached(records).filter(|(_, read)| read.shows[0].state != State::Absent) {
        let entity = &read.shows[0].entity;
        let newer = cached(records).find(|(_, earlier)| {
            let showed = earlier.shows.iter().any(|s| s.entity == *entity && of(s) > of(&read.shows[0]));
            earlier.session != 0 && earlier.copy != read.copy && earlier.ended < read.began && showed
        });
        candidates.extend(newer.map(|(_, newer)| (at, Read { session: newer.session, ..read.clone() })));
    }
    let (at, read) = pick(candidates, rng)?;
    Some(replace(records, at, read))
}

/// Whether the version was good until not long before the read: what is older may be forgotten.
fn is_recent(records: &[Record], read: &Read, shown: &Shown) -> bool {
    let newer = commits(records).filter(|commit| commit.entity == shown.entity && commit.stamp > of(shown));
    newer.filter_map(|commit| commit.ended).all(|ended| ended + 400 >= read.began)
}

pub(super) fn tear(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let whole = reads(records).filter_map(|(at, read)| match read.shows[0].state {
        State::At { stamp, digest: Some(digest), in_force } if is_recent(records, read, &read.shows[0]) => {
            Some((at, show(read, 0, State::At { stamp, digest: Some(digest + 1), in_force })))
        }
        _ => None,
    });
    let (at, read) = pick(whole.collect(), rng)?;
    Some(replace(records, at, read))
}

fn commits(records: &[Record]) -> impl Iterator<Item = &Commit> {
    records.iter().filter_map(|record| if let Record::Commit(commit) = record { Some(commit) } else { None })
}

pub(super) fn put_in_force(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let mut all: Vec<_> = commits(records).filter(|commit| commit.window.is_some()).cloned().collect();
    all.sort_by_key(|commit| commit.stamp);
    let mut candidates = Vec::new();
    for (at, read) in reads(records) {
        let Some(place) = read.shows.iter().position(|shown| shown.entity == entity(WINDOWED)) else {
            continue;
        };
        let State::At { stamp: shown, digest, in_force: Some(_) } = read.shows[place].state else { continue };
        let wrong = InForce::Version(stamp(1));
        let from = read.began.saturating_sub(BOUND.as_nanos() as u64);
        let number = shown.version.number();
        let is_recent = is_recent(records, read, &read.shows[place]);
        if is_recent && (from..=read.ended).all(|moment| in_force(&all, number, moment) != wrong) {
            candidates
                .push((at, show(read, place, State::At { stamp: shown, digest, in_force: Some(wrong) })));
        }
    }
    let (at, read) = pick(candidates, rng)?;
    Some(replace(records, at, read))
}

/// By when a revocation and the time at which it binds.
fn revocations(records: &[Record]) -> impl Iterator<Item = (&Commit, Nanos)> {
    commits(records).filter_map(|c| Some((c, c.ended? + c.revokes?.as_nanos() as u64)))
}

pub(super) fn serve_revoked(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let mut candidates = Vec::new();
    for (commit, binds) in revocations(records).filter(|(commit, _)| commit.stamp > stamp(1)) {
        let older = State::at(stamp(commit.stamp.version.number() - 1));
        for (at, read) in cached(records).filter(|(_, read)| read.began > binds) {
            let place = read.shows.iter().position(|shown| shown.entity == commit.entity);
            candidates
                .extend(place.map(|place| {
                    (at, Read { freshness: Freshness::Unverified, ..show(read, place, older) })
                }));
        }
    }
    let (at, read) = pick(candidates, rng)?;
    Some(replace(records, at, read))
}

/// No receipt by the time that a lease still runs.
pub(super) fn keep_revoked(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let last = reads(records).map(|(_, read)| read.ended).max()?;
    let due = revocations(records).filter(|(_, binds)| *binds <= last);
    let (revoked, binds) = pick(due.map(|(c, binds)| (c.clone(), binds)).collect(), rng)?;
    let victim = copy(rng.below(COPIES));
    let mut records = records.to_vec();
    records.retain(|record| match record {
        Record::Applied(a) => {
            a.copy != victim || a.entity != revoked.entity || a.stamp < revoked.stamp || a.at > binds
        }
        _ => true,
    });
    Some(records)
}

pub(super) fn mark_too_far(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let mut candidates = Vec::new();
    for (n, record) in records.iter().enumerate() {
        let Record::Marked { copy, kind, upto, at } = record else { continue };
        let missing = commits(records).find(|commit| {
            let is_known = records.iter().any(|record| match record {
                Record::Applied(a) => {
                    let is_newer = a.outcome == Outcome::Applied && a.stamp >= commit.stamp;
                    let is_itself = a.outcome == Outcome::Parked && a.stamp == commit.stamp;
                    a.copy == *copy && a.entity == commit.entity && a.at <= *at && (is_newer || is_itself)
                }
                Record::Epoch { copy: of, at: epoch } => of == copy && (commit.began..=*at).contains(epoch),
                _ => false,
            });
            commit.ended.is_some_and(|ended| ended >= *upto && ended < *at) && !is_known
        });
        let upto = missing.and_then(|commit| commit.ended).map(|ended| ended + 1);
        let marked = |upto| Record::Marked { copy: copy.clone(), kind: kind.clone(), upto, at: *at };
        candidates.extend(upto.map(|upto| (n, marked(upto))));
    }
    let (n, marked) = pick(candidates, rng)?;
    let mut records = records.to_vec();
    records[n] = marked;
    Some(records)
}

pub(super) fn hold_old(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let mut candidates = Vec::new();
    for (n, record) in records.iter().enumerate() {
        let Record::Held { copy, shown, upto, at } = record else { continue };
        let acknowledged = commits(records).filter(|commit| {
            commit.entity == shown.entity && commit.ended.is_some_and(|ended| ended < *upto)
        });
        let newest = acknowledged.map(|commit| commit.stamp.version.number()).max().unwrap_or(0);
        // What is said of a time long before is not held against what was forgotten since.
        if newest > 1 && *at - *upto < 500 {
            let shown = Shown::at(shown.entity.clone(), stamp(newest - 1));
            candidates.push((n, Record::Held { copy: copy.clone(), shown, upto: *upto, at: *at }));
        }
    }
    let (n, held) = pick(candidates, rng)?;
    let mut records = records.to_vec();
    records[n] = held;
    Some(records)
}

pub(super) fn deny(records: &[Record], rng: &mut Rng) -> Option<Vec<Record>> {
    let mut candidates = Vec::new();
    for (at, read) in cached(records).filter(|(_, read)| read.freshness == Freshness::Fresh) {
        let entity = &read.shows[0].entity;
        let is_there = *entity != self::entity(DELETED)
            && commits(records)
                .any(|c| c.entity == *entity && c.ended.is_some_and(|ended| ended < read.began));
        if is_there {
            candidates.push((at, show(read, 0, State::Absent)));
        }
    }
    let (at, read) = pick(candidates, rng)?;
    Some(replace(records, at, read))
}
