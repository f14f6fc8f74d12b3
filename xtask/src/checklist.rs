//! Which rows of the specification have a check, and whether it passes.
//!
//! A test says in its name which rows it shows: `s25_rollback_leaves_no_event`, or `s25_s26_..` for two of them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::command::Workspace;
use crate::suite::{self, Status, Test};

/// Number and short wording of each row.
const ROWS: &str = include_str!("checklist_rows.txt");

/// One row and what is known of it.
#[derive(Debug, Serialize)]
struct Row {
    row: String,
    checks: Vec<String>,
    status: &'static str,
    #[serde(skip)]
    wording: &'static str,
}

/// Prints the rows, from the last test run.
pub(crate) fn run(workspace: &Workspace, json: bool) -> Result<()> {
    let rows = assess(&rows()?, &suite::last(workspace)?);
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    for row in &rows {
        println!("{:<5} {:<5} {}", row.row, row.status, row.wording);
        for check in &row.checks {
            println!("            {check}");
        }
    }
    let count = |status| rows.iter().filter(|row| row.status == status).count();
    println!(
        "{} rows: {} pass, {} fail, {} have no check",
        rows.len(),
        count("pass"),
        count("fail"),
        count("none")
    );
    Ok(())
}

/// Rows that tests name but that do not exist: a slip of the pen that would hide a check.
pub(crate) fn unknown_rows(test_name: &str) -> Result<Vec<u32>> {
    let known = rows()?;
    Ok(named_rows(test_name).into_iter().filter(|row| !known.contains_key(row)).collect())
}

fn rows() -> Result<BTreeMap<u32, &'static str>> {
    let lines = ROWS.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (number, wording) = line.split_once(' ').context("a row has no wording")?;
            Ok((number.parse().with_context(|| format!("{number:?} is no row number"))?, wording))
        })
        .collect()
}

fn assess(rows: &BTreeMap<u32, &'static str>, tests: &[Test]) -> Vec<Row> {
    let ran = || tests.iter().filter(|test| test.status != Status::Ignored);
    rows.iter()
        .map(|(&number, &wording)| {
            let shown: Vec<_> = ran().filter(|test| named_rows(&test.name).contains(&number)).collect();
            let status = match shown.as_slice() {
                [] => "none",
                tests if tests.iter().all(|test| test.status == Status::Passed) => "pass",
                _ => "fail",
            };
            let checks = shown.iter().map(|test| format!("{}: {}", test.krate, test.name)).collect();
            Row { row: format!("S{number}"), checks, status, wording }
        })
        .collect()
}

/// The rows in front of a test's name, the last part of its path.
fn named_rows(test_name: &str) -> Vec<u32> {
    let name = test_name.rsplit("::").next().unwrap_or(test_name);
    name.split('_').map_while(|part| part.strip_prefix('s')?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_specification_is_listed_once() {
        let numbers: Vec<_> = rows().unwrap().into_keys().collect();
        assert_eq!(numbers, (1..=136).collect::<Vec<_>>());
        assert_eq!(ROWS.lines().count(), 136, "no row twice");
    }

    #[test]
    fn a_test_names_its_rows_in_front() {
        for (name, rows) in [
            ("fence::s51_late_fill_cannot_land", vec![51]),
            ("s25_s26_crash_at_every_step", vec![25, 26]),
            ("it::slow_s25_source", vec![]),
            ("s3_storage", vec![3]),
            ("sqlite_round_trip", vec![]),
            ("s_25_nothing", vec![]),
        ] {
            assert_eq!(named_rows(name), rows, "{name}");
        }
        assert_eq!(unknown_rows("s136_s137_x").unwrap(), [137]);
    }

    #[test]
    fn a_row_passes_only_if_all_of_its_checks_do() {
        let test = |name: &str, status| Test::of("it", name, status);
        let tests = [
            test("a::s1_s2_both", Status::Passed),
            test("a::s2_other", Status::Failed),
            test("a::s3_not_run", Status::Ignored),
            test("a::no_row", Status::Passed),
        ];
        let rows = BTreeMap::from([(1, "one"), (2, "two"), (3, "three"), (4, "four")]);
        let seen: Vec<_> =
            assess(&rows, &tests).into_iter().map(|row| (row.row, row.checks.len(), row.status)).collect();
        let expected = [("S1", 1, "pass"), ("S2", 2, "fail"), ("S3", 0, "none"), ("S4", 0, "none")];
        assert_eq!(seen, expected.map(|(row, checks, status)| (row.to_owned(), checks, status)));
    }
}
