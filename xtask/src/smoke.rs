//! A short run of the whole platform under load, judged by its own report.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{self, Workspace};

/// Builds the binary, runs `tidings dev` for five seconds, and checks the report's figures.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    command::succeed(workspace.cargo(&["build", "--release", "--locked", "-p", "tidings-server"]))?;
    let directory = workspace.results().join("smoke");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    let report = directory.join("report.json");
    let mut dev = std::process::Command::new(workspace.target().join("release").join("tidings"));
    dev.current_dir(workspace.root()).args(["dev", "--for", "5s", "--load", "200", "--port", "0"]);
    dev.arg("--data").arg(directory.join("data")).arg("--report").arg(&report);
    command::succeed(dev)?;
    let text = std::fs::read_to_string(&report)
        .with_context(|| format!("tidings dev left no report at {}", report.display()))?;
    let report: Value = serde_json::from_str(&text).context("the report is not JSON")?;
    let faults = faults(&report);
    if !faults.is_empty() {
        bail!("{}", faults.join("; "));
    }
    Ok(())
}

/// What the report shows that must not be: the first promises (no stale read, no false label, nothing lost), and a run
/// that did nothing.
fn faults(report: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut figure = |name: &str| {
        let value = report.get(name).and_then(Value::as_u64);
        if value.is_none() {
            faults.push(format!("the report has no {name}"));
        }
        value.unwrap_or(0)
    };
    let [committed, applied, superseded, parked] =
        ["events_committed", "events_applied", "events_superseded", "events_parked"].map(&mut figure);
    let [reads, stale, false_labels] = ["reads", "stale_reads", "false_labels"].map(&mut figure);
    if committed == 0 || reads == 0 {
        faults.push(format!("nothing happened: {committed} commits, {reads} reads"));
    }
    if committed != applied + superseded + parked {
        faults.push(format!(
            "events were lost: {committed} committed, {applied} applied, {superseded} superseded, {parked} parked"
        ));
    }
    for (name, value) in [("stale reads", stale), ("false labels", false_labels)] {
        if value > 0 {
            faults.push(format!("{value} {name}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(change: &[(&str, Value)]) -> Value {
        let mut report = json!({
            "events_committed": 10, "events_applied": 7, "events_superseded": 2, "events_parked": 1,
            "reads": 100, "stale_reads": 0, "false_labels": 0,
        });
        for (name, value) in change {
            report[*name] = value.clone();
        }
        report
    }

    #[test]
    fn a_good_report_has_no_faults() {
        assert_eq!(faults(&report(&[])), Vec::<String>::new());
    }

    #[test]
    fn each_broken_promise_is_named() {
        for (name, value, fault) in [
            ("stale_reads", json!(1), "1 stale reads"),
            ("false_labels", json!(2), "2 false labels"),
            ("events_applied", json!(6), "events were lost: 10 committed, 6 applied, 2 superseded, 1 parked"),
            ("reads", json!(0), "nothing happened: 10 commits, 0 reads"),
            ("stale_reads", json!(null), "the report has no stale_reads"),
            ("stale_reads", json!("0"), "the report has no stale_reads"),
        ] {
            assert_eq!(faults(&report(&[(name, value)])), [fault]);
        }
    }
}
