//! `dev --distributed` on real servers: every copy accounts for every event, also one whose process was killed.

use std::time::{Duration, Instant};

use serde_json::Value;
use services::{Service, address};

#[test]
fn every_copy_accounts_for_every_event_though_one_is_killed() {
    if services::embedded_only() {
        eprintln!("skipped: it needs PostgreSQL, Kafka and Redis");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (data, report) = (dir.path().join("data"), dir.path().join("report.json"));
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["dev", "--distributed", "--for", "10s", "--load", "50", "--products", "100", "--port", "0"])
        .args(["--postgres", &address(Service::Postgres).unwrap()])
        .args(["--kafka", &address(Service::Kafka).unwrap()])
        .args(["--redis", &address(Service::Redis).unwrap()])
        .arg("--data")
        .arg(&data)
        .arg("--report")
        .arg(&report)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let killed = kill_a_copy(&data);
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stdout));
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let number = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{key} in {report}"));
    assert!(number("events_committed") > 0);
    assert_eq!([number("stale_reads"), number("false_labels")], [0, 0]);
    for copy in ["", "copy_1_", "copy_2_"] {
        let of = |what: &str| number(&format!("{copy}events_{what}"));
        assert_eq!(of("committed"), of("applied") + of("superseded") + of("parked"), "{copy}");
        assert_eq!(of("committed"), number("events_committed"), "{copy}");
    }
    assert_eq!(number("copy_1_restarts"), u64::from(killed), "{said}");
}

/// Once it runs; whether it did in time.
fn kill_a_copy(data: &std::path::Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let text = std::fs::read(data.join("processes.json")).unwrap_or_default();
        let processes: Vec<Value> = serde_json::from_slice(&text).unwrap_or_default();
        let copy = processes.iter().find(|process| process["name"] == "copy-1");
        // Its read model is there: it has begun to apply.
        if let Some(pid) = copy.and_then(|copy| copy["pid"].as_i64())
            && data.join("copy-1").join("experience.db-wal").exists()
        {
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            assert!(command.contains("dev-copy"), "process {pid} is not ours: {command}");
            return std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success();
        }
        std::thread::yield_now();
    }
    false
}
