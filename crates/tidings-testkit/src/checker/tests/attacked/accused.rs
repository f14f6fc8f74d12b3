//! What is right, and was once accused.

use super::*;

const SECOND: u64 = 1_000_000_000;

#[test]
fn f2_a_commit_may_be_under_way_for_very_long() {
    let later: Vec<_> = [40, 80, 120].map(|at| settled(at * SECOND)).into();
    let commit = |more: &str| {
        format!(r#"{{"commit":"price/1","version":2,"began":200,"ended":{}{more}}}"#, 130 * SECOND)
    };
    let applied = r#"{"applied":"price/1","version":2,"copy":"a","outcome":"applied","at":300}"#;
    for (shows, more) in [(r#""version":2"#, ""), (r#""absent":true"#, r#","deleted":true"#)] {
        let seen = read(0, shows, 300, "fresh");
        let held = format!(r#"{{"held":"price/1",{shows},"copy":"a","upto":250,"at":300}}"#);
        let late = commit(more);
        let mut lines = vec![V1, applied, &seen, &held];
        lines.extend(later.iter().map(String::as_str));
        let invented = judge(&lines).counts;
        assert_eq!((invented.invented + invented.diverged), 3, "if it never comes, with {shows}");
        lines.push(&late);
        let verdict = judge(&lines);
        assert!(verdict.is_clean(), "{shows}: {verdict}");
    }
}

#[test]
fn f3_what_was_there_before_may_have_been_deleted() {
    let gone = r#"{"baseline":"price/1","version":5,"deleted":true}"#;
    let absent = read(0, r#""absent":true"#, 100, "fresh");
    let held = r#"{"held":"price/1","absent":true,"copy":"a","upto":90,"at":100}"#;
    assert!(judge_both_ways(&[gone, &absent, held]).is_clean());
    let there = gone.replace(",\"deleted\":true", ",\"digest\":\"07\"");
    assert_eq!(judge_both_ways(&[&there, &absent, held]).counts.violations(), 2);
    let torn = read(0, r#""version":5,"digest":"08""#, 100, "fresh");
    assert_eq!(judge_both_ways(&[&there, &torn]).counts.invented, 1);
}

#[test]
fn f4_the_last_breath_of_an_old_timeline_needs_no_epoch() {
    let zombie = r#"{"commit":"price/1","version":2,"began":405}"#;
    let failover = r#"{"commit":"price/1","version":"1:1","began":410,"ended":420}"#;
    let applied = |version: &str, at| {
        format!(r#"{{"applied":"price/1","version":{version},"copy":"a","outcome":"applied","at":{at}}}"#)
    };
    let (old, new) = (applied("1", 150), applied("\"1:1\"", 450));
    let epoch = r#"{"epoch":"a","at":400}"#;
    assert!(judge_both_ways(&[V1, zombie, failover, &old, epoch, &new]).is_clean());
    let acknowledged = zombie.replace('}', ",\"ended\":407}");
    let verdict = judge_both_ways(&[V1, &acknowledged, failover, &old, epoch, &new]);
    assert_eq!(verdict.counts.regressions, 1, "it was for something else");
}

#[test]
fn f5_what_happens_in_the_settled_moment_may_still_come() {
    let subscribed = r#"{"subscribed":"a","kind":"price","from":0}"#;
    let mark = r#"{"marked":"a","kind":"price","upto":111,"at":120}"#;
    let applied = r#"{"applied":"price/1","version":1,"copy":"a","outcome":"applied","at":120}"#;
    assert!(judge(&[subscribed, V1, mark, &settled(120), applied]).is_clean());
    let epoch = r#"{"epoch":"a","at":120}"#;
    let later = applied.replace("120", "130");
    assert!(judge(&[subscribed, V1, mark, &settled(120), epoch, &later]).is_clean());
}

#[test]
fn f6_what_was_committed_before_the_baseline_is_no_news_whichever_comes_first() {
    let subscribed = r#"{"subscribed":"a","kind":"price","from":0}"#;
    let baseline = r#"{"baseline":"price/1","version":5}"#;
    let old = r#"{"commit":"price/1","version":3,"began":100,"ended":110,"revokes":5,"window":[0,1000]}"#;
    let lease = r#"{"lease":"a","until":1000,"at":50}"#;
    let mark = r#"{"marked":"a","upto":200,"at":300}"#;
    let shown = read(0, r#""version":5,"in_force":4"#, 400, "fresh");
    let verdict = judge_both_ways(&[subscribed, old, baseline, lease, mark, &shown]);
    assert!(verdict.is_clean() && verdict.accounts.is_empty(), "{verdict}");
}

#[test]
fn e6_the_version_of_a_commit_that_failed_may_go_to_another() {
    let failed = r#"{"commit":"price/1","version":2,"began":150,"digest":"07","deleted":true}"#;
    let other = r#"{"commit":"price/1","version":2,"began":200,"ended":210,"digest":"08"}"#;
    let shown = read(0, r#""version":2,"digest":"08""#, 300, "fresh");
    let gone = read(0, r#""absent":true"#, 310, "fresh");
    assert!(judge_both_ways(&[V1, failed, other, &shown]).is_clean());
    assert_eq!(judge_both_ways(&[V1, failed, other, &gone]).counts.invented, 1);
}
