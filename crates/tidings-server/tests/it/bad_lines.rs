//! Every kind of bad line, and the good lines around it.

use serde_json::json;

use crate::support::{line, path, run_with};

/// One bad line between two good ones: it is refused with its place, its code and what is wrong; they are kept.
fn check(bad: &[u8], code: &str, says: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut input = format!("{}\n", line("price/before", json!({}))).into_bytes();
    input.extend_from_slice(bad);
    input.push(b'\n');
    input.extend_from_slice(line("price/after", json!({})).as_bytes());
    let said = run_with(&["publish", "--data", path(dir.path())], &input);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.starts_with("published 2, refused 1\n"), "{said:?}");
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    assert!(said.err.starts_with("tidings: stdin:2: "), "{said:?}");
    assert!(said.err.ends_with(&format!("[{code}]\n")), "{code}: {said:?}");
    assert!(said.err.contains(says), "{says}: {said:?}");
    assert!(said.err.contains("; "), "no remedy: {said:?}");
}

#[test]
fn malformed() {
    check(b"hello", "TD1001", "begins with 'h'");
    check(b"[1,2]", "TD1001", "array");
    check(b"\xff\xfe{}", "TD1001", "");
    check(b"{} {}", "TD1001", "trailing");
}

#[test]
fn truncated() {
    let whole = line("price/x", json!({}));
    check(&whole.as_bytes()[..whole.len() - 20], "TD1009", "ends before");
}

#[test]
fn oversized() {
    let body = "x".repeat(1 << 20);
    check(line("price/x", json!({ "data": body })).as_bytes(), "TD1002", "1048576");
}

#[test]
fn too_deep() {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let bad = line("price/x", json!({ "data": 1 })).replace("\"data\":1", &format!("\"data\":{deep}"));
    check(bad.as_bytes(), "TD1003", "");
}

#[test]
fn wrong_version_type() {
    check(line("price/x", json!({ "aggregateversion": true })).as_bytes(), "TD1005", "aggregateversion");
    check(line("price/x", json!({ "aggregateversion": "seven" })).as_bytes(), "TD1005", "aggregateversion");
    check(line("price/x", json!({ "aggregateversion": 1.5 })).as_bytes(), "TD1005", "aggregateversion");
    check(line("price/x", json!({ "aggregateversion": -1 })).as_bytes(), "TD1005", "aggregateversion");
}

#[test]
fn missing_entity() {
    check(line("price/x", json!({ "subject": null })).as_bytes(), "TD1004", "subject");
    check(line("price/x", json!({ "type": null })).as_bytes(), "TD1004", "type");
}

#[test]
fn unknown_type() {
    check(line("price/x", json!({ "type": "pricing.Guessed" })).as_bytes(), "TD1010", "pricing.Guessed");
}

#[test]
fn control_characters_in_ids() {
    check(line("price/x\u{0}y", json!({})).as_bytes(), "TD1006", "U+0000");
    check(line("price/x\u{202e}y", json!({})).as_bytes(), "TD1006", "U+202E");
    check(line("price/x\u{1b}[2J", json!({})).as_bytes(), "TD1006", "U+001B");
    check(line("price", json!({})).as_bytes(), "TD1006", "kind/id");
}

#[test]
fn repeated_attributes() {
    let bad = line("price/x", json!({})).replacen('{', "{\"specversion\":\"1.0\",", 1);
    check(bad.as_bytes(), "TD1008", "specversion");
}

#[test]
fn duplicate_and_regressing_versions() {
    check(
        line("price/before", json!({ "aggregateversion": 1 })).as_bytes(),
        "TD1007",
        "version 1 of price/before does not follow 1, the last one",
    );
    let twice = line("price/x", json!({ "id": "same", "aggregateversion": 4 }));
    let dir = tempfile::tempdir().unwrap();
    let data = ["publish", "--data", path(dir.path())];
    let lower = line("price/x", json!({ "aggregateversion": 3 }));
    let said = run_with(&data, format!("{twice}\n{twice}\n{lower}\n").as_bytes());
    assert!(said.out.starts_with("published 1, refused 2\n"), "{said:?}");
    assert!(
        said.err.contains("stdin:2: the event same of /publish has been published before, as version 4"),
        "{said:?}"
    );
    assert!(said.err.contains("stdin:3: version 3 of price/x does not follow 4, the last one"), "{said:?}");
    let said = run_with(&data, twice.as_bytes());
    assert_eq!(said.code, Some(1), "remembered across processes: {said:?}");
}

#[test]
fn a_line_without_end_is_never_held_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = crate::support::command(&["publish", "--data", path(dir.path())]);
    // 256 MB of address space; the line is larger.
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", "ulimit -v 262144 && exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    command = limited;
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let block = vec![b'x'; 1 << 20];
    for _ in 0..512 {
        std::io::Write::write_all(&mut stdin, &block).unwrap();
    }
    std::io::Write::write_all(&mut stdin, format!("\n{}\n", line("price/x", json!({}))).as_bytes()).unwrap();
    drop(stdin);
    let said = crate::support::Said::from(child.wait_with_output().unwrap());
    assert!(said.out.starts_with("published 1, refused 1\n"), "{said:?}");
    assert!(said.err.contains("TD1002"), "{said:?}");
}
