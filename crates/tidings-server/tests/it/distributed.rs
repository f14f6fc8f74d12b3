//! `dev --distributed` on real servers: its start waits for one that is away, and every copy accounts for every event,
//! also one whose process was killed when it had applied what it had not told.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use services::{Postgres, Service, address};

/// Nothing takes so long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn every_copy_accounts_for_every_event_though_one_is_killed_and_the_start_waits_for_a_server() {
    if services::embedded_only() {
        eprintln!("skipped: it needs PostgreSQL, Kafka and Redis");
        return;
    }
    let mut postgres = Postgres::start(&[]).unwrap();
    postgres.stop_immediately().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (data, report) = (dir.path().join("data"), dir.path().join("report.json"));
    let mut run = start(&postgres, &data, &report);
    let said = listen(&mut run);
    let mut heard = String::new();
    hear_until(&said, "waiting for the databases", &mut heard);
    postgres.restart().unwrap();
    kill_a_copy(&data, &mut run, &said, &mut heard);
    services::signal("TERM", run.id()).unwrap();
    let ended = run.wait().unwrap();
    heard.extend(said.iter());
    assert!(ended.success(), "{heard}");
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let number = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{key} in {report}"));
    assert!(number("events_committed") > 0);
    assert_eq!([number("stale_reads"), number("false_labels")], [0, 0]);
    let mut compared = 0;
    for copy in ["", "copy_1_", "copy_2_"] {
        let of = |what: &str| number(&format!("{copy}events_{what}"));
        assert_eq!(of("committed"), of("applied") + of("superseded") + of("parked"), "{copy} of {report}");
        assert_eq!(of("committed"), number("events_committed"), "{copy} of {report}");
        let held = ["modelled", "cached", "parts"].map(|what| number(&format!("{copy}held_{what}")));
        let [modelled, cached, parts] = held;
        // A product's content, and in five regions its price and stock.
        assert!(modelled >= 100 * 11 && cached > 0, "{copy} of {report}");
        compared += modelled + cached + parts;
    }
    assert_eq!(compared, number("held_judged"), "{report}");
    assert_eq!([number("copy_1_restarts"), number("copy_2_restarts")], [1, 0], "{heard}");
    assert!(number("l2_hits") > 0, "nothing came from what the copies share: {report}");
}

/// Asked to end long before it ends by itself, unless this test fails.
fn start(postgres: &Postgres, data: &Path, report: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["dev", "--distributed", "--for", "600s", "--load", "50", "--products", "100", "--port", "0"])
        .args(["--postgres", &postgres.url()])
        .args(["--kafka", &address(Service::Kafka).unwrap()])
        .args(["--redis", &address(Service::Redis).unwrap()])
        .arg("--data")
        .arg(data)
        .arg("--report")
        .arg(report)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What it says, line by line, until its end.
fn listen(run: &mut Child) -> Receiver<String> {
    let (said, hear) = channel();
    let lines = BufReader::new(run.stderr.take().unwrap()).lines();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // Whoever listened has failed.
            let _ = said.send(line + "\n");
        }
    });
    hear
}

fn hear_until(said: &Receiver<String>, what: &str, heard: &mut String) {
    while !heard.contains(what) {
        let line = said.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it did not say {what:?}: {heard}"));
        heard.push_str(&line);
    }
}

/// When it has applied what it cannot have told, since nobody reads what it says: its next process has to say it. Returns
/// when that one has gone on.
fn kill_a_copy(data: &Path, run: &mut Child, said: &Receiver<String>, heard: &mut String) {
    let copy = data.join("copy-1");
    let mut first = None;
    wait(run, said, heard, "the copy applies what was changed", || {
        let now = applied(&copy);
        first = first.or(now);
        now > first
    });
    let pid = pids(data, |process| process["name"] == "copy-1")[0];
    // What is committed from here on waits in the databases.
    let relays = Stopped::stop(pids(data, |process| process["kind"] == "relay"), "relay");
    let began = Instant::now();
    wait(run, said, heard, "there are changes", || began.elapsed() > Duration::from_secs(2));
    let parent = Stopped::stop(vec![run.id()], "dev");
    let pipe = File::open(format!("/proc/{pid}/fd/1")).unwrap();
    let mut full = (0, Instant::now());
    wait(run, said, heard, "nothing goes into its pipe any more", || {
        let held = rustix::io::ioctl_fionread(&pipe).unwrap();
        if held != full.0 {
            full = (held, Instant::now());
        }
        held > 1 << 15 && full.1.elapsed() > Duration::from_secs(1)
    });
    let before = applied(&copy).unwrap();
    drop(relays);
    wait(run, said, heard, "it applies what it cannot tell", || applied(&copy).unwrap() >= before + 20);
    signal("KILL", pid, "dev-copy");
    drop((pipe, parent));
    let killed = applied(&copy).unwrap();
    wait(run, said, heard, "another process goes on with the copy", || {
        pids(data, |process| process["name"] == "copy-1").iter().any(|now| *now != pid)
            && applied(&copy).unwrap() > killed
    });
}

fn wait(
    run: &mut Child,
    said: &Receiver<String>,
    heard: &mut String,
    what: &str,
    mut is_so: impl FnMut() -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not so: {heard}");
        assert_eq!(run.try_wait().unwrap(), None, "{what}: it has ended: {heard}");
        heard.extend(said.recv_timeout(Duration::from_millis(50)));
    }
}

/// The versions in a copy's read model, added up; `None` as long as it is not there.
fn applied(copy: &Path) -> Option<i64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let db = Connection::open_with_flags(copy.join("experience.db"), flags).ok()?;
    db.busy_timeout(PATIENCE).unwrap();
    let sql =
        "SELECT (SELECT sum(version) FROM product) + (SELECT sum(price_version + stock_version) FROM offer)";
    db.query_row(sql, [], |row| row.get(0)).ok()
}

/// The processes of a run that are such, and run.
fn pids(data: &Path, is_such: impl Fn(&Value) -> bool) -> Vec<u32> {
    let text = std::fs::read(data.join("processes.json")).unwrap();
    let processes: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let such = processes.iter().filter(|process| is_such(process));
    such.filter_map(|process| process["pid"].as_u64()?.try_into().ok()).collect()
}

/// Processes that stand still as long as this is there.
struct Stopped(Vec<u32>);

impl Stopped {
    fn stop(pids: Vec<u32>, command: &str) -> Self {
        let stopped = Self(pids);
        stopped.0.iter().for_each(|pid| signal("STOP", *pid, command));
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            // It may have ended.
            let _ = services::signal("CONT", *pid);
        }
    }
}

/// To one of ours.
fn signal(signal: &str, pid: u32, command: &str) {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(line.split('\0').nth(1) == Some(command), "process {pid} is not ours: {line}");
    services::signal(signal, pid).unwrap();
}
