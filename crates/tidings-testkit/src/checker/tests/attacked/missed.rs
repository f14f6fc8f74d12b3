//! What is wrong, and was once judged clean.

use super::*;

const SECOND: u64 = 1_000_000_000;

#[test]
fn h6_a_version_without_a_window_is_in_force_from_its_begin_on() {
    let planned = r#"{"commit":"price/1","version":2,"began":120,"ended":130,"window":[150,200]}"#;
    let claims =
        |at, claimed: &str| read(0, &format!(r#""version":2,"in_force":{claimed}"#), at, "unverified");
    for (at, claimed, wrong) in
        [(250, "1", 0), (250, "\"nothing\"", 1), (250, "2", 1), (160, "2", 0), (160, "1", 1), (140, "1", 0)]
    {
        let verdict = judge_both_ways(&[V1, planned, &claims(at, claimed)]);
        assert_eq!(verdict.counts.wrong_in_force, wrong, "{claimed} at {at}: {verdict}");
    }
    // Also when it is long forgotten.
    let later = claims(100 * SECOND, "1");
    let lines = [V1, planned, &settled(50 * SECOND), &settled(90 * SECOND), &later];
    assert!(judge(&lines).is_clean());
    let lines =
        [V1, planned, &settled(50 * SECOND), &settled(90 * SECOND), &claims(100 * SECOND, "\"nothing\"")];
    assert_eq!(judge(&lines).counts.wrong_in_force, 1);
}

#[test]
fn h7_a_delete_ends_what_was_in_force_before_it() {
    let always = r#"{"commit":"price/1","version":1,"began":10,"ended":20,"window":[0,900000000000]}"#;
    let delete = r#"{"commit":"price/1","version":2,"began":100,"ended":110,"deleted":true}"#;
    let again = r#"{"commit":"price/1","version":3,"began":200,"ended":210,"window":[300,900000000000]}"#;
    let claims =
        |at, claimed: &str| read(0, &format!(r#""version":3,"in_force":{claimed}"#), at, "unverified");
    for (at, claimed, wrong) in [(250, "\"nothing\"", 0), (250, "1", 1), (320, "3", 0), (320, "1", 1)] {
        let verdict = judge_both_ways(&[always, delete, again, &claims(at, claimed)]);
        assert_eq!(verdict.counts.wrong_in_force, wrong, "{claimed} at {at}: {verdict}");
    }
    let (early, late) = (settled(50 * SECOND), settled(90 * SECOND));
    let ended = again.replace("[300,900000000000]", "[300,400]");
    for (claimed, wrong) in [("\"nothing\"", 0), ("1", 1)] {
        let lines = [always, delete, &ended, &early, &late, &claims(100 * SECOND, claimed)];
        assert_eq!(judge(&lines).counts.wrong_in_force, wrong, "{claimed}, long after");
    }
}

#[test]
fn h9_a_claim_is_judged_by_every_version_that_could_be_in_force() {
    let first = r#"{"commit":"price/1","version":1,"began":10,"ended":20,"window":[0,100000]}"#;
    let second = r#"{"commit":"price/1","version":2,"began":190,"ended":300,"window":[100,100000]}"#;
    let third = r#"{"commit":"price/1","version":3,"began":200,"ended":210,"window":[500,600]}"#;
    let claims = read(0, r#""version":3,"in_force":1"#, 240, "unverified");
    let verdict = judge(&[first, third, &claims, &settled(250), second]);
    assert_eq!(verdict.counts.wrong_in_force, 1, "{verdict}");
}

const SUBSCRIBED: &str = r#"{"subscribed":"a","kind":"price","from":0}"#;

fn applied(entity: &str, version: &str, at: u64) -> String {
    format!(r#"{{"applied":"{entity}","version":{version},"copy":"a","outcome":"applied","at":{at}}}"#)
}

fn marked(upto: u64, at: u64) -> String {
    format!(r#"{{"marked":"a","kind":"price","upto":{upto},"at":{at}}}"#)
}

#[test]
fn m1_a_mark_is_judged_by_what_the_copy_had_when_it_spoke() {
    let (one, two) = (applied("price/1", "1", 400), applied("price/1", "2", 410));
    let foretold = marked(500, 120);
    assert_eq!(judge_both_ways(&[SUBSCRIBED, V1, V2, &one, &two, &foretold]).counts.unmet_marks, 2);
    let lines = [SUBSCRIBED, V1, V2, &foretold, &settled(300), &one, &two];
    assert_eq!(judge(&lines).counts.unmet_marks, 2);
    // It may know of what is acknowledged only later.
    let early = applied("price/1", "2", 119);
    let under_way = V2.replace("200", "105");
    assert!(judge_both_ways(&[SUBSCRIBED, V1, &under_way, &early, &foretold]).is_clean());
    let epoch = r#"{"epoch":"a","at":130}"#;
    let verdict = judge_both_ways(&[SUBSCRIBED, V1, &one, &foretold, epoch]);
    assert_eq!(verdict.counts.unmet_marks, 1, "an epoch after it had spoken is none of it");
}

#[test]
fn m2_a_later_subscription_forgives_no_earlier_mark() {
    let again = r#"{"subscribed":"a","kind":"price","from":200}"#;
    let (mark, one) = (marked(150, 160), applied("price/1", "1", 170));
    assert_eq!(judge_both_ways(&[SUBSCRIBED, V1, &mark, &one, again]).counts.unmet_marks, 1);
    let later = marked(150, 201);
    assert!(judge_both_ways(&[SUBSCRIBED, V1, &later, &one, again]).is_clean(), "nor accuses a later one");
}

#[test]
fn m3_the_first_of_a_new_timeline_comes_with_an_epoch_whatever_its_entity() {
    let failover = r#"{"commit":"price/2","version":"1:1","began":400,"ended":410}"#;
    let (old, new) = (applied("price/1", "1", 150), applied("price/2", "\"1:1\"", 450));
    assert_eq!(judge_both_ways(&[V1, failover, &old, &new]).counts.regressions, 1);
    let epoch = r#"{"epoch":"a","at":440}"#;
    assert!(judge_both_ways(&[V1, failover, &old, epoch, &new]).is_clean());
    let stock = failover.replace("price/2", "stock/1");
    let other = applied("stock/1", "\"1:1\"", 450);
    assert!(judge_both_ways(&[V1, &stock, &old, &other]).is_clean(), "another kind has timelines of its own");
}

#[test]
fn m3_an_epoch_is_for_nothing_that_began_after_it_though_that_is_forgotten() {
    let old_epoch = format!(r#"{{"epoch":"a","at":{}}}"#, SECOND);
    let at = |version: &str, at: u64| {
        format!(
            r#"{{"commit":"price/1","version":{version},"began":{},"ended":{}}}"#,
            at * SECOND,
            at * SECOND
        )
    };
    let took = |version: &str, at: u64| applied("price/1", version, at * SECOND);
    let lines = [
        &at("1", 2),
        &took("1", 3),
        &old_epoch,
        &at("\"1:1\"", 10),
        &at("\"1:2\"", 11),
        &settled(50 * SECOND),
        &settled(90 * SECOND),
        &took("\"1:2\"", 95),
    ];
    assert_eq!(judge(&lines.map(|line| line.as_str())).counts.regressions, 1);
}

#[test]
fn m7_a_commit_that_is_recorded_twice_counts_once() {
    let verdict = judge_both_ways(&[SUBSCRIBED, V1, V1, &marked(150, 160), &applied("price/1", "1", 170)]);
    assert_eq!(verdict.counts.unmet_marks, 1);
    let earlier = V1.replace("110", "105");
    let verdict =
        judge_both_ways(&[SUBSCRIBED, V1, &earlier, &marked(150, 160), &applied("price/1", "1", 170)]);
    assert_eq!(verdict.counts.unmet_marks, 1, "acknowledged twice");
    let revoking = V2.replace('}', r#","revokes":100}"#);
    let again = revoking.replace("210", "205");
    let lease = r#"{"lease":"a","kind":"price","until":1000,"at":150}"#;
    let late = read(0, r#""version":2"#, 900, "fresh");
    for second in [&revoking, &again] {
        let verdict = judge_both_ways(&[V1, &revoking, second, lease, &late]);
        assert_eq!(verdict.counts.unrevoked, 1, "{verdict}");
    }
}

#[test]
fn c1_one_version_has_one_content() {
    let with = |entity: &str, digest: &str| {
        format!(r#"{{"commit":"{entity}","version":1,"began":100,"ended":110,"digest":"{digest}"}}"#)
    };
    let shown = read(0, r#""version":1"#, 300, "fresh");
    let (one, other) = (with("price/1", "07"), with("price/1", "08"));
    let (second, third) = (with("price/2", "07"), with("price/2", "08"));
    let error = try_judge(&[&third, &one, &second, &shown, &other]).unwrap_err();
    assert!(error.to_string().contains("version 1 of price/2 is recorded with two contents"), "{error}");
    assert!(try_judge(&[&one, &one, &second, V1, &shown]).is_ok(), "the same twice, or nothing, is no other");
}

#[test]
fn d6_an_absence_is_told_as_one() {
    let delete = r#"{"commit":"price/1","version":2,"began":200,"ended":210,"deleted":true}"#;
    let again = r#"{"commit":"price/1","version":3,"began":300,"ended":310,"revokes":10}"#;
    let gone = read(0, r#""absent":true"#, 500, "within 200").replace("\"path\"", "\"bound\":14,\"path\"");
    let verdict = judge(&[V1, delete, again, &gone]);
    let told: Vec<_> = verdict.violations.iter().map(|violation| violation.what.as_str()).collect();
    assert_eq!(told.len(), 2, "{verdict}");
    assert!(told.iter().all(|what| what.contains("answered with none of price/1")), "{told:?}");
}

#[test]
fn d7_the_evidence_does_not_depend_on_who_judges() {
    let mut lines = Vec::new();
    for entity in 0..250 {
        lines.push(read(0, r#""version":9"#, 300, "fresh").replace("price/1", &format!("price/{entity}")));
    }
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    assert_eq!(judge(&lines).violations.len(), 100);
}
