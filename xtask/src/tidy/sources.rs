//! What the text of a file must and must not hold.

use anyhow::Result;

use super::tree::Tree;
use crate::checklist;

/// The longest that a source file may be, tests aside.
const MAX_LINES: usize = 500;

/// Starts of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// Notes of unfinished work; written in two halves, so that this file holds none itself.
const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!(")];

/// Ways to pause a test instead of waiting for what it needs.
const PAUSES: &[&str] = &[concat!("thread::", "sleep"), concat!("time::", "sleep(")];

/// Problems in the files' text.
pub(super) fn check(tree: &Tree) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (path, text) in tree.files() {
        let is_rust = path.ends_with(".rs");
        if is_rust && !is_test(path) && text.lines().count() > MAX_LINES {
            problems
                .push(format!("{path}: longer than {MAX_LINES} lines; split it by what its parts are about"));
        }
        for (index, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", index + 1);
            let found = check_line(path, is_rust, line);
            problems.extend(found.into_iter().map(|problem| format!("{place}: {problem}")));
            if let Some(name) = line.trim_start().split("fn ").nth(1).filter(|_| is_rust) {
                let name = name.split(['(', '<']).next().unwrap_or_default();
                problems.extend(
                    checklist::unknown_rows(name)?
                        .into_iter()
                        .map(|row| format!("{place}: the specification has no row S{row}")),
                );
            }
        }
    }
    Ok(problems)
}

fn check_line(path: &str, is_rust: bool, line: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(start) = MACHINE_PATHS.iter().find(|start| names_path(line, start)) {
        problems.push(format!("a path of one machine ({start}..)"));
    }
    if let Some(note) = NOTES.iter().find(|note| line.contains(**note)).filter(|_| !line.contains("(#")) {
        problems.push(format!("{note} without the number of its issue, as (#12)"));
    }
    if is_rust && line.trim() == concat!("#[ig", "nore]") {
        problems.push("an ignored test without its reason".to_owned());
    }
    if is_rust && path.contains("tests/") && PAUSES.iter().any(|pause| line.contains(pause)) {
        problems.push("a test must wait for what it needs, with a deadline, and never just pause".to_owned());
    }
    problems
}

/// Whether the line has an absolute path with this start: in the middle of a longer path or a URL it is another thing.
fn names_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        before.is_none_or(|c| !(c.is_alphanumeric() || "._-}/*".contains(c)))
    })
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).unwrap()
    }

    #[test]
    fn clean_files_pass() {
        let long = "x\n".repeat(MAX_LINES + 1);
        for (path, text) in [
            ("src/a.rs", "// see https://example.com/home/page and docs/work/a.md\n"),
            ("src/a.rs", concat!("// TO", "DO(#12): mend\n")),
            ("src/a.rs", concat!("#[ig", "nore = \"needs a server\"]\n")),
            ("src/clock.rs", concat!("thread::", "sleep(d);\n")),
            ("crates/a/tests/it/main.rs", long.as_str()),
            ("src/fence/tests.rs", long.as_str()),
            ("notes.txt", long.as_str()),
            ("src/a.rs", "fn s136_mesh() {}\n"),
        ] {
            assert_eq!(problems(path, text), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn each_blemish_is_named_with_its_place() {
        let long = "x\n".repeat(MAX_LINES + 1);
        for (path, text, problem) in [
            ("src/a.rs", long.as_str(), "src/a.rs: longer than 500 lines"),
            ("README.md", concat!("\nsee `/ho", "me/me/x`\n"), "README.md:2: a path of one machine"),
            ("a.sh", concat!("cd /wo", "rk/x\n"), "a.sh:1: a path of one machine"),
            ("src/a.rs", concat!("// TO", "DO: mend\n"), "without the number of its issue"),
            ("src/a.rs", concat!("to", "do!()\n"), "without the number of its issue"),
            ("src/a.rs", concat!("    #[ig", "nore]\n"), "src/a.rs:1: an ignored test without its reason"),
            ("crates/a/tests/it/main.rs", concat!("tokio::time::", "sleep(d).await;\n"), "never just pause"),
            (
                "src/a.rs",
                concat!("    async fn s", "137_beyond() {}\n"),
                "src/a.rs:1: the specification has no row S137",
            ),
        ] {
            let problems = problems(path, text);
            assert_eq!(problems.len(), 1, "{path}: {problems:?}");
            assert!(problems.iter().all(|found| found.contains(problem)), "{path}: {problems:?}");
        }
    }
}
