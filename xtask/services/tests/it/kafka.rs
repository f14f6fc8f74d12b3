//! Kafka: up when it says so, and up again on the same data.

use std::net::TcpStream;

use services::Kafka;

use crate::support::{is_skipped, is_there};

#[test]
fn it_starts_and_comes_back_after_a_kill_and_a_stop() {
    if is_skipped() {
        return;
    }
    let mut server = Kafka::start(&[("log.retention.ms", "60000")]).unwrap();
    let address = server.bootstrap();
    assert!(TcpStream::connect(&address).is_ok());
    let first = server.pid().unwrap();
    server.kill().unwrap();
    assert!(!is_there(first) && TcpStream::connect(&address).is_err());
    server.restart().unwrap();
    assert!(TcpStream::connect(&address).is_ok());
    server.stop().unwrap();
    assert!(TcpStream::connect(&address).is_err());
    server.restart().unwrap();
    assert_eq!(server.bootstrap(), address);
    let last = server.pid().unwrap();
    server.pause().unwrap();
    drop(server);
    assert!(!is_there(last) && TcpStream::connect(&address).is_err());
}

#[test]
fn a_setting_it_refuses_is_shown_with_its_log() {
    if is_skipped() {
        return;
    }
    let error = Kafka::start(&[("num.io.threads", "none")]).unwrap_err().to_string();
    assert!(error.contains("num.io.threads"), "{error}");
}

#[test]
fn a_broker_that_advertises_another_address_answers_for_its_topics_at_its_own() {
    if is_skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    // Nobody is there: clients would be led astray, and the harness must not be.
    let elsewhere = ("advertised.listeners", "PLAINTEXT://127.0.0.1:1");
    let mut server = Kafka::start_in(directory.path(), &[elsewhere]).unwrap();
    assert!(server.directory().starts_with(directory.path()) && server.runs());
    assert_eq!(server.topics().unwrap(), []);
    let missing = server.offsets("nothing", 0).unwrap_err().to_string();
    assert!(missing.contains("error 3"), "{missing}");
    let missing = server.delete_records("nothing", 0, -1).unwrap_err().to_string();
    assert!(missing.contains("error 3"), "{missing}");
    server.kill().unwrap();
    assert!(!server.runs());
}
