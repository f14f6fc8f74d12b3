//! SIGKILL at any moment: what was acknowledged is there, and nothing is there by halves.
//!
//! The child is this test binary in another role; it says on its standard output what was acknowledged.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;
use tidings_core::port::{Cursor, Log, Outbox};
use tidings_sqlite::{SqliteLog, SqliteOutbox, outbox};

use crate::support::{draft, event, everything, versions, write};

const DIRECTORY: &str = "TIDINGS_TEST_DIRECTORY";
const ROUNDS: u64 = 15;
const ENTITIES: u64 = 3;

fn directory() -> PathBuf {
    std::env::var_os(DIRECTORY).expect("this is a child's role; the crash tests start it").into()
}

fn acknowledge(entity: &str, version: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ack {entity} {version}").unwrap();
    out.flush().unwrap();
}

/// Starts the child, reads acknowledgements until there are enough, kills it in the middle of whatever it does, and
/// reads what else it had said before.
fn run_and_kill(role: &str, directory: &Path, enough: usize) -> HashMap<String, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", role, "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = HashMap::new();
    let mut count = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        // The last line may be cut off; the test harness says a few of its own.
        let ["ack", entity, version] = words[..] else { continue };
        acknowledged.insert(entity.to_owned(), version.parse().unwrap());
        count += 1;
        if count == enough {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(count >= enough, "the child ended by itself: {status}");
    acknowledged
}

/// Each entity has all versions from 1 to at least the acknowledged one, in order.
fn check(found: &[(String, u64)], acknowledged: &HashMap<String, u64>, round: u64) {
    for (entity, version) in acknowledged {
        let own: Vec<u64> = found.iter().filter(|(e, _)| e == entity).map(|(_, v)| *v).collect();
        assert!(own.iter().copied().eq(1..=own.len() as u64), "round {round}: {entity} has {own:?}");
        assert!(
            own.len() as u64 >= *version,
            "round {round}: {entity} lost what was acknowledged ({version})"
        );
    }
}

#[tokio::test]
async fn the_log_survives_kill_9_at_any_moment() {
    let dir = TempDir::new().unwrap();
    for round in 0..ROUNDS {
        let acknowledged = run_and_kill("crash::child_appends", dir.path(), 1 + (round as usize * 37) % 90);
        let log = SqliteLog::open(dir.path().join("log.db")).unwrap();
        let all = everything(&*log).await;
        assert_eq!(all.len() % 2, 0, "round {round}: half a batch is there");
        check(&versions(&all), &acknowledged, round);
    }
}

#[tokio::test]
#[ignore = "a role that the crash tests play in a child process"]
async fn child_appends() {
    let log = SqliteLog::open(directory().join("log.db")).unwrap();
    let before = versions(&everything(&*log).await);
    let tasks: Vec<_> = (0..ENTITIES)
        .map(|n| {
            let (log, entity): (Arc<SqliteLog>, _) = (log.clone(), format!("price/{n}"));
            let last = before.iter().filter(|(e, _)| *e == entity).count() as u64;
            tokio::spawn(async move {
                for version in (last + 1..).step_by(2) {
                    let batch = [version, version + 1].map(|v| write(event(&entity, v, 300)));
                    log.append(&batch).await.unwrap();
                    acknowledge(&entity, version + 1);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn s25_state_and_outbox_survive_kill_9_at_any_moment() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pricing.db");
    for round in 0..ROUNDS {
        let acknowledged = run_and_kill("crash::child_records", dir.path(), 1 + (round as usize * 53) % 120);
        let relay = SqliteOutbox::open(&path, "/pricing").unwrap();
        let scan = relay.scan(Cursor(0), 1_000_000).await.unwrap();
        let events = scan.rows.iter().map(|row| row.event.as_ref().unwrap());
        let found: Vec<_> = events.map(|e| (e.entity.to_string(), e.stamp.version.number())).collect();
        check(&found, &acknowledged, round);
        let db = rusqlite::Connection::open(&path).unwrap();
        let state: i64 = db.query_row("SELECT n FROM state", [], |row| row.get(0)).unwrap();
        assert_eq!(state, found.len() as i64, "round {round}: state and events differ");
        relay.acknowledge(Cursor(found.len() as u64)).await.unwrap();
    }
}

#[test]
#[ignore = "a role that the crash tests play in a child process"]
fn child_records() {
    let mut db = rusqlite::Connection::open(directory().join("pricing.db")).unwrap();
    db.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())).unwrap();
    outbox::install(&db).unwrap();
    let sql = "CREATE TABLE IF NOT EXISTS state (n INTEGER);
               INSERT INTO state SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM state)";
    db.execute_batch(sql).unwrap();
    for n in 0.. {
        let entity = format!("price/{}", n % ENTITIES);
        let tx = db.transaction().unwrap();
        tx.execute("UPDATE state SET n = n + 1", []).unwrap();
        let recorded = outbox::record(&tx, &draft(&entity, None)).unwrap();
        tx.commit().unwrap();
        acknowledge(&entity, recorded.stamp.version.number());
    }
}
