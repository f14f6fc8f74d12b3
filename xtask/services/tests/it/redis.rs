//! Redis: what it forgets, and old dumps.

use services::{Redis, RedisCluster};

use crate::support::{is_skipped, is_there, listens};

#[test]
fn it_forgets_at_a_restart_and_keeps_its_port() {
    if is_skipped() {
        return;
    }
    let mut server = Redis::start(&[("maxmemory-policy", "allkeys-lru")]).unwrap();
    assert!(server.command(&["CONFIG", "GET", "maxmemory-policy"]).unwrap().ends_with("allkeys-lru"));
    server.command(&["SET", "key", "one"]).unwrap();
    assert_eq!(server.command(&["GET", "key"]).unwrap(), "one");
    let (url, first) = (server.url(), server.pid());
    server.kill().unwrap();
    assert!(server.command(&["GET", "key"]).is_err());
    server.restart().unwrap();
    assert_eq!(server.command(&["GET", "key"]).unwrap(), "");
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), first);
}

#[test]
fn an_old_dump_comes_back_and_does_not_stay() {
    if is_skipped() {
        return;
    }
    let mut server = Redis::start(&[("requirepass", "secret")]).unwrap();
    server.command(&["SET", "key", "old"]).unwrap();
    let dump = server.dump().unwrap();
    server.restart().unwrap();
    assert_eq!(server.command(&["GET", "key"]).unwrap(), "", "the dump did not stay either");
    server.command(&["SET", "key", "new"]).unwrap();
    server.restore(&dump).unwrap();
    assert_eq!(server.command(&["GET", "key"]).unwrap(), "old");
    server.restart().unwrap();
    assert_eq!(server.command(&["GET", "key"]).unwrap(), "");
}

#[test]
fn a_paused_server_keeps_its_connections_and_goes_on() {
    if is_skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    server.pause().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/stat", server.pid().unwrap())).unwrap();
    assert!(status.contains(") T "), "{status}");
    server.resume().unwrap();
    assert_eq!(server.command(&["PING"]).unwrap(), "PONG");
}

#[test]
fn a_dropped_server_leaves_nothing() {
    if is_skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let (pid, port) = (server.pid().unwrap(), server.port());
    let directory = server.command(&["CONFIG", "GET", "dir"]).unwrap();
    let directory = std::path::PathBuf::from(directory.lines().last().unwrap());
    assert!(is_there(pid) && listens(port) && directory.exists());
    drop(server);
    assert!(!is_there(pid) && !listens(port) && !directory.exists());
}

#[test]
fn a_setting_it_refuses_is_shown_with_its_log() {
    if is_skipped() {
        return;
    }
    let error = Redis::start(&[("no-such-setting", "1")]).unwrap_err().to_string();
    assert!(error.starts_with("Redis ended") && error.contains("no-such-setting"), "{error}");
}

#[test]
fn six_nodes_form_a_cluster_that_owns_every_slot() {
    if is_skipped() {
        return;
    }
    let mut cluster = RedisCluster::start(&[]).unwrap();
    assert_eq!(cluster.urls().split(',').count(), 6);
    let info = cluster.nodes()[0].command(&["CLUSTER", "INFO"]).unwrap();
    for line in
        ["cluster_state:ok", "cluster_slots_assigned:16384", "cluster_size:3", "cluster_known_nodes:6"]
    {
        assert!(info.lines().any(|seen| seen.trim() == line), "{line}: {info}");
    }
}
