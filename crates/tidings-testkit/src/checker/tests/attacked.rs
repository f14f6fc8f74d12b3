//! Histories that an attack on the checker once had judged wrongly, as lines of a file.

use tidings_core::Result;

use crate::checker::Verdict;
use crate::history::{Reader, check};

mod accused;
mod missed;

/// The lines between header and end, judged by one and by three.
fn try_judge(lines: &[&str]) -> Result<Verdict> {
    let records = lines.iter().filter(|line| !line.contains("settled")).count();
    let text = format!("{{\"tidings_history\":1}}\n{}\n{{\"end\":{records}}}\n", lines.join("\n"));
    let judged = |by| check(Reader::new(text.as_bytes()), by);
    let (alone, shared) = (judged(1), judged(3));
    match (&alone, &shared) {
        (Ok(alone), Ok(shared)) => assert_eq!(alone, shared, "whoever judges"),
        (one, other) => assert_eq!(format!("{one:?}"), format!("{other:?}"), "whoever judges"),
    }
    alone
}

fn judge(lines: &[&str]) -> Verdict {
    try_judge(lines).unwrap()
}

/// The same in both orders, of which neither may make a difference.
fn judge_both_ways(lines: &[&str]) -> Verdict {
    let verdict = judge(lines);
    let backwards: Vec<_> = lines.iter().rev().copied().collect();
    assert_eq!(judge(&backwards).counts, verdict.counts, "backwards");
    verdict
}

fn settled(time: u64) -> String {
    format!(r#"{{"settled":{time}}}"#)
}

const V1: &str = r#"{"commit":"price/1","version":1,"began":100,"ended":110}"#;
const V2: &str = r#"{"commit":"price/1","version":2,"began":200,"ended":210}"#;

fn read(session: u64, shows: &str, began: u64, label: &str) -> String {
    format!(
        r#"{{"read":"v","key":"k","copy":"c{began}","session":{session},"began":{began},"ended":{},"label":"{label}","path":"l1","shows":[{{"entity":"price/1",{shows}}}]}}"#,
        began + 5
    )
}

#[test]
fn a_session_goes_on_as_long_as_it_is_shown_something() {
    let second = 1_000_000_000;
    let shown = |at: u64| read(7, r#""version":2"#, at * second, "unverified");
    let back = |at: u64| read(7, r#""version":1"#, at * second, "unverified");
    let verdict = judge(&[V1, V2, &shown(1), &shown(200), &shown(400), &back(650)]);
    assert_eq!(verdict.counts.session_regressions, 1);
    let verdict = judge(&[V1, V2, &shown(1), &back(400)]);
    assert_eq!(verdict.counts.session_regressions, 0, "it was over");
}

#[test]
fn an_old_label_is_judged_by_what_was_true_so_long_ago() {
    let second = 1_000_000_000;
    let commit =
        |version, at| format!(r#"{{"commit":"price/1","version":{version},"began":{at},"ended":{at}}}"#);
    let (first, later) = (commit(1, second), commit(2, 2 * second));
    let newest = commit(3, 100 * second);
    let honest = read(0, r#""version":3"#, 101 * second, "within 60000000000");
    let lie = read(0, r#""version":1"#, 141 * second, "within 60000000000");
    let gone = read(0, r#""absent":true"#, 142 * second, "within 60000000000");
    let settled = format!(r#"{{"settled":{}}}"#, 140 * second);
    let verdict = judge(&[&first, &later, &newest, &honest, &settled, &lie, &gone]);
    assert_eq!((verdict.counts.false_labels, verdict.counts.invented), (1, 1));
}

#[test]
fn a_delete_leaves_nothing_to_show_and_may_be_recorded_late() {
    let delete = r#"{"commit":"price/1","version":2,"began":200,"ended":210,"deleted":true}"#;
    let content = read(0, r#""version":2,"digest":"07""#, 300, "fresh");
    assert_eq!(judge(&[V1, delete, &content]).counts.invented, 1);
    let absent = read(7, r#""absent":true"#, 205, "fresh");
    let back = read(7, r#""version":1"#, 240, "unverified");
    let verdict = judge(&[V1, &absent, r#"{"settled":210}"#, delete, &back]);
    assert_eq!(verdict.counts.session_regressions, 1, "it had been gone");
    // Nothing is held against an absence that a delete under way explains.
    let early = read(0, r#""absent":true"#, 201, "within 150").replace("\"path\"", "\"bound\":14,\"path\"");
    let verdict = judge(&[V1, &early, r#"{"settled":207}"#, delete]);
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn nothing_is_in_force_only_if_no_known_window_says_otherwise() {
    let baseline = r#"{"baseline":"price/1","version":5}"#;
    let always = r#"{"commit":"price/1","version":6,"began":10,"ended":20,"window":[0,100000]}"#;
    let claims = read(0, r#""version":6,"in_force":"nothing""#, 250, "fresh");
    assert_eq!(judge(&[baseline, always, &claims]).counts.wrong_in_force, 1);
}

#[test]
fn reads_that_show_nothing_prove_nothing() {
    let line = read(0, r#""version":1"#, 100, "fresh").replace(r#"{"entity":"price/1","version":1}"#, "");
    let text = format!("{{\"tidings_history\":1}}\n{line}\n{{\"end\":1}}\n");
    assert!(check(Reader::new(text.as_bytes()), 1).is_err());
}
