//! Each invariant both ways: what keeps it passes, what breaks it is caught under its own name.

use std::time::Duration;

use tidings_core::certificate::Cause;
use tidings_core::{Entity, Freshness, Outcome, Path, Stamp, Timeline, Version};

use super::{Account, Checker, Invariant, Verdict};
use crate::history::{Applied, Commit, Nanos, Read, Record, Shown};

mod attacked;
mod promises;
mod random;

fn stamp(number: u64) -> Stamp {
    Stamp::of(Version::new(number).unwrap())
}

fn price() -> Entity {
    Entity::parse("price/1").unwrap()
}

fn commit(number: u64, began: Nanos, ended: Nanos) -> Record {
    Record::Commit(Commit::of(price(), stamp(number), began, Some(ended)))
}

fn within(nanos: u64) -> Freshness {
    Freshness::Within(Duration::from_nanos(nanos))
}

fn read_record(number: u64, began: Nanos, ended: Nanos, freshness: Freshness) -> Read {
    Read {
        copy: "cache".into(),
        session: 0,
        view: "product".into(),
        key: "1".into(),
        shows: vec![Shown::at(price(), stamp(number))],
        token: None,
        began,
        ended,
        freshness,
        path: Path::L1,
        bound: None,
    }
}

fn read(number: u64, began: Nanos, ended: Nanos, freshness: Freshness) -> Record {
    Record::Read(read_record(number, began, ended, freshness))
}

fn bounded(number: u64, began: Nanos, bound: u64, freshness: Freshness) -> Record {
    let bound = Some(Duration::from_nanos(bound));
    Record::Read(Read { bound, ..read_record(number, began, began + 1, freshness) })
}

fn applied(number: u64, outcome: Outcome) -> Record {
    let (copy, entity) = ("cache".into(), price());
    Record::Applied(Applied { copy, entity, stamp: stamp(number), outcome, at: 1_000_000 })
}

fn subscribed(from: Nanos) -> Record {
    Record::Subscribed { copy: "cache".into(), kind: Some("price".into()), from }
}

fn judge(records: impl IntoIterator<Item = Record>) -> Verdict {
    let mut checker = Checker::new();
    records.into_iter().for_each(|record| checker.record(record));
    checker.verdict().unwrap()
}

fn broken(verdict: &Verdict) -> Vec<Invariant> {
    verdict.violations.iter().map(|violation| violation.invariant).collect()
}

/// Versions 1 and 2 committed at 100..110 and 200..210, 3 begun at 300 and never acknowledged.
fn commits() -> Vec<Record> {
    let unanswered = Commit::of(price(), stamp(3), 300, None);
    vec![commit(1, 100, 110), commit(2, 200, 210), Record::Commit(unanswered)]
}

#[track_caller]
fn check(name: &str, extra: Vec<Record>, expected: &[Invariant]) -> Verdict {
    // The order in which records come in must make no difference.
    let forwards = judge(commits().into_iter().chain(extra.clone()));
    let backwards = judge(extra.into_iter().chain(commits()).rev());
    for verdict in [&forwards, &backwards] {
        assert_eq!(broken(verdict), expected, "{name}: {verdict}");
        assert_eq!(verdict.counts.violations(), expected.len() as u64, "{name}");
    }
    forwards
}

#[test]
fn i0_only_what_was_begun_can_be_read_or_applied() {
    let stale = Freshness::Unverified;
    check("committed", vec![read(1, 150, 160, stale)], &[]);
    check("before it existed", vec![read(0, 50, 60, Freshness::Fresh)], &[]);
    check("in flight", vec![read(2, 190, 205, stale)], &[]);
    check("never acknowledged, but begun", vec![read(3, 310, 320, stale)], &[]);
    check("never committed", vec![read(9, 400, 410, stale)], &[Invariant::I0]);
    check("before its commit began", vec![read(2, 120, 130, stale)], &[Invariant::I0]);
    let other = Read {
        shows: vec![Shown::at(Entity::parse("price/2").unwrap(), stamp(1))],
        ..read_record(1, 150, 160, stale)
    };
    check("of another entity", vec![Record::Read(other)], &[Invariant::I0]);
    check("an event nobody committed", vec![applied(9, Outcome::Applied)], &[Invariant::I0]);
}

#[test]
fn what_was_there_before_the_history_is_known_and_outdates_what_is_older() {
    let resumed = |extra| {
        let baseline = Record::baseline(price(), stamp(5));
        judge([subscribed(0), extra, baseline, commit(6, 100, 110), applied(6, Outcome::Applied)])
    };
    for (extra, expected) in [
        (read(5, 5, 6, Freshness::Fresh), vec![]),
        (read(4, 5, 6, Freshness::Unverified), vec![]),
        (read(4, 5, 6, Freshness::Fresh), vec![Invariant::I5]),
        (read(0, 5, 6, Freshness::Fresh), vec![Invariant::I5]),
        (read(7, 5, 6, Freshness::Fresh), vec![Invariant::I0]),
        (applied(4, Outcome::Applied), vec![]),
        (applied(7, Outcome::Applied), vec![Invariant::I0]),
    ] {
        let verdict = resumed(extra);
        assert_eq!(broken(&verdict), expected, "{verdict}");
        assert_eq!(verdict.accounts[0].expected, 1, "only what was committed since");
    }
}

#[test]
fn i1_the_visible_version_of_a_copy_never_goes_back() {
    let any = Freshness::Unverified;
    let two = |began, ended| read(2, began, ended, any);
    let one = |began, ended| read(1, began, ended, any);
    check("forwards", vec![one(220, 230), two(240, 250)], &[]);
    check("overlapping reads may answer either way", vec![two(220, 240), one(230, 250)], &[]);
    check("put back", vec![two(220, 230), one(240, 250)], &[Invariant::I1]);
    check(
        "put back, after a longer read",
        vec![one(211, 300), two(220, 230), one(240, 250)],
        &[Invariant::I1],
    );
    let elsewhere = Record::Read(Read { copy: "other".into(), ..read_record(1, 240, 250, any) });
    check("another copy has its own order", vec![two(220, 230), elsewhere], &[]);
    let direct = read(2, 220, 230, Freshness::Direct);
    check("a direct read is not the copy's", vec![direct, one(240, 250)], &[]);
    let unkept = |label| Record::Read(Read { path: Path::SourceUnkept, ..read_record(1, 240, 250, label) });
    let within = Freshness::Within(Duration::from_secs(1));
    check(
        "an answer that was not kept counts if it claims",
        vec![two(220, 230), unkept(within)],
        &[Invariant::I1],
    );
    check("and not if it claims nothing", vec![two(220, 230), unkept(any)], &[]);
    let verdict = check("evidence", vec![two(220, 230), one(240, 250)], &[Invariant::I1]);
    assert_eq!(verdict.violations[0].records, [two(220, 230), one(240, 250)]);
}

#[test]
fn i1_holds_within_a_timeline() {
    let later = Stamp { timeline: Timeline(1), version: Version::new(1).unwrap() };
    let failover = Record::Commit(Commit::of(price(), later, 400, Some(410)));
    let on = |stamp, began| {
        let shows = vec![Shown::at(price(), stamp)];
        Record::Read(Read { shows, ..read_record(0, began, began + 1, Freshness::Unverified) })
    };
    let crossing = vec![failover.clone(), on(stamp(2), 420), on(later, 430), on(later, 440)];
    check("a new timeline starts over", crossing, &[]);
    let back = vec![failover, on(stamp(2), 420), on(later, 430), on(stamp(1), 440)];
    check("also after a newer one was seen", back, &[Invariant::I1]);
}

#[test]
fn i4_no_answer_is_staler_than_its_bound_unless_it_says_so() {
    // Version 2 was acknowledged at 210.
    check("at the bound", vec![bounded(1, 260, 50, within(1000))], &[]);
    check("beyond it", vec![bounded(1, 261, 50, within(1000))], &[Invariant::I4]);
    check("the newest", vec![bounded(2, 9000, 50, Freshness::Fresh)], &[]);
    check("before an unanswered commit", vec![bounded(2, 9000, 50, within(1))], &[]);
    for label in [Freshness::Unverified, Freshness::Stale(Cause::SourceFailed)] {
        let verdict = check("labelled", vec![bounded(1, 900, 50, label)], &[]);
        assert_eq!(verdict.counts.behind_reads, 1);
    }
    let verdict = check("unbounded", vec![read(1, 900, 901, within(1000))], &[]);
    assert_eq!((verdict.counts.behind_reads, verdict.counts.max_lag.as_nanos()), (1, 690));
}

#[test]
fn i5_a_label_claims_no_more_than_was_true() {
    for (freshness, began, truthful) in [
        (Freshness::Fresh, 210, true),
        (Freshness::Fresh, 211, false),
        (Freshness::Direct, 210, true),
        (Freshness::Direct, 211, false),
        (within(100), 310, true),
        (within(100), 311, false),
        (Freshness::Unverified, 9000, true),
        (Freshness::Stale(Cause::SourceFailed), 9000, true),
    ] {
        let expected: &[_] = if truthful { &[] } else { &[Invariant::I5] };
        let name = format!("{freshness:?} at {began}");
        let verdict = check(&name, vec![read(1, began, began + 1, freshness)], expected);
        assert_eq!(verdict.counts.false_labels, u64::from(!truthful), "{name}");
    }
}

#[test]
fn an_acknowledgement_that_is_late_does_not_hide_a_newer_one() {
    // Version 3 was acknowledged before version 2: version 1 was stale from then on.
    let records = [commit(1, 100, 110), commit(2, 200, 900), commit(3, 300, 310)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let history = order.map(|n: usize| records[n].clone()).into_iter();
        let verdict = judge(history.chain([read(1, 400, 410, Freshness::Fresh)]));
        assert_eq!(broken(&verdict), [Invariant::I5]);
        assert_eq!(verdict.violations[0].records[0], records[2], "the evidence names the acknowledged one");
    }
}

#[test]
fn i10_every_event_is_applied_superseded_or_parked() {
    let (took, passed, parked) = (Outcome::Applied, Outcome::Superseded, Outcome::Parked);
    for (name, outcomes, account) in [
        ("both applied", vec![(1, took), (2, took)], (2, 0, 0, 0)),
        ("in any order, twice", vec![(2, took), (1, took), (2, took)], (2, 0, 0, 0)),
        ("superseded", vec![(1, passed), (2, took)], (1, 1, 0, 0)),
        ("superseded without a word", vec![(2, took)], (1, 1, 0, 0)),
        ("parked", vec![(1, took), (2, parked)], (1, 0, 1, 0)),
        ("parked, then redriven", vec![(1, took), (2, parked), (2, took)], (2, 0, 0, 0)),
        ("lost", vec![(1, took)], (1, 0, 0, 1)),
        ("superseded only by its own word", vec![(1, took), (2, passed)], (1, 0, 0, 1)),
        ("parked news does not supersede", vec![(2, parked)], (0, 0, 1, 1)),
    ] {
        let events = outcomes.into_iter().map(|(number, outcome)| applied(number, outcome));
        let (applied, superseded, parked, lost) = account;
        let expected = vec![Invariant::I10; lost as usize];
        let verdict = check(name, [subscribed(0)].into_iter().chain(events).collect(), &expected);
        let account = Account { copy: "cache".into(), expected: 2, applied, superseded, parked, lost };
        assert_eq!(verdict.accounts, [account], "{name}");
    }
}

#[test]
fn i10_expects_of_a_copy_what_it_subscribed_to_since_it_started() {
    let late = vec![subscribed(150), applied(2, Outcome::Applied)];
    assert_eq!(check("what was before its start", late, &[]).accounts[0].expected, 1);
    check("what came since", vec![subscribed(150), applied(1, Outcome::Applied)], &[Invariant::I10]);
    let restarted = vec![subscribed(0), applied(1, Outcome::Applied), subscribed(205)];
    check("restarted at the head", restarted, &[]);
    let other = Record::Subscribed { copy: "stock".into(), kind: Some("stock".into()), from: 0 };
    check("another kind", vec![other, applied(2, Outcome::Applied)], &[]);
    let everything = Record::Subscribed { copy: "audit".into(), kind: None, from: 0 };
    check("every kind", vec![everything, applied(2, Outcome::Applied)], &[Invariant::I10; 2]);
}

#[test]
fn an_empty_history_is_no_evidence() {
    assert!(Checker::new().verdict().is_err());
    let mut unread = Checker::new();
    commits().into_iter().for_each(|record| unread.record(record));
    assert!(unread.verdict().is_err(), "commits that nobody read or applied");
}

#[test]
fn a_commit_may_be_recorded_after_the_read_that_saw_it() {
    let mut checker = Checker::new();
    checker.record(commit(1, 100, 110));
    checker.record(read(2, 201, 205, Freshness::Fresh));
    checker.settle(206);
    assert_eq!(checker.counts().violations(), 0, "not yet known is not yet wrong");
    checker.record(commit(2, 200, 210));
    checker.settle(300);
    let verdict = checker.verdict().unwrap();
    assert!(verdict.is_clean() && verdict.counts.reads == 1, "{verdict}");
}

#[test]
fn what_never_turns_up_is_judged_in_the_end() {
    let mut checker = Checker::new();
    checker.record(read(7, 100, 110, Freshness::Fresh));
    checker.record(applied(8, Outcome::Applied));
    checker.settle(2_000_000);
    checker.forget_before(1_500_000);
    assert_eq!(checker.counts().invented, 0, "a commit may be under way for long");
    assert_eq!(checker.verdict().unwrap().counts.invented, 2);
}

#[test]
fn a_long_run_keeps_little_and_still_sees_everything() {
    let mut checker = Checker::new();
    checker.record(subscribed(0));
    for number in 1..=50_000 {
        let at = number * 100;
        checker.record(commit(number, at, at + 10));
        checker.record(Record::Applied(Applied {
            copy: "cache".into(),
            entity: price(),
            stamp: stamp(number),
            outcome: Outcome::Applied,
            at: at + 20,
        }));
        checker.record(read(number, at + 30, at + 40, Freshness::Fresh));
        if number % 100 == 0 {
            checker.settle(at);
            checker.forget_before(at.saturating_sub(1000));
            assert!(checker.seat.judge.kept() < 300, "kept at {number}: {}", checker.seat.judge.kept());
        }
    }
    let end = 50_000 * 100 + 100;
    // Wrong answers that show what has long been forgotten.
    checker.record(bounded(3, end, 50, within(1000)));
    checker.settle(end + 10);
    let counts = *checker.counts();
    assert_eq!((counts.regressions, counts.stale_reads, counts.false_labels), (1, 1, 1));
    let verdict = checker.verdict().unwrap();
    let account = &verdict.accounts[0];
    assert_eq!((account.expected, account.applied, account.lost, counts.late), (50_000, 50_000, 0, 0));
}

#[test]
fn what_is_not_accounted_for_is_not_forgotten() {
    let mut checker = Checker::new();
    checker.record(subscribed(0));
    let other =
        |kind: &str, copy: &str| Record::Subscribed { copy: copy.into(), kind: Some(kind.into()), from: 0 };
    checker.record(other("price", "stalled"));
    for number in 1..=100 {
        checker.record(commit(number, number * 100, number * 100 + 10));
        checker.record(applied(number, Outcome::Applied));
    }
    checker.settle(1_000_000);
    checker.forget_before(1_000_000);
    let verdict = checker.verdict().unwrap();
    let lost: Vec<_> = verdict.accounts.iter().map(|a| (&*a.copy, a.expected, a.lost)).collect();
    assert_eq!(lost, [("cache", 100, 0), ("stalled", 100, 100)]);
}
