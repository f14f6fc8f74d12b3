//! The promises about content, absence, timelines, sessions, tokens, marks, windows, revocations and held states.

use super::*;
use crate::history::{InForce, Span, State};

const ANY: Freshness = Freshness::Unverified;

fn shows(state: State, began: Nanos, ended: Nanos, freshness: Freshness) -> Record {
    let shows = vec![Shown { entity: price(), state }];
    Record::Read(Read { shows, ..read_record(0, began, ended, freshness) })
}

fn with(stamp: Stamp, digest: Option<u64>, in_force: Option<InForce>) -> State {
    State::At { stamp, digest, in_force }
}

fn at(number: u64, copy: &str, at: Nanos, outcome: Outcome) -> Record {
    let (copy, entity, stamp) = (copy.into(), price(), stamp(number));
    Record::Applied(Applied { copy, entity, stamp, outcome, at })
}

fn marked(upto: Nanos, at: Nanos) -> Record {
    Record::Marked { copy: "cache".into(), kind: Some("price".into()), upto, at }
}

fn epoch(at: Nanos) -> Record {
    Record::Epoch { copy: "cache".into(), at }
}

/// Another order for each half of the cases: what came first must make no difference.
#[track_caller]
fn cases(cases: Vec<(&str, Vec<Record>, &[Invariant])>) {
    for (name, records, expected) in cases {
        for reversed in [false, true] {
            let mut records = records.clone();
            if reversed {
                records.reverse();
            }
            // Something to judge, whatever the case is about.
            records.push(at(1, "other", 150, Outcome::Applied));
            let verdict = judge(records);
            assert_eq!(broken(&verdict), expected, "{name}: {verdict}");
            for violation in &verdict.violations {
                assert!(!violation.records.is_empty() && !violation.what.is_empty(), "{name}: {verdict}");
            }
        }
    }
}

/// Version 1 created at 100..110, 2 deleted it at 200..210, 3 created it again at 300..310.
fn deleted() -> Vec<Record> {
    let delete = Commit { deleted: true, ..Commit::of(price(), stamp(2), 200, Some(210)) };
    vec![commit(1, 100, 110), Record::Commit(delete), commit(3, 300, 310)]
}

fn and(mut records: Vec<Record>, more: impl IntoIterator<Item = Record>) -> Vec<Record> {
    records.extend(more);
    records
}

#[test]
fn i0_an_absence_is_a_delete_or_not_created_yet() {
    let fresh = |began, ended| and(deleted(), [shows(State::Absent, began, ended, Freshness::Fresh)]);
    let labelled = |began, label| and(deleted(), [shows(State::Absent, began, began + 5, label)]);
    let i0: &[_] = &[Invariant::I0];
    cases(vec![
        ("not created yet", fresh(50, 60), &[]),
        ("being created", fresh(105, 120), &[]),
        ("there", fresh(120, 190), i0),
        ("being deleted", fresh(120, 200), &[]),
        ("deleted", fresh(220, 230), &[]),
        ("being created again", fresh(310, 320), &[]),
        ("there again", fresh(311, 320), i0),
        ("there again, lagging", labelled(411, within(101)), &[]),
        ("there again, lagging more", labelled(411, within(100)), i0),
        ("no claim", labelled(9000, ANY), &[]),
        ("nobody created it", vec![shows(State::Absent, 5, 6, Freshness::Fresh), commit(1, 100, 110)], &[]),
        (
            "not deleted since",
            vec![commit(1, 100, 110), shows(State::Absent, 120, 121, Freshness::Fresh)],
            i0,
        ),
    ]);
}

#[test]
fn an_absence_takes_part_in_the_order() {
    let absent = |began| shows(State::Absent, began, began + 1, ANY);
    let one = |began| read(1, began, began + 1, ANY);
    cases(vec![
        ("seen, deleted", and(deleted(), [one(120), absent(220)]), &[]),
        ("seen, deleted, back", and(deleted(), [one(120), absent(220), one(240)]), &[Invariant::I1]),
        ("created after a first look", and(deleted(), [absent(220), one(240)]), &[]),
        ("created, not there", and(deleted(), [read(3, 320, 321, ANY), absent(330)]), &[Invariant::I1]),
    ]);
    // The delete is under way when the read is judged: not yet known is not yet wrong.
    let mut checker = Checker::new();
    [commit(1, 100, 110), one(120), absent(205)].into_iter().for_each(|record| checker.record(record));
    checker.settle(208);
    assert_eq!(checker.counts().violations(), 0);
    checker.record(deleted().remove(1));
    assert!(checker.verdict().unwrap().is_clean());
}

#[test]
fn i0_the_content_is_that_of_its_version() {
    let known = Record::Commit(Commit { digest: Some(7), ..Commit::of(price(), stamp(1), 100, Some(110)) });
    let shown = |digest| shows(with(stamp(1), digest, None), 120, 130, Freshness::Fresh);
    cases(vec![
        ("its own", vec![known.clone(), shown(Some(7))], &[]),
        ("not known", vec![known.clone(), shown(None)], &[]),
        ("nobody knows", vec![commit(1, 100, 110), shown(Some(8))], &[]),
        ("another's", vec![known, shown(Some(8))], &[Invariant::I0]),
    ]);
}

#[test]
fn i1_a_new_timeline_comes_with_an_epoch() {
    let later = Stamp { timeline: Timeline(1), version: Version::new(1).unwrap() };
    let failover = Record::Commit(Commit::of(price(), later, 400, Some(410)));
    let heard = |copy: &str| {
        let (copy, entity, outcome) = (copy.into(), price(), Outcome::Applied);
        Record::Applied(Applied { copy, entity, stamp: later, outcome, at: 450 })
    };
    let before = || vec![commit(1, 100, 110), failover.clone(), at(1, "cache", 150, Outcome::Applied)];
    let shown = || vec![commit(1, 100, 110), failover.clone(), read(1, 150, 160, ANY)];
    cases(vec![
        ("with one", and(before(), [epoch(440), heard("cache")]), &[]),
        ("at the same time", and(before(), [epoch(450), heard("cache")]), &[]),
        ("without", and(before(), [heard("cache")]), &[Invariant::I1]),
        ("too late", and(before(), [epoch(451), heard("cache")]), &[Invariant::I1]),
        ("for something else before", and(before(), [epoch(90), heard("cache")]), &[Invariant::I1]),
        ("of a copy that knew nothing before", and(before(), [heard("new")]), &[]),
        ("of a copy that had shown the old one", and(shown(), [heard("cache")]), &[Invariant::I1]),
    ]);
}

#[test]
fn i2_a_session_never_sees_an_older_version() {
    let of = |session, copy: &str, number, began, freshness| {
        let copy = copy.into();
        Record::Read(Read { session, copy, ..read_record(number, began, began + 5, freshness) })
    };
    let commits = || vec![commit(1, 100, 110), commit(2, 200, 210)];
    let two = || of(7, "a", 2, 220, ANY);
    let end = 300_000_000_000;
    cases(vec![
        ("forwards", and(commits(), [of(7, "a", 1, 220, ANY), of(7, "b", 2, 230, ANY)]), &[]),
        ("back, elsewhere", and(commits(), [two(), of(7, "b", 1, 230, ANY)]), &[Invariant::I2]),
        ("at the same time", and(commits(), [two(), of(7, "b", 1, 225, ANY)]), &[]),
        ("another's", and(commits(), [two(), of(8, "b", 1, 230, ANY)]), &[]),
        ("nobody's", and(commits(), [of(0, "a", 2, 220, ANY), of(0, "b", 1, 230, ANY)]), &[]),
        (
            "direct first",
            and(commits(), [of(7, "a", 2, 220, Freshness::Direct), of(7, "b", 1, 230, ANY)]),
            &[Invariant::I2],
        ),
        (
            "not there any more",
            and(
                commits(),
                [
                    two(),
                    Record::Read(Read {
                        shows: vec![Shown { entity: price(), state: State::Absent }],
                        session: 7,
                        copy: "b".into(),
                        ..read_record(0, 230, 235, ANY)
                    }),
                ],
            ),
            &[Invariant::I2],
        ),
        ("at its last moment", and(commits(), [two(), of(7, "b", 1, 225 + end, ANY)]), &[Invariant::I2]),
        ("long over", and(commits(), [two(), of(7, "b", 1, 226 + end, ANY)]), &[]),
    ]);
    // A direct read that goes back is judged by its label alone.
    let direct = judge(and(commits(), [two(), of(7, "b", 1, 230, Freshness::Direct)]));
    assert_eq!(broken(&direct), [Invariant::I5]);
}

#[test]
fn i3_a_token_is_honoured_or_the_read_goes_direct() {
    let asked = |number, shown, freshness| {
        let token = Some((price(), stamp(number)));
        vec![
            commit(1, 100, 110),
            commit(2, 200, 210),
            Record::Read(Read { token, ..read_record(shown, 205, 215, freshness) }),
        ]
    };
    let other = Record::Read(Read {
        token: Some((Entity::parse("price/2").unwrap(), stamp(9))),
        ..read_record(1, 205, 215, ANY)
    });
    cases(vec![
        ("as asked", asked(2, 2, ANY), &[]),
        ("newer", asked(1, 2, ANY), &[]),
        ("older", asked(2, 1, Freshness::Fresh), &[Invariant::I3]),
        ("older, labelled", asked(2, 1, ANY), &[Invariant::I3]),
        ("direct", asked(2, 1, Freshness::Direct), &[]),
        ("of what is not shown", vec![commit(1, 100, 110), other], &[]),
    ]);
}

#[test]
fn i6_a_mark_covers_what_the_copy_knows_or_has_declared_unknown() {
    let kept = |mark: Vec<Record>| {
        // What was expected in the end is applied, so that nothing is lost.
        and(
            vec![
                subscribed(50),
                commit(1, 100, 110),
                commit(2, 200, 210),
                at(2, "cache", 900, Outcome::Applied),
            ],
            mark,
        )
    };
    let one = || at(1, "cache", 120, Outcome::Applied);
    let i6: &[_] = &[Invariant::I6];
    let parked = at(2, "cache", 215, Outcome::Parked);
    cases(vec![
        ("applied", kept(vec![one(), marked(111, 120)]), &[]),
        ("before it is", kept(vec![one(), marked(111, 119)]), i6),
        ("not acknowledged before", kept(vec![one(), marked(210, 250)]), &[]),
        ("acknowledged before", kept(vec![one(), marked(211, 250)]), i6),
        ("each once", kept(vec![one(), marked(211, 250), marked(220, 260)]), i6),
        ("both", kept(vec![marked(211, 250)]), &[Invariant::I6, Invariant::I6]),
        ("a newer one", kept(vec![marked(211, 900)]), &[]),
        ("parked", kept(vec![one(), parked, marked(211, 250)]), &[]),
        ("its own word", kept(vec![one(), at(2, "cache", 220, Outcome::Superseded), marked(211, 250)]), i6),
        ("declared unknown", kept(vec![one(), epoch(200), marked(211, 250)]), &[]),
        ("declared before", kept(vec![one(), epoch(199), marked(211, 250)]), i6),
        ("declared later", kept(vec![one(), epoch(251), marked(211, 250)]), i6),
        ("before its start", kept(vec![one(), subscribed(201), marked(211, 250)]), &[]),
        (
            "of another kind",
            kept(vec![
                one(),
                Record::Marked { copy: "cache".into(), kind: Some("stock".into()), upto: 211, at: 250 },
            ]),
            &[],
        ),
        (
            "of every kind",
            kept(vec![one(), Record::Marked { copy: "cache".into(), kind: None, upto: 211, at: 250 }]),
            i6,
        ),
    ]);
}

#[test]
fn i7_an_answer_is_what_is_in_force() {
    let planned = |number, began, from, until| {
        let window = Some(Span { from, until });
        Record::Commit(Commit { window, ..Commit::of(price(), stamp(number), began, Some(began + 10)) })
    };
    let history = |claimed, began, ended, bound: u64| {
        let shown = Shown { entity: price(), state: with(stamp(2), None, Some(claimed)) };
        let bound = Some(Duration::from_nanos(bound));
        let read = Read { shows: vec![shown], bound, ..read_record(0, began, ended, ANY) };
        vec![planned(1, 10, 0, Nanos::MAX), planned(2, 30, 100, 200), Record::Read(read)]
    };
    let version = |number| InForce::Version(stamp(number));
    let i7: &[_] = &[Invariant::I7];
    cases(vec![
        ("before", history(version(1), 80, 99, 0), &[]),
        ("early", history(version(2), 80, 99, 50), i7),
        ("just then", history(version(2), 80, 100, 0), &[]),
        ("late within the bound", history(version(1), 149, 160, 50), &[]),
        ("too late", history(version(1), 150, 160, 50), i7),
        ("over, within the bound", history(version(2), 249, 260, 50), &[]),
        ("long over", history(version(2), 250, 260, 50), i7),
        ("nothing", history(InForce::Nothing, 120, 130, 0), i7),
    ]);
}

#[test]
fn i8_after_its_time_nobody_answers_from_before_a_revocation() {
    let sla = Some(Duration::from_nanos(100));
    let revoking = Record::Commit(Commit { revokes: sla, ..Commit::of(price(), stamp(2), 200, Some(210)) });
    let history = |more: Vec<Record>| and(vec![commit(1, 100, 110), revoking.clone()], more);
    let lease = |until, at| Record::Lease { copy: "cache".into(), kind: Some("price".into()), until, at };
    let late = || at(1, "cache", 500, Outcome::Applied);
    let i8: &[_] = &[Invariant::I8];
    cases(vec![
        ("in time", history(vec![read(1, 310, 320, ANY)]), &[]),
        ("too late", history(vec![read(1, 311, 320, ANY)]), i8),
        ("the new one", history(vec![read(2, 311, 320, ANY)]), &[]),
        ("a receipt", history(vec![lease(1000, 150), at(2, "cache", 310, Outcome::Applied), late()]), &[]),
        ("a late receipt", history(vec![lease(1000, 150), at(2, "cache", 311, Outcome::Applied)]), i8),
        (
            "set aside, and fenced",
            history(vec![lease(1000, 150), at(2, "cache", 310, Outcome::Parked), late()]),
            &[],
        ),
        ("the lease ran out", history(vec![lease(310, 150), late()]), &[]),
        ("the lease did not", history(vec![lease(311, 150), late()]), i8),
        ("renewed", history(vec![lease(310, 150), lease(400, 305), late()]), i8),
        ("renewed after its time", history(vec![lease(310, 150), lease(400, 311), late()]), &[]),
        (
            "of another kind",
            history(vec![
                Record::Lease { copy: "cache".into(), kind: Some("stock".into()), until: 1000, at: 150 },
                late(),
            ]),
            &[],
        ),
        (
            "the history ends before",
            history(vec![lease(1000, 150), at(1, "cache", 305, Outcome::Applied)]),
            &[],
        ),
    ]);
    // A direct read is past every cache: what it shows is judged by its label alone.
    let direct = judge(history(vec![read(1, 311, 320, Freshness::Direct)]));
    assert_eq!(broken(&direct), [Invariant::I5]);
}

#[test]
fn i9_what_is_held_in_the_end_is_what_was_committed() {
    let held = |state, upto, at| {
        let shown = Shown { entity: price(), state };
        Record::Held { copy: "cache".into(), shown, upto, at }
    };
    let changed = |number, began, digest| {
        Record::Commit(Commit { digest, ..Commit::of(price(), stamp(number), began, Some(began + 10)) })
    };
    let history = |held| vec![changed(1, 100, Some(1)), changed(2, 200, Some(2)), held];
    let is = |number| with(stamp(number), None, None);
    let i9: &[_] = &[Invariant::I9];
    cases(vec![
        ("the newest", history(held(is(2), 250, 260)), &[]),
        ("an old one", history(held(is(1), 211, 260)), i9),
        ("nothing newer was acknowledged", history(held(is(1), 210, 260)), &[]),
        ("with its content", history(held(with(stamp(2), Some(2), None), 250, 260)), &[]),
        ("with another's", history(held(with(stamp(2), Some(1), None), 250, 260)), i9),
        ("what nobody committed", history(held(is(3), 250, 260)), &[Invariant::I0]),
        ("nothing, though there is", history(held(State::Absent, 250, 260)), i9),
        ("nothing, as there was", history(held(State::Absent, 110, 260)), &[]),
        ("nothing after a delete", and(deleted(), [held(State::Absent, 250, 305)]), &[]),
        ("nothing after it was created again", and(deleted(), [held(State::Absent, 311, 320)]), i9),
    ]);
}
