//! A history that was doctored by hand is found out, under the promise that it now breaks.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::history::{recorded, verdict};

type Lines = Vec<Value>;

/// Changes one thing, so that one promise is broken; `None` if the history has nothing to do that to.
type Doctor = fn(&mut Lines) -> Option<()>;

const CASES: &[(&str, Doctor, &str)] = &[
    ("a version that was never committed", invent, "violations_i0"),
    ("other content than was committed", tear, "violations_i0"),
    ("a version put back", put_back, "violations_i1"),
    ("a session sent back", send_back, "violations_i2"),
    ("a token ignored", ignore_token, "violations_i3"),
    ("a bound made tighter", tighten, "violations_i4"),
    ("a label made fresher", freshen, "violations_i5"),
    ("a mark that claims too much", overclaim, "violations_i6"),
    ("an old state held in the end", hold_old, "violations_i9"),
    ("an event lost", lose, "violations_i10"),
];

#[test]
fn whatever_is_doctored_is_found_under_its_promise() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = recorded(dir.path());
    let lines: Lines = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(verdict(&text(&lines))["violations"], 0, "as it was recorded");
    for (name, doctor, invariant) in CASES {
        let mut doctored = lines.clone();
        doctor(&mut doctored).unwrap_or_else(|| panic!("nothing to make {name} of"));
        let judged = verdict(&text(&doctored));
        assert!(judged[invariant].as_u64() > Some(0), "{name}: {judged}");
        let found = judged["evidence"].as_array().unwrap();
        let own = |found: &&Value| invariant.ends_with(&found["invariant"].as_str().unwrap().to_lowercase());
        let proof = found.iter().find(own).unwrap_or_else(|| panic!("{name}: {judged}"));
        assert!(!proof["records"].as_array().unwrap().is_empty(), "{name}: {proof}");
    }
}

/// The lines as a history, with as many records as there are.
fn text(lines: &[Value]) -> String {
    let is_record =
        |line: &&Value| ["tidings_history", "settled", "end"].iter().all(|kind| line[kind].is_null());
    let records = lines.iter().filter(is_record).count();
    let line = |line: &Value| match line["end"] {
        Value::Null => format!("{line}\n"),
        _ => format!("{}\n", json!({ "end": records })),
    };
    lines.iter().map(line).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn is_read(line: &Value) -> bool {
    line["read"].is_string()
}

/// Answers that claim something: those of the cache, and loads.
fn claims(line: &Value) -> bool {
    let label = line["label"].as_str().unwrap_or_default();
    is_read(line) && (label == "fresh" || label.starts_with("within"))
}

/// Each thing shown by the reads that are wanted, as (line, place, entity, version).
fn shown(lines: &Lines, wanted: fn(&Value) -> bool) -> Vec<(usize, usize, String, u64)> {
    let mut all = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| wanted(line)) {
        for (place, shows) in line["shows"].as_array().unwrap().iter().enumerate() {
            if let Some(version) = shows["version"].as_u64() {
                all.push((at, place, shows["entity"].as_str().unwrap().to_owned(), version));
            }
        }
    }
    all
}

/// Shows another version, whose content nobody looked at.
fn show(lines: &mut Lines, (at, place): (usize, usize), version: u64) {
    let shows = &mut lines[at]["shows"][place];
    shows["version"] = json!(version);
    shows.as_object_mut().unwrap().remove("digest");
}

fn invent(lines: &mut Lines) -> Option<()> {
    let (at, place, ..) = shown(lines, is_read).pop()?;
    show(lines, (at, place), 1_000_000);
    Some(())
}

fn tear(lines: &mut Lines) -> Option<()> {
    let committed: Vec<_> = lines.iter().filter(|line| line["commit"].is_string()).collect();
    let known = |entity: &str, version| {
        committed.iter().any(|line| line["commit"] == entity && line["version"] == version)
    };
    let read = shown(lines, is_read);
    let has_digest = |at: usize, place: usize| lines[at]["shows"][place]["digest"].is_string();
    let found = read
        .into_iter()
        .find(|(at, place, entity, version)| known(entity, *version) && has_digest(*at, *place));
    let (at, place, ..) = found?;
    lines[at]["shows"][place]["digest"] = json!("00000000000000ff");
    Some(())
}

/// A read of what another that ended before it began had shown, in the same version, later than the first.
fn repeated(lines: &Lines, same_session: bool) -> Option<((usize, usize), u64)> {
    let mut first = HashMap::<(String, Value), (u64, u64)>::new();
    for (at, place, entity, version) in shown(lines, claims) {
        let line = &lines[at];
        let session = if same_session { line["session"].clone() } else { Value::Null };
        if version < 2 || (same_session && session.is_null()) {
            continue;
        }
        let (began, ended) = (number(&line["began"]), number(&line["ended"]));
        match first.get(&(entity.clone(), session.clone())) {
            Some((seen, until)) if *seen == version && *until < began => return Some(((at, place), version)),
            Some((seen, _)) if *seen >= version => {}
            _ => drop(first.insert((entity, session), (version, ended))),
        }
    }
    None
}

fn put_back(lines: &mut Lines) -> Option<()> {
    let (place, version) = repeated(lines, false)?;
    show(lines, place, version - 1);
    Some(())
}

fn send_back(lines: &mut Lines) -> Option<()> {
    let (place, version) = repeated(lines, true)?;
    show(lines, place, version - 1);
    // Even if it claims nothing.
    lines[place.0]["label"] = json!("stale source_behind");
    lines[place.0]["path"] = json!("source_unkept");
    Some(())
}

fn ignore_token(lines: &mut Lines) -> Option<()> {
    let at = lines.iter().position(|line| line["token"]["version"].as_u64() > Some(1))?;
    let token = lines[at]["token"].clone();
    let place = lines[at]["shows"].as_array()?.iter().position(|shows| shows["entity"] == token["entity"])?;
    show(lines, (at, place), number(&token["version"]) - 1);
    Some(())
}

/// An answer from the cache that was behind: a newer version had been acknowledged before it was asked for.
fn behind(lines: &Lines) -> Option<usize> {
    let mut acknowledged = HashMap::<String, Vec<(u64, u64)>>::new();
    for line in lines.iter().filter(|line| line["commit"].is_string()) {
        let entity = line["commit"].as_str()?.to_owned();
        acknowledged.entry(entity).or_default().push((number(&line["version"]), number(&line["ended"])));
    }
    let is_behind = |(at, _, entity, version): &(usize, usize, String, u64)| {
        let began = number(&lines[*at]["began"]);
        let commits = acknowledged.get(entity).map_or(&[][..], Vec::as_slice);
        commits.iter().any(|(newer, ended)| newer > version && *ended < began)
    };
    shown(lines, claims).into_iter().find(is_behind).map(|(at, ..)| at)
}

fn tighten(lines: &mut Lines) -> Option<()> {
    let at = behind(lines)?;
    lines[at]["bound"] = json!(1);
    Some(())
}

fn freshen(lines: &mut Lines) -> Option<()> {
    let at = behind(lines)?;
    lines[at]["label"] = json!("fresh");
    Some(())
}

/// Said a moment before an event was applied: that everything acknowledged by then had been.
fn overclaim(lines: &mut Lines) -> Option<()> {
    let is_event = |line: &&Value| line["commit"].is_string();
    let acknowledged: HashMap<(Value, Value), u64> = lines
        .iter()
        .filter(is_event)
        .map(|line| ((line["commit"].clone(), line["version"].clone()), number(&line["ended"])))
        .collect();
    let found = lines.iter().position(|line| {
        let ended = acknowledged.get(&(line["applied"].clone(), line["version"].clone()));
        line["outcome"] == "applied" && ended.is_some_and(|ended| ended + 2 < number(&line["at"]))
    });
    let at = found?;
    let kind = lines[at]["applied"].as_str()?.split('/').next()?.to_owned();
    let just_before = number(&lines[at]["at"]) - 1;
    let mark = json!({ "marked": "experience-api", "kind": kind, "upto": just_before, "at": just_before });
    lines.insert(at, mark);
    Some(())
}

fn hold_old(lines: &mut Lines) -> Option<()> {
    let held =
        lines.iter_mut().find(|line| line["held"].is_string() && line["version"].as_u64() > Some(1))?;
    held["version"] = json!(number(&held["version"]) - 1);
    held.as_object_mut()?.remove("digest");
    Some(())
}

fn lose(lines: &mut Lines) -> Option<()> {
    // Nothing newer took its place.
    let newest = lines.iter().rev().find(|line| line["commit"].is_string())?.clone();
    let is_its = |line: &Value| line["applied"] == newest["commit"] && line["version"] == newest["version"];
    lines.retain(|line| !is_its(line));
    Some(())
}
