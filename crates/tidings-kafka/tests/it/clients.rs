//! Clients in other languages read our events, and we read theirs.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidings_core::port::{Log, Record};
use tidings_core::{Data, Event, Time};

use crate::support::{at, broker, event, log, records, settings, topic, versions, write};

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Has the client read two events of ours and write two of its own.
async fn exchange(language: &str, client: impl FnOnce(&[&str]) -> String) {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, 1);
    let name = format!("{}{}", settings.prefix, topic());
    let log = log(settings).await;
    let mut first = event("price/42", 7);
    first.window.from = Some(Time::from_micros(1_700_000_000_000_000));
    let notice = Event { data: Data::Empty, ..event("größe/商品 1", 8) };
    log.append(&[write(0, first), write(0, notice)]).await.unwrap();
    let seen = client(&[&broker, &name, "2"]);
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(
        lines,
        [
            r#"price/42|pricing.BasePriceChanged|7|2023-11-14T22:13:20.000000Z|{"cents":7}"#,
            "größe/商品 1|pricing.BasePriceChanged|8|-|-",
        ]
    );
    let theirs = records(&*log, at(0, 2)).await;
    assert_eq!(versions(&theirs), [101, 102]);
    for (stored, number) in theirs.iter().zip(1..) {
        let Record::Event(event) = &stored.record else { panic!("{stored:?}") };
        assert_eq!(*event.id, format!("{language}-{number}"));
        assert_eq!(event.data, Data::Json(format!("{{\"cents\":{number}}}").into()));
        assert_eq!(event.entity.as_str(), "price/42");
    }
    let Record::Event(binary) = &theirs[0].record else { panic!() };
    assert_eq!(binary.extensions, [("tenant".into(), "north".into())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_reads_and_writes_events() {
    exchange("python", |arguments| {
        let mut python = services::python(&["confluent-kafka==2.16.1"]).unwrap();
        run(python.arg(clients().join("client.py")).args(arguments))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_java_client_reads_and_writes_events() {
    exchange("java", |arguments| {
        let libraries = ["org.apache.kafka:kafka-clients:4.4.0", "org.slf4j:slf4j-api:2.0.17"];
        let mut java = services::java(&libraries).unwrap();
        run(java.arg(clients().join("Client.java")).args(arguments))
    })
    .await;
}
