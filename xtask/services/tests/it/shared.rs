//! The servers that all tests share.

use services::{Addresses, Redis, Service, Shared};

use crate::support::is_skipped;

#[test]
fn addresses_are_found_while_their_servers_run_and_not_after() {
    if is_skipped() {
        return;
    }
    let target = tempfile::tempdir().unwrap();
    assert!(Addresses::running(target.path()).unwrap().is_none());
    let shared = Shared::start_new(&[Service::Postgres, Service::Redis]).unwrap();
    let addresses = shared.addresses().clone();
    addresses.write(target.path()).unwrap();
    let read = Addresses::running(target.path()).unwrap().unwrap();
    assert_eq!(read, addresses);
    assert_eq!(read.pid(), std::process::id());
    assert!(read.of(Service::Postgres).unwrap().starts_with("postgres://"));
    assert_eq!(read.of(Service::Kafka), None);
    drop(shared);
    assert!(Addresses::running(target.path()).unwrap().is_none(), "the program runs, its servers do not");
    addresses.remove(target.path()).unwrap();
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
}

#[test]
fn a_file_of_a_program_that_ended_counts_for_nothing() {
    if is_skipped() {
        return;
    }
    let target = tempfile::tempdir().unwrap();
    let server = Redis::start(&[]).unwrap();
    let write = |pid: u32| {
        let text = format!(r#"{{"pid": {pid}, "addresses": {{"TIDINGS_TEST_REDIS": "{}"}}}}"#, server.url());
        std::fs::write(target.path().join("services.json"), text).unwrap();
    };
    write(std::process::id());
    assert!(Addresses::running(target.path()).unwrap().is_some());
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    write(ended.id());
    assert!(Addresses::running(target.path()).unwrap().is_none());
    std::fs::write(target.path().join("services.json"), "{").unwrap();
    assert!(Addresses::running(target.path()).unwrap_err().to_string().ends_with("is damaged; delete it"));
}
