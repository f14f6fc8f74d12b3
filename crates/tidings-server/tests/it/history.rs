//! `tidings dev --history` and `tidings check-history`: the file tells what the report told, and nothing gets past it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Dev, Said, SmallDisk, path, run, run_with};

/// What a short run saw: its history and its report.
pub(crate) fn recorded(dir: &Path) -> (String, Value) {
    let (history, report) = (dir.join("h.jsonl"), dir.join("r.json"));
    let said = run(&[
        "dev",
        "--for",
        "3s",
        "--load",
        "150",
        "--products",
        "300",
        "--port",
        "0",
        "--history",
        path(&history),
        "--report",
        path(&report),
    ]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let report = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    (fs::read_to_string(history).unwrap(), report)
}

pub(crate) fn check(history: &str, more: &[&str]) -> Said {
    run_with(&[&["check-history", "-"], more].concat(), history.as_bytes())
}

pub(crate) fn verdict(history: &str) -> Value {
    let said = check(history, &["--json"]);
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"))
}

#[test]
fn the_verdict_on_a_history_is_that_of_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let (history, report) = recorded(dir.path());
    let judged = verdict(&history);
    let counts: Vec<_> = judged.as_object().unwrap().iter().filter(|(_, count)| count.is_number()).collect();
    assert!(counts.len() > 20, "{judged}");
    for (name, count) in counts {
        assert_eq!(&report[name], count, "{name}: {report}");
    }
    for (name, in_report) in [
        ("expected", "committed"),
        ("applied", "applied"),
        ("superseded", "superseded"),
        ("parked", "parked"),
    ] {
        assert_eq!(judged["accounts"][0][name], report[format!("events_{in_report}")], "{name}");
    }
    assert_eq!((&judged["clean"], &judged["violations"]), (&json!(true), &json!(0)));
    for seen in ["commits_judged", "applied_judged", "reads_judged", "marks_judged"] {
        assert!(judged[seen].as_u64() > Some(20), "{seen}: {judged}");
    }
    let held = |what: &str| report[format!("held_{what}")].as_u64().unwrap();
    assert!(held("modelled") >= 300 * 11 && held("cached") > 0, "the whole read model, and pages: {report}");
    assert_eq!(judged["held_judged"], json!(held("modelled") + held("cached")));
    assert!(history.contains("\"token\":{") && history.contains("\"absent\":true"), "these, too");

    let said = check(&history, &["--threads", "1"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.ends_with("honest    every promise was kept\n"), "{said:?}");
    assert_eq!(check(&history, &["--threads", "4"]).out, said.out, "however many threads");
}

#[test]
fn an_older_history_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let history = dir.path().join("h.jsonl");
    let long = format!("{{\"tidings_history\":1}}\n{}", "{\"settled\":1}\n".repeat(100_000));
    fs::write(&history, long).unwrap();
    let said = run(&[
        "dev",
        "--for",
        "1s",
        "--load",
        "50",
        "--products",
        "20",
        "--port",
        "0",
        "--history",
        path(&history),
    ]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = run(&["check-history", path(&history)]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn what_is_no_history_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let letter = dir.path().join("letter.txt");
    fs::write(&letter, "Dear Ada,\n").unwrap();
    let missing = dir.path().join("missing").join("h.jsonl");
    let data = dir.path().join("data");
    for (place, code) in
        [(letter.as_path(), "[TD2001]"), (dir.path(), "[TD2009]"), (missing.as_path(), "[TD2009]")]
    {
        let said =
            run(&["dev", "--for", "1s", "--port", "0", "--data", path(&data), "--history", path(place)]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.ends_with(&format!("{code}\n")) && said.err.contains(path(place)), "{said:?}");
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
    }
    assert_eq!(fs::read_to_string(letter).unwrap(), "Dear Ada,\n");
    assert!(!data.exists(), "nothing was begun");
}

#[test]
fn a_run_whose_history_cannot_be_written_ends_and_says_so() {
    let data = tempfile::tempdir().unwrap();
    // Much sooner than it would by itself.
    let dev = ["dev", "--for", "30s", "--port", "0", "--products", "500", "--load", "50"];
    let dev = [&dev[..], &["--data", path(data.path()), "--history"]].concat();
    let said = run(&[&dev[..], &["/dev/full"]].concat());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("tidings: stopping: /dev/full: ") && said.err.contains("[TD2005]"), "{said:?}");
    assert!(said.out.contains("\nhonest    0 stale"), "it was judged all the same: {said:?}");

    let Some(disk) = SmallDisk::mount("1m") else {
        eprintln!("NOT TESTED: a full disk, because this user cannot mount a file system");
        return;
    };
    let history = disk.path().join("h.jsonl");
    let said = run(&[&dev[..], &[path(&history)]].concat());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("[TD2005]"), "{said:?}");
    let said = run(&["check-history", path(&history)]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains(path(&history)) && said.err.ends_with("[TD3004]\n"), "{said:?}");
}

#[test]
fn a_history_that_was_cut_off_by_a_kill_is_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let history = dir.path().join("h.jsonl");
    let data = dir.path().join("data");
    let args = ["--load", "50", "--products", "50", "--data", path(&data), "--history", path(&history)];
    let dev = Dev::start(&args);
    dev.kill();
    let said = run(&["check-history", path(&history)]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.ends_with("[TD3004]\n"), "{said:?}");
}

/// The history in the guide.
fn example() -> String {
    let guide = include_str!("../../../../docs/guide/history.md");
    let (_, json) = guide.split_once("```json\n").unwrap();
    json.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_example_of_the_guide_is_a_history_that_keeps_every_promise() {
    let judged = verdict(&example());
    assert_eq!(
        (&judged["clean"], &judged["reads_judged"], &judged["answers_judged"]),
        (&json!(true), &json!(2), &json!(3))
    );
    // Read 2.5 ms after the change, where 2 ms are tolerated.
    let stale = example()
        .replace("\"began\":1500000,\"ended\":1600000", "\"began\":4500000,\"ended\":4600000")
        .replacen("\"bound\":2000000000", "\"bound\":2000000", 1);
    let said = check(&stale, &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let shown = said.out.split_once("broken    I4 bounded staleness: 1\n\nI4 ");
    let (before, proof) = shown.unwrap_or_else(|| panic!("{said:?}"));
    assert!(!before.contains("broken"), "and no other promise: {said:?}");
    let read = "\n   read product 42 (L1, ";
    let commit = "\n   commit price/42 version 7: 0.001000 s to 0.002000 s\n";
    assert!(proof.contains(read) && proof.contains(commit), "{said:?}");
}

#[test]
fn bad_input_is_refused_with_its_line() {
    let example = example();
    let lines: Vec<&str> = example.lines().collect();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at - 1] = line;
        lines.join("\n") + "\n"
    };
    let commit = r#"{"commit":"price/42","version":7,"began":1000000,"ended":2000000}"#;
    let moved = {
        let mut lines = lines.clone();
        lines.remove(3);
        lines.insert(8, commit);
        lines.join("\n") + "\n"
    };
    let half = &example[..example.len() - 30];
    let whole_lines = lines[..6].join("\n") + "\n";
    let cases: &[(&str, &str, &str, &str)] = &[
        ("unknown kind", &with(3, r#"{"rumour":"price/42"}"#), "TD1012", "line 3: "),
        ("unknown field", &with(4, &commit.replace("version", "verion")), "TD1012", "line 4: "),
        ("unknown label", &example.replace("\"fresh\"", "\"very fresh\""), "TD1012", "line 9: "),
        ("no JSON", &with(7, "marked: cache-1"), "TD1012", "line 7: "),
        ("an old line after a settled one", &moved, "TD1012", "line 9: "),
        ("times backwards", &with(4, &commit.replace("2000000", "200")), "TD1012", "line 4: "),
        ("another version", &with(1, r#"{"tidings_history":2}"#), "TD1012", "line 1: "),
        ("no first line", &example[lines[0].len() + 1..], "TD1012", "line 1: "),
        ("something else", "Dear Ada,\n", "TD1012", "line 1: "),
        ("more after the end", &(example.clone() + commit + "\n"), "TD1012", "line 12: "),
        ("two histories", &(example.clone() + &example), "TD1012", "line 12: "),
        ("no last line", &whole_lines, "TD3004", "line 6"),
        ("cut off", half, "TD3004", "line "),
        ("another count", &with(11, r#"{"end":9}"#), "TD3004", "line 11: "),
        ("empty", "", "TD3004", "line 1: "),
        ("nothing to judge", "{\"tidings_history\":1}\n{\"end\":0}\n", "TD3004", "nothing was checked"),
    ];
    for (name, history, code, says) in cases {
        for threads in ["1", "3"] {
            let said = check(history, &["--threads", threads]);
            assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{name}: {said:?}");
            assert!(said.err.starts_with("tidings: -: ") && said.err.contains(says), "{name}: {said:?}");
            assert!(said.err.ends_with(&format!("[{code}]\n")), "{name}: {said:?}");
            assert_eq!(said.err.lines().count(), 1, "{name}: {said:?}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for (place, code) in [(dir.path(), "[TD2001]"), (&dir.path().join("none"), "[TD2009]")] {
        let said = run(&["check-history", path(place)]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(path(place)) && said.err.ends_with(&format!("{code}\n")), "{said:?}");
    }
}
