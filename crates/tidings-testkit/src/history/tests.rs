//! What a history file may not be, and what is said of it.

use tidings_core::{Code, Entity, Freshness, Outcome, Path, Stamp, Timeline, Version};

use super::*;

const HEADER: &str = "{\"tidings_history\":1}";
const COMMIT: &str = r#"{"commit":"price/1","version":1,"began":100,"ended":110}"#;
const READ: &str = r#"{"read":"product","key":"1","copy":"cache","began":200,"ended":210,"label":"fresh","path":"l1","shows":[{"entity":"price/1","version":1}]}"#;

fn judge(text: &str) -> tidings_core::Result<crate::Verdict> {
    let one = check(Reader::new(text.as_bytes()), 1);
    let parts = check(Reader::new(text.as_bytes()), 3);
    match (&one, &parts) {
        (Ok(one), Ok(parts)) => assert_eq!(one, parts),
        (Err(one), Err(parts)) => assert_eq!(one.to_string(), parts.to_string()),
        _ => panic!("{one:?} and {parts:?}"),
    }
    one
}

/// A whole history of these lines.
fn file(lines: &[&str]) -> String {
    let records = lines.iter().filter(|line| !line.starts_with("{\"settled")).count();
    format!("{HEADER}\n{}\n{{\"end\":{records}}}\n", lines.join("\n"))
}

#[track_caller]
fn refused(text: &str, code: Code, words: &[&str]) {
    let error = judge(text).unwrap_err();
    assert_eq!(error.code(), code, "{error}\n{text}");
    for word in words {
        assert!(error.to_string().contains(word), "{error}\nlacks {word:?}");
    }
}

#[test]
fn a_good_one_is_judged() {
    let verdict = judge(&file(&[COMMIT, READ])).unwrap();
    assert!(verdict.is_clean() && verdict.counts.reads == 1 && verdict.counts.commits == 1);
    let spread = COMMIT.replace("{\"commit\":\"price/1\",", "{ \"began\" : 100 , \"commit\" : \"price/1\" ,");
    let spread = spread.replace("\"began\":100,", "");
    assert!(judge(&file(&[&spread, READ])).unwrap().is_clean(), "order and spaces make no difference");
    let doctored = READ.replace("\"version\":1", "\"version\":0");
    assert_eq!(judge(&file(&[COMMIT, &doctored])).unwrap().counts.false_labels, 1);
    let unended = file(&[COMMIT, READ]);
    assert!(judge(unended.trim_end()).unwrap().is_clean(), "the last line needs no newline");
}

#[test]
fn a_line_that_is_not_of_the_format_is_refused_with_its_number() {
    for (line, words) in [
        ("nonsense", &["no JSON object"][..]),
        ("", &["no JSON object"]),
        ("[\"price/1\",1]", &["no JSON object"]),
        (r#"{"commit":"price/1","version":1,"began":100,"ended":}"#, &["column"]),
        (r#"{"wished":"price/1","version":1}"#, &["unknown field `wished`"]),
        (r#"{"commit":"price/1","verion":1,"began":100}"#, &["unknown field `verion`"]),
        (r#"{"commit":"price/1","version":1,"began":1,"began":2}"#, &["duplicate field `began`"]),
        (r#"{"version":1,"at":5}"#, &["what kind of record"]),
        (r#"{"commit":"price/1","version":1}"#, &["needs the field \"began\""]),
        (r#"{"commit":"price/1","version":1,"began":1,"at":1}"#, &["has no field \"at\""]),
        (r#"{"commit":"price/1","epoch":"cache","version":1,"began":1,"at":1}"#, &["has no field"]),
        (r#"{"commit":"price","version":1,"began":1}"#, &["price"]),
        (r#"{"commit":"price/1","version":-1,"began":1}"#, &["version"]),
        (r#"{"commit":"price/1","version":1.5,"began":1}"#, &["version"]),
        (r#"{"commit":"price/1","version":"x:1","began":1}"#, &["version"]),
        (r#"{"commit":"price/1","version":"nothing","began":1}"#, &["version"]),
        (r#"{"commit":"price/1","version":18446744073709551615,"began":1}"#, &["too large"]),
        (r#"{"commit":"price/1","version":1,"began":1,"digest":"xyz"}"#, &["digest"]),
        (r#"{"commit":"price/1","version":1,"began":1,"window":[5,4]}"#, &["window"]),
        (r#"{"applied":"price/1","version":1,"copy":"c","outcome":"eaten","at":1}"#, &["eaten"]),
        (&READ.replace("fresh", "fresher"), &["fresher"]),
        (&READ.replace("fresh", "within"), &["within"]),
        (&READ.replace("\"l1\"", "\"l9\""), &["l9"]),
        (&READ.replace(r#"{"entity":"price/1","version":1}"#, r#"["price/1",1]"#), &["object"]),
        (&READ.replace(r#""version":1}"#, r#""version":1,"absent":true}"#), &["absent"]),
        (&READ.replace(r#","version":1}"#, "}"), &["absent"]),
        (&READ.replace(r#""version":1}"#, r#""version":1,"more":2}"#), &["unknown field `more`"]),
        (HEADER, &["in the middle"]),
    ] {
        let words = [words, &["line 3", "TD1012", "mend that line"]].concat();
        refused(&file(&[COMMIT, line, READ]), Code::HISTORY_UNREADABLE, &words);
    }
}

#[test]
fn times_that_cannot_be_are_refused() {
    let settled = "{\"settled\":150}";
    let late = COMMIT.replace("price/1", "price/2");
    for (lines, words) in [
        ([READ, r#"{"commit":"price/1","version":1,"began":100,"ended":99}"#], ["line 3", "before it began"]),
        ([READ, &READ.replace("\"ended\":210", "\"ended\":199")], ["line 3", "before it began"]),
        ([settled, &late], ["line 3", "150 was settled"]),
        ([settled, r#"{"epoch":"cache","at":149}"#], ["line 3", "150 was settled"]),
        ([settled, r#"{"lease":"cache","until":500,"at":149}"#], ["line 3", "150 was settled"]),
        ([settled, r#"{"marked":"cache","upto":100,"at":149}"#], ["line 3", "150 was settled"]),
        (
            [settled, r#"{"held":"price/1","absent":true,"copy":"c","upto":1,"at":149}"#],
            ["line 3", "settled"],
        ),
        ([settled, "{\"settled\":149}"], ["line 3", "after 150 was"]),
    ] {
        refused(&file(&lines), Code::HISTORY_UNREADABLE, &words);
    }
    let just_then = COMMIT.replace("110", "150").replace("began\":100", "began\":150");
    assert!(judge(&file(&[settled, &just_then, READ])).is_ok());
    let unanswered = COMMIT.replace(",\"ended\":110", "");
    assert!(judge(&file(&[settled, &unanswered, READ])).is_ok(), "it may end at any time");
}

#[test]
fn a_history_without_its_ends_is_refused() {
    let whole = file(&[COMMIT, READ]);
    let incomplete = Code::HISTORY_INCOMPLETE;
    refused("", incomplete, &["line 1", "empty"]);
    refused(&format!("{HEADER}\n"), incomplete, &["line 1"]);
    refused(&whole.replace("{\"end\":2}\n", ""), incomplete, &["line 3", "after line 3"]);
    refused(&whole.replace("\"end\":2", "\"end\":3"), incomplete, &["line 4", "3 records, and 2"]);
    refused(&whole.replace(&format!("{COMMIT}\n"), ""), incomplete, &["line 3", "2 records, and 1"]);
    refused(&file(&[]).replace("\n\n", "\n"), incomplete, &["nothing was checked"]);
    refused(&file(&[COMMIT]), incomplete, &["nothing was checked"]);
    for cut in whole.find(READ).unwrap() + 1..whole.find(READ).unwrap() + READ.len() {
        refused(&whole[..cut], incomplete, &["line 3", "line 2 is the last whole one"]);
    }
    let unreadable = Code::HISTORY_UNREADABLE;
    refused(&whole.replace(HEADER, "{\"tidings_history\":2}"), unreadable, &["line 1", "version 2"]);
    refused(&whole.replace(&format!("{HEADER}\n"), ""), unreadable, &["line 1", "no history"]);
    refused("id,version\n1,2\n", unreadable, &["line 1", "no history"]);
    refused(&format!("{whole}{READ}\n"), unreadable, &["line 5", "follows the end"]);
    refused(&format!("{whole}\n"), unreadable, &["line 5", "follows the end"]);
}

/// Every kind of record, with everything it can have and with as little as it can do with.
fn everything() -> Vec<Record> {
    let entity = Entity::parse("price/a \"quoted\" \\ ü").unwrap();
    let stamp = Stamp { timeline: Timeline(3), version: Version::MAX };
    let copy: Arc<str> = "cache \t1".into();
    let labels = [
        Freshness::Fresh,
        Freshness::Within(Duration::from_nanos(u64::MAX)),
        Freshness::Stale(tidings_core::certificate::Cause::SourceFailed),
        Freshness::Stale(tidings_core::certificate::Cause::SourceBehind),
        Freshness::Unverified,
        Freshness::Direct,
    ];
    let paths = [Path::L1, Path::Source, Path::SourceUnkept, Path::Coalesced, Path::L1, Path::L2];
    let states = [
        State::Absent,
        State::at(stamp),
        State::At { stamp, digest: Some(u64::MAX), in_force: Some(InForce::Nothing) },
        State::At { stamp, digest: Some(0), in_force: Some(InForce::Version(stamp)) },
    ];
    let shows: Vec<_> = states.map(|state| Shown { entity: entity.clone(), state }).into();
    let mut records = vec![
        Record::baseline(entity.clone(), stamp),
        Record::Baseline { entity: entity.clone(), stamp, deleted: true, digest: Some(5) },
        Record::Commit(Commit {
            deleted: true,
            digest: Some(1),
            window: Some(Span { from: 0, until: Nanos::MAX }),
            revokes: Some(Duration::from_nanos(7)),
            ..Commit::of(entity.clone(), stamp, 5, None)
        }),
        Record::Epoch { copy: copy.clone(), at: 9 },
    ];
    for (freshness, path) in labels.into_iter().zip(paths) {
        let token = (path == Path::L1).then(|| (entity.clone(), stamp));
        let bound = token.as_ref().map(|_| Duration::from_nanos(3));
        let (view, key, shows) = ("product".into(), "\u{1f600}\n".into(), shows.clone());
        let (copy, session, began, ended) = (copy.clone(), u64::MAX, 0, Nanos::MAX);
        records.push(Record::Read(Read {
            copy,
            session,
            view,
            key,
            shows,
            token,
            began,
            ended,
            freshness,
            path,
            bound,
        }));
    }
    for outcome in [Outcome::Applied, Outcome::Superseded, Outcome::Parked] {
        let (copy, entity) = (copy.clone(), entity.clone());
        records.push(Record::Applied(Applied { copy, entity, stamp, outcome, at: 1 }));
    }
    for kind in [None, Some(Arc::<str>::from("price"))] {
        let copy = || copy.clone();
        records.push(Record::Subscribed { copy: copy(), kind: kind.clone(), from: 4 });
        records.push(Record::Marked { copy: copy(), kind: kind.clone(), upto: 5, at: 6 });
        records.push(Record::Lease { copy: copy(), kind, until: 7, at: 8 });
        records.extend(shows.iter().map(|shown| Record::Held {
            copy: copy(),
            shown: shown.clone(),
            upto: 2,
            at: 3,
        }));
    }
    records
}

#[test]
fn whatever_is_written_is_read_back() {
    let records = everything();
    let mut writer = Writer::new(Vec::new()).unwrap();
    records.iter().for_each(|record| writer.record(record).unwrap());
    let file = writer.finish().unwrap();
    let read: Vec<_> = Reader::new(&file[..]).map(Result::unwrap).collect();
    let records: Vec<_> = records.into_iter().map(Said::Record).collect();
    assert_eq!(read, records, "{}", String::from_utf8_lossy(&file));
}

#[test]
fn the_example_in_the_documentation_is_a_history() {
    let source = include_str!("../history.rs");
    let example = source.split("```text\n").nth(1).unwrap().split("//! ```").next().unwrap();
    let example = example.replace(",\n//!  ", ",").replace("//! ", "");
    let verdict = judge(&example).unwrap();
    assert!(verdict.is_clean() && verdict.counts.answers == 1 && verdict.counts.marks == 1, "{verdict}");
}

#[test]
fn d2_what_is_no_history_is_not_read_to_its_end() {
    use std::io::{BufReader, Read as _, repeat};
    let unreadable = |text: Box<dyn std::io::Read>| {
        let mut reader = Reader::new(BufReader::new(text));
        reader.find_map(Result::err).unwrap().to_string()
    };
    // Neither has an end.
    let error = unreadable(Box::new(repeat(0)));
    assert!(error.contains("no history") && error.contains("line 1") && error.contains("4096"), "{error}");
    let header = format!("{HEADER}\n{COMMIT}\n");
    let error = unreadable(Box::new(std::io::Cursor::new(header.into_bytes()).chain(repeat(b'x'))));
    assert!(error.contains("line 3") && error.contains("longer than 16777216 bytes"), "{error}");
}

#[test]
fn d3_a_long_fault_is_told_in_short() {
    let long = READ.replace("fresh", &"ü".repeat(100_000));
    let error = judge(&file(&[COMMIT, &long])).unwrap_err().to_string();
    assert!(error.contains("line 3") && error.contains("label") && error.len() < 1500, "{error}");
}

#[test]
fn d4_what_was_written_is_read_as_it_was_or_not_at_all() {
    let lines = [COMMIT, READ, &READ.replace("200", "205"), &COMMIT.replace("price/1", "price/2")];
    let mut writer = Writer::new(Vec::new()).unwrap();
    for said in Reader::new(file(&lines).as_bytes()) {
        let Said::Record(record) = said.unwrap() else { continue };
        writer.record(&record).unwrap();
        writer.settled(50).unwrap();
    }
    let whole = String::from_utf8(writer.finish().unwrap()).unwrap();
    assert!(judge(&whole).unwrap().is_clean());
    let rows: Vec<&str> = whole.lines().collect();
    let with = |change: fn(&mut Vec<String>)| {
        let mut rows = rows.iter().map(ToString::to_string).collect();
        change(&mut rows);
        rows.join("\n") + "\n"
    };
    for (name, damaged) in [
        ("a digit changed", with(|rows| rows[1] = rows[1].replace("110", "111"))),
        ("a settled time changed", with(|rows| rows[8] = rows[8].replace("50", "51"))),
        ("two lines swapped", with(|rows| rows.swap(3, 5))),
        ("one lost, another doubled", with(|rows| rows[3] = rows[5].clone())),
        ("a settled line lost", with(|rows| drop(rows.remove(2)))),
        ("one letter of a name", with(|rows| rows[7] = rows[7].replace("price/2", "price/3"))),
    ] {
        assert_ne!(damaged, whole, "{name}");
        let error = judge(&damaged).unwrap_err();
        assert_eq!(error.code(), Code::HISTORY_UNREADABLE, "{name}: {error}");
        assert!(error.to_string().contains("changed, lost, doubled or misplaced"), "{name}: {error}");
        // Whoever means it takes the digest out.
        let meant = damaged.split(",\"digest\":").next().unwrap().to_owned() + "}\n";
        assert!(judge(&meant).is_ok(), "{name}");
    }
}

#[test]
fn d5_null_is_no_value() {
    for line in [
        &COMMIT.replace("110", "null"),
        &COMMIT.replace('}', ",\"outcome\":null}"),
        &COMMIT.replace('}', ",\"digest\":null}"),
        &COMMIT.replace('}', ",\"window\":null}"),
        &READ.replace(r#","label""#, r#","bound":null,"label""#),
        &READ.replace(r#","label""#, r#","token":null,"label""#),
        &READ.replace(r#""version":1}"#, r#""version":1,"digest":null}"#),
        &READ.replace(r#""version":1}"#, r#""version":1,"in_force":null}"#),
        &READ.replace(r#""version":1}"#, r#""absent":true,"version":null}"#),
    ] {
        refused(&file(&[line, READ]), Code::HISTORY_UNREADABLE, &["line 2", "null"]);
    }
}

#[test]
fn e2_what_comes_too_late_says_so_and_leaves_the_rest_readable() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let lines = file(&[READ, COMMIT]);
    for said in Reader::new(lines.as_bytes()) {
        let Said::Record(record) = said.unwrap() else { continue };
        writer.record(&record).unwrap();
        writer.settled(400).unwrap();
    }
    let whole = String::from_utf8(writer.finish().unwrap()).unwrap();
    assert_eq!(whole.matches(",\"late\":true}").count(), 1, "{whole}");
    assert_eq!(judge(&whole).unwrap().counts.late, 1);
}
