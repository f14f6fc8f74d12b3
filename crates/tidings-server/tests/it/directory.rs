//! Data directories that are refused, and disks that are read-only or full.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::json;

use crate::support::{Dev, Said, SmallDisk, command, line, path, run, run_with};

fn check(args: &[&str], code: &str, says: &str) {
    let said = run(args);
    assert_eq!(said.code, Some(1), "{said:?}");
    let last = said.err.lines().last().unwrap_or_default();
    assert!(last.starts_with("tidings: ") && last.ends_with(&format!("[{code}]")), "{code}: {said:?}");
    assert!(last.contains(says), "{says}: {said:?}");
}

#[test]
fn a_directory_that_is_not_ours_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let photos = root.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("cat.jpg"), "meow").unwrap();
    let file = photos.join("cat.jpg");
    for place in [&photos, &file] {
        check(&["dev", "--data", path(place), "--port", "0"], "TD2008", path(place));
        check(&["publish", "--data", path(place)], "TD2008", path(place));
        check(&["tail", "--data", path(place)], "TD2008", path(place));
    }
    check(&["status", "--data", path(&root.path().join("missing"))], "TD2008", "no such directory");
    assert_eq!(fs::read_dir(&photos).unwrap().count(), 1);
}

#[test]
fn a_directory_from_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("format"), "tidings 2\n").unwrap();
    for command in [
        &["dev", "--port", "0", "--data"][..],
        &["publish", "--data"],
        &["tail", "--data"],
        &["status", "--data"],
    ] {
        check(&[command, &[path(dir.path())]].concat(), "TD2002", "format 2; this program knows 1");
    }
    // And so is a single file in it.
    fs::write(dir.path().join("format"), "tidings 1\n").unwrap();
    let log = rusqlite::Connection::open(dir.path().join("log.db")).unwrap();
    log.execute_batch("PRAGMA application_id = 0x5449444C; PRAGMA user_version = 9; CREATE TABLE topic (id)")
        .unwrap();
    check(&["dev", "--port", "0", "--data", path(dir.path())], "TD2002", "log.db");
}

#[test]
fn one_dev_per_directory_and_per_port() {
    let dir = tempfile::tempdir().unwrap();
    let dev = Dev::start(&["--data", path(dir.path()), "--load", "0", "--products", "50"]);
    check(&["dev", "--data", path(dir.path()), "--port", "0"], "TD2007", &dev.host);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let other = dir.path().join("other");
    check(&["dev", "--data", path(&other), "--port", &port], "TD2003", &port);
    assert!(!other.exists(), "nothing was begun");
    dev.kill();
    let said = run(&["status", "--data", path(dir.path())]);
    assert!(said.out.contains("not running"), "running.json is stale: {said:?}");
}

#[test]
fn only_a_directory_of_ones_own_is_found_without_being_named() {
    let temp = tempfile::tempdir().unwrap();
    let trap = temp.path().join("tidings-dev-trap");
    fs::create_dir(&trap).unwrap();
    fs::write(trap.join("format"), "tidings 1\n").unwrap();
    fs::write(trap.join("running.json"), r#"{"address":"http://127.0.0.1:9","pid":1}"#).unwrap();
    let lock = fs::File::create(trap.join("lock")).unwrap();
    lock.lock().unwrap();
    let find = || -> Said {
        command(&["status"]).env("TMPDIR", temp.path()).stdin(Stdio::null()).output().unwrap().into()
    };
    let said = find();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("tidings-dev-trap: running at http://127.0.0.1:9"), "{said:?}");

    std::os::unix::fs::symlink(&trap, temp.path().join("tidings-dev-link")).unwrap();
    assert_eq!(find().code, Some(0), "a link is no second one");

    let Ok(()) = std::os::unix::fs::chown(&trap, Some(12_345), None) else {
        eprintln!("NOT TESTED: a directory of somebody else's, because this user cannot give one away");
        return;
    };
    let said = find();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("no tidings dev runs without one") && said.err.contains("[TD2001]"),
        "{said:?}"
    );
}

#[test]
fn a_read_only_disk() {
    // Permission bits do not bind root, a read-only mount does.
    let Some(disk) = SmallDisk::mount("8m") else {
        eprintln!("NOT TESTED: a read-only disk, because this user cannot mount a file system");
        return;
    };
    let said = run_with(&["publish", "--data", path(disk.path())], line("price/a", json!({})).as_bytes());
    assert_eq!(said.code, Some(0), "{said:?}");
    disk.make_read_only();
    check(&["dev", "--data", path(disk.path()), "--port", "0"], "TD2004", path(disk.path()));
    check(&["dev", "--data", path(&disk.path().join("new")), "--port", "0"], "TD2004", "new");
    let said = run_with(&["publish", "--data", path(disk.path())], line("price/a", json!({})).as_bytes());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("[TD2004]"), "{said:?}");
}

#[test]
fn a_full_disk_loses_nothing_that_was_reported() {
    let Some(disk) = SmallDisk::mount("2m") else {
        eprintln!("NOT TESTED: a full disk, because this user cannot mount a file system");
        return;
    };
    let data = ["publish", "--data", path(disk.path()), "--json"];
    let ballast = disk.path().join("ballast");
    let said = run_with(&data, line("price/0", json!({})).as_bytes());
    assert_eq!(said.code, Some(0), "{said:?}");
    fs::write(&ballast, vec![1; 600 << 10]).unwrap();
    let body = "x".repeat(2000);
    let many: Vec<_> = (1..=2000).map(|n| line(&format!("price/{n}"), json!({ "data": body }))).collect();
    let said = run_with(&data, many.join("\n").as_bytes());
    assert_eq!(said.code, Some(1), "{said:?}");
    let last = said.err.lines().last().unwrap();
    assert!(
        last.contains("nothing from this line on was published") && last.ends_with("[TD2005]"),
        "{said:?}"
    );
    let told = said.out.lines().filter(|line| line.contains("\"version\"")).count();
    assert!(told > 0, "some batches fitted: {said:?}");
    let stopped: usize =
        last.strip_prefix("tidings: stdin:").unwrap().split(':').next().unwrap().parse().unwrap();
    assert_eq!(stopped, told + 1, "the place to go on from");
    let db = rusqlite::Connection::open(disk.path().join("publish.db")).unwrap();
    let count = |sql| usize::try_from(db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()).unwrap();
    assert_eq!(count("SELECT count(*) FROM tidings_outbox"), told + 1);
    assert_eq!(count("SELECT count(*) FROM published"), told + 1, "nothing half-applied");

    fs::remove_file(&ballast).unwrap();
    let said = run_with(&data, many[told].as_bytes());
    assert_eq!(said.code, Some(0), "after space was made: {said:?}");
    fs::write(&ballast, vec![1; 200 << 10]).unwrap();
    check(&["dev", "--data", path(disk.path()), "--port", "0"], "TD2005", "full");
}
