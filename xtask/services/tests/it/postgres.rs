//! PostgreSQL: what is committed survives what it promises to survive.

use services::{Postgres, PostgresPair};

use crate::support::{is_skipped, is_there, listens, until};

fn count(server: &Postgres) -> anyhow::Result<String> {
    server.query("SELECT count(*) FROM t")
}

#[test]
fn it_starts_ready_for_logical_decoding_and_asks_for_a_password() {
    if is_skipped() {
        return;
    }
    let settings = [("max_replication_slots", "7"), ("search_path", "it's")];
    let server = Postgres::start(&settings).unwrap();
    for (setting, expected) in
        [("wal_level", "logical"), ("fsync", "on"), ("max_replication_slots", "7"), ("search_path", "it's")]
    {
        assert_eq!(server.query(&format!("SHOW {setting}")).unwrap(), expected);
    }
    server.query("SELECT pg_create_logical_replication_slot('s', 'pgoutput')").unwrap();
    let hba = server.query("SELECT DISTINCT auth_method FROM pg_hba_file_rules").unwrap();
    assert_eq!(hba, "scram-sha-256");
    let error = server.query("SELECT no_such_column").unwrap_err().to_string();
    assert!(error.contains("no_such_column"), "{error}");
}

#[test]
fn what_is_committed_survives_a_kill_and_an_immediate_stop() {
    if is_skipped() {
        return;
    }
    let mut server = Postgres::start(&[]).unwrap();
    let url = server.url();
    server.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").unwrap();
    server.kill().unwrap();
    assert_eq!(server.pid(), None);
    assert!(!listens(server.port()));
    server.restart().unwrap();
    assert_eq!(count(&server).unwrap(), "1");
    server.query("INSERT INTO t VALUES (2)").unwrap();
    server.stop_immediately().unwrap();
    server.restart().unwrap();
    assert!(server.log().contains("automatic recovery") || server.log().contains("not properly shut down"));
    assert_eq!(count(&server).unwrap(), "2");
    server.query("ALTER SYSTEM SET work_mem = '5MB'").unwrap();
    server.restart().unwrap();
    assert_eq!(server.query("SHOW work_mem").unwrap(), "5MB");
    assert_eq!(server.url(), url);
}

#[test]
fn a_dropped_server_leaves_nothing() {
    if is_skipped() {
        return;
    }
    let server = Postgres::start(&[]).unwrap();
    let (pid, port, data) = (server.pid().unwrap(), server.port(), server.data());
    assert!(is_there(pid) && listens(port) && data.exists());
    server.pause().unwrap();
    drop(server);
    assert!(!is_there(pid) && !listens(port) && !data.parent().unwrap().exists());
}

#[test]
fn a_setting_it_refuses_is_shown_with_its_log() {
    if is_skipped() {
        return;
    }
    let error = Postgres::start(&[("wal_level", "none")]).unwrap_err().to_string();
    assert!(error.starts_with("PostgreSQL ended") && error.contains("\"wal_level\": \"none\""), "{error}");
}

#[test]
fn a_commit_waits_for_the_standby_and_is_there_after_promotion() {
    if is_skipped() {
        return;
    }
    let mut pair = PostgresPair::start(&[]).unwrap();
    pair.primary.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(pair.standby.query("SELECT pg_is_in_recovery()").unwrap(), "t");
    pair.standby.pause().unwrap();
    std::thread::scope(|scope| {
        let commit = scope.spawn(|| pair.primary.query("INSERT INTO t VALUES (2)"));
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        until(|| pair.primary.query(sql).unwrap() == "1");
        assert!(!commit.is_finished());
        pair.standby.resume().unwrap();
        commit.join().unwrap().unwrap();
    });
    pair.primary.query("INSERT INTO t VALUES (3)").unwrap();
    pair.primary.kill().unwrap();
    pair.promote().unwrap();
    assert_eq!(pair.standby.query("SELECT a FROM t ORDER BY a").unwrap(), "1\n2\n3");
    pair.standby.query("INSERT INTO t VALUES (4)").unwrap();
}

#[test]
fn a_database_of_its_own_is_asked_by_name() {
    if is_skipped() {
        return;
    }
    let mut server = Postgres::start(&[]).unwrap();
    server.query("CREATE DATABASE pricing").unwrap();
    assert_eq!(server.query_in("pricing", "SELECT current_database()").unwrap(), "pricing");
    assert_eq!(server.url_through(server.port()), server.url());
    assert!(server.url_through(7).ends_with("@127.0.0.1:7/postgres"));
    assert!(server.runs());
    server.kill().unwrap();
    assert!(!server.runs());
}
