//! `tidings relay` against real servers: nothing lost, nothing silent.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use services::{Service, address, embedded_only};
use tempfile::TempDir;
use tidings_core::port::{Log, Read, ReadLimit, Record};
use tidings_core::{Offset, Partition, Position, Topic};
use tidings_kafka::{KafkaLog, KafkaSettings};
use tidings_postgres::{Address, schema};
use tokio::runtime::Runtime;

use crate::support::{Said, command, path, run, until};

/// A database, a topic prefix, and a directory for the files.
struct Place {
    runtime: Runtime,
    dir: TempDir,
    name: String,
    server: String,
    brokers: String,
}

impl Place {
    /// `None` if only what needs no server is to be tested.
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if embedded_only() {
            println!("skipped: needs PostgreSQL and Kafka");
            return None;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let place = Self {
            runtime: Runtime::new().unwrap(),
            dir: tempfile::tempdir().unwrap(),
            name: format!("r{now:x}_{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            server: address(Service::Postgres).unwrap(),
            brokers: address(Service::Kafka).unwrap(),
        };
        place.execute(&place.server, &format!("CREATE DATABASE {}", place.name));
        place.runtime.block_on(async {
            let mut client = Address::parse(&place.url()).unwrap().connect("test", "").await.unwrap();
            schema::install(&client).await.unwrap().apply(&mut client).await.unwrap();
        });
        Some(place)
    }

    fn url(&self) -> String {
        format!("{}/{}", self.server.rsplit_once('/').unwrap().0, self.name)
    }

    fn execute(&self, url: &str, sql: &str) {
        self.runtime.block_on(async {
            let client = Address::parse(url).unwrap().connect("test", "").await.unwrap();
            client.batch_execute(sql).await.unwrap();
        });
    }

    /// Commits one event per version, each in its own transaction.
    fn publish(&self, versions: std::ops::RangeInclusive<u64>) {
        let publish = |n| {
            format!("SELECT tidings.publish('pricing.BasePriceChanged', 'price/A', '{{\"cents\":{n}}}');")
        };
        self.runtime.block_on(async {
            let client = Address::parse(&self.url()).unwrap().connect("test", "").await.unwrap();
            for n in versions {
                client.batch_execute(&publish(n)).await.unwrap();
            }
        });
    }

    fn config(&self, brokers: &str, more: &str) -> PathBuf {
        let file = self.dir.path().join(format!("relay{}.toml", more.len()));
        let text = format!(
            "[source]\nurl = \"{}\"\n[log]\ntopic = \"pricing\"\n[log.kafka]\nbrokers = \"{brokers}\"\n\
             prefix = \"{}.\"\npartitions = 2\n[http]\nlisten = \"127.0.0.1:0\"\n{more}",
            self.url(),
            self.name
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    /// The versions of the events in the log, in its order, repeats included.
    fn versions(&self) -> Vec<u64> {
        self.runtime.block_on(async {
            let mut settings = KafkaSettings::new(self.brokers.clone());
            settings.prefix = format!("{}.", self.name);
            settings.topics.partitions = 2;
            let log = KafkaLog::open(settings).unwrap();
            let topic = Topic::new("pricing").unwrap();
            let mut found = Vec::new();
            for index in 0..log.partitions(&topic).await.unwrap() {
                let partition = Partition { topic: topic.clone(), index };
                let head = log.bounds(&partition).await.unwrap().1;
                let mut at = Position { partition, offset: Offset(0) };
                while at.offset < head {
                    let Read::Records(records) = log.read(&at, ReadLimit::default()).await.unwrap() else {
                        panic!("a gap at {at}");
                    };
                    let Some(last) = records.last() else { break };
                    at.offset = last.offset.next();
                    found.extend(records.iter().filter_map(|stored| match &stored.record {
                        Record::Event(event) => Some(event.stamp.version.number()),
                        _ => None,
                    }));
                }
            }
            found
        })
    }

    /// Waits until the last version is in the log; returns all of them.
    fn wait_for(&self, last: u64) -> Vec<u64> {
        until("the last event is in the log", || Some(self.versions()).filter(|found| found.contains(&last)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let name = &self.name;
        let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        let slots = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';
             DO $$ BEGIN FOR n IN 1..200 LOOP
                 EXIT WHEN NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = '{name}' AND active);
                 PERFORM pg_sleep(0.02);
             END LOOP; END $$;
             SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'"
        );
        let server = &self.server;
        // Nobody depends on it.
        let _ = self.runtime.block_on(async {
            let client = Address::parse(server)?.connect("test", "").await?;
            client.batch_execute(&slots).await.map_err(tidings_postgres::fault)?;
            client.batch_execute(&drop).await.map_err(tidings_postgres::fault)
        });
    }
}

/// A running `tidings relay`; killed when dropped.
struct Relay {
    child: Child,
    at: String,
    said: Arc<Mutex<String>>,
}

impl Relay {
    fn start(config: &std::path::Path) -> Self {
        let mut child = command(&["relay", "--config", path(config)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (err, told) = (BufReader::new(child.stderr.take().unwrap()), said.clone());
        std::thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                *told.lock().unwrap() += &(line + "\n");
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.trim().strip_prefix("relay     http://").and_then(|at| at.strip_suffix("/status"));
        let at = at.unwrap_or_else(|| panic!("{line:?} {}", said.lock().unwrap())).to_owned();
        Self { child, at, said }
    }

    fn ask(&self, what: &str) -> Value {
        let said = run(&["relay", what, "--at", &self.at, "--json"]);
        assert_eq!(said.code, Some(0), "{said:?} {}", self.said());
        serde_json::from_str(&said.out).unwrap()
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn until_phase(&self, phase: &str) {
        until(phase, || (self.ask("status")["phase"] == phase).then_some(()));
    }

    fn signal(&self, signal: &str) {
        services::signal(signal, self.child.id()).unwrap();
    }

    /// Asks it to stop, and waits for its end.
    fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without what came before: a repeat is allowed, and consumers ignore it. An order that is wrong shows.
fn distinct(versions: Vec<u64>) -> Vec<u64> {
    let mut seen = std::collections::BTreeSet::new();
    versions.into_iter().filter(|version| seen.insert(*version)).collect()
}

#[test]
fn events_that_are_committed_while_it_runs_arrive_in_order() {
    let Some(place) = Place::new() else { return };
    let relay = Relay::start(&place.config(&place.brokers, ""));
    place.publish(1..=200);
    assert_eq!(distinct(place.wait_for(200)), (1..=200).collect::<Vec<_>>());
    let status = relay.ask("status");
    let published = status["published"].as_u64().unwrap();
    assert!(published >= 200 && status["ready"] == true, "{status}");

    assert_eq!(relay.ask("pause")["paused"], true);
    until("it holds", || (relay.ask("status")["holding"] == true).then_some(()));
    place.publish(201..=202);
    assert_eq!(distinct(place.versions()), (1..=200).collect::<Vec<_>>(), "nothing more while it holds");
    assert_eq!(relay.ask("resume")["paused"], false);
    place.wait_for(202);
    place.publish(203..=300);
    assert_eq!(relay.stop(), Some(0));
    assert_eq!(distinct(place.versions()), (1..=300).collect::<Vec<_>>(), "a stop drains");
}

#[test]
fn kill_and_take_over_lose_nothing() {
    let Some(place) = Place::new() else { return };
    let config = place.config(&place.brokers, "");
    let mut first = Relay::start(&config);
    first.until_phase("leading");
    let second = Relay::start(&config);
    second.until_phase("standing-by");
    place.publish(1..=100);
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    place.publish(101..=200);
    second.until_phase("leading");
    assert_eq!(distinct(place.wait_for(200)), (1..=200).collect::<Vec<_>>());
    drop(second);
    place.publish(201..=220);
    let _third = Relay::start(&config);
    assert_eq!(distinct(place.wait_for(220)), (1..=220).collect::<Vec<_>>());
}

/// Takes the lead from the relay that has it, as another relay does, and holds it for as long as this lives.
struct Thief(#[expect(dead_code, reason = "its end is what counts")] tokio_postgres::Client);

impl Thief {
    fn steal(place: &Place) -> Self {
        let lease = i64::from_be_bytes(*b"tidings\0");
        let locks = |granted: bool| {
            format!(
                "FROM pg_locks WHERE locktype = 'advisory' AND granted = {granted} AND database =
                 (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        };
        let client = place.runtime.block_on(async {
            let address = Address::parse(&place.url()).unwrap();
            let (waiting, other) =
                (address.connect("thief", "").await.unwrap(), address.connect("test", "").await.unwrap());
            // In the queue before it is free, so that nobody who only tries is faster.
            let stolen = tokio::spawn(async move {
                waiting.batch_execute(&format!("SELECT pg_advisory_lock({lease})")).await.map(|()| waiting)
            });
            let is_queued = format!("SELECT count(*) {}", locks(false));
            while other.query_one(&is_queued, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                assert!(!stolen.is_finished(), "nobody had the lease");
                tokio::task::yield_now().await;
            }
            other.batch_execute(&format!("SELECT pg_terminate_backend(pid) {}", locks(true))).await.unwrap();
            let stolen = stolen.await.unwrap().unwrap();
            stolen.batch_execute("UPDATE tidings.relay SET epoch = epoch + 1").await.unwrap();
            stolen
        });
        Self(client)
    }
}

#[test]
fn who_lost_the_lease_stands_by_and_says_so() {
    let Some(place) = Place::new() else { return };
    let relay = Relay::start(&place.config(&place.brokers, "[relay]\ndrain = \"1h\"\n"));
    relay.until_phase("leading");
    let thief = Thief::steal(&place);
    relay.until_phase("standing-by");
    assert_eq!(relay.ask("status")["ready"], true, "{}", relay.said());
    place.publish(1..=20);
    drop(thief);
    relay.until_phase("leading");
    assert_eq!(distinct(place.wait_for(20)), (1..=20).collect::<Vec<_>>());
    let _thief = Thief::steal(&place);
    relay.until_phase("standing-by");
    // It has nothing to drain: that is for who leads.
    assert_eq!(relay.stop(), Some(0));
}

#[test]
fn who_is_replaced_while_it_drains_ends_well() {
    let Some(mut place) = Place::new() else { return };
    let broker = services::Kafka::start(&[]).unwrap();
    place.brokers = broker.bootstrap();
    let mut relay = Relay::start(&place.config(&place.brokers, "[relay]\ndrain = \"1h\"\n"));
    relay.until_phase("leading");
    place.publish(1..=5);
    place.wait_for(5);
    broker.pause().unwrap();
    place.publish(6..=10);
    relay.signal("TERM");
    until("it drains", || relay.said().contains("draining").then_some(()));
    let _thief = Thief::steal(&place);
    broker.resume().unwrap();
    assert_eq!(relay.child.wait().unwrap().code(), Some(0), "{}", relay.said());
    assert!(relay.said().contains("TD4007"), "{}", relay.said());
}

#[test]
fn a_broker_that_is_away_is_waited_for() {
    let Some(mut place) = Place::new() else { return };
    let mut broker = services::Kafka::start(&[]).unwrap();
    place.brokers = broker.bootstrap();
    broker.kill().unwrap();
    let config = place.config(&place.brokers, "");
    let relay = Relay::start(&config);
    until("it is said", || relay.said().contains("TD6001").then_some(()));
    let status = relay.ask("status");
    let seen = (status["ready"].as_bool(), status["phase"].as_str());
    assert_eq!(seen, (Some(false), Some("starting")), "{status}");
    place.publish(1..=50);
    broker.restart().unwrap();
    assert_eq!(distinct(place.wait_for(50)), (1..=50).collect::<Vec<_>>());
    until("it is ready", || (relay.ask("status")["ready"] == true).then_some(()));
    assert_eq!(relay.said().matches("TD6001").count(), 1, "once: {}", relay.said());

    broker.pause().unwrap();
    place.publish(51..=60);
    until("it is not ready", || (relay.ask("status")["ready"] == false).then_some(()));
    broker.resume().unwrap();
    place.wait_for(60);
    assert_eq!(relay.stop(), Some(0));
    assert_eq!(distinct(place.versions()), (1..=60).collect::<Vec<_>>());
}

fn refused(place: &Place, change: (&str, &str)) -> Said {
    let file = place.config(&place.brokers, "");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(change.0), "{text}");
    let file = place.dir.path().join("bad.toml");
    std::fs::write(&file, text.replacen(change.0, change.1, 1)).unwrap();
    run(&["relay", "--config", path(&file)])
}

#[test]
fn what_is_set_up_wrongly_is_one_sentence() {
    let Some(place) = Place::new() else { return };
    let url = format!("url = \"{}\"", place.url());
    let (_, host) = place.server.rsplit_once('@').unwrap_or(("", place.server.rsplit_once("//").unwrap().1));
    let host = host.rsplit_once('/').map_or(host, |(host, _)| host);
    let unknown = format!("url = \"postgresql://nobody_at_all:hunter2@{host}/{}\"", place.name);
    let unfit = place.url().replace(&place.name, "no_such_database");
    let unfit = format!("url = \"{unfit}\"");
    for (change, code, named) in [
        (("partitions = 2", "partition = 2"), "TD2001", "line 8"),
        ((url.as_str(), "url_from = \"TIDINGS_TEST_NOT_SET\""), "TD2001", "TIDINGS_TEST_NOT_SET"),
        ((url.as_str(), unknown.as_str()), "TD5002", "refuses"),
        ((url.as_str(), unfit.as_str()), "TD5002", "refuses"),
        (("partitions = 2", "partitions = 2\ncreate = false"), "TD6006", "pricing"),
    ] {
        let said = refused(&place, change);
        assert_eq!(said.code, Some(1), "{said:?}");
        let lines: Vec<_> = said.err.lines().collect();
        assert_eq!(lines.len(), 1, "{said:?}");
        assert!(lines[0].contains(code) && lines[0].contains(named), "{said:?}");
        assert!(!said.err.contains("hunter2"), "{said:?}");
    }
}

fn outbox(place: &Place, args: &[&str]) -> Said {
    let mut all = vec!["outbox"];
    all.extend(args);
    command(&all).env("TIDINGS_SOURCE", place.url()).stdin(Stdio::null()).output().unwrap().into()
}

#[test]
fn the_outbox_changes_only_when_told_to() {
    let Some(place) = Place::new() else { return };
    let said = outbox(&place, &["uninstall"]);
    assert!(said.code == Some(0) && said.out.contains("impact:") && said.out.contains("--yes"), "{said:?}");
    assert_eq!(outbox(&place, &["upgrade"]).out, "version 1: nothing to do\n");
    let said = outbox(&place, &["uninstall", "--yes"]);
    assert!(said.code == Some(0) && said.out.ends_with("done\n"), "{said:?}");
    let said = outbox(&place, &["check"]);
    assert!(said.code == Some(1) && said.out.contains("TD2010"), "{said:?}");
    let said = outbox(&place, &["upgrade", "--yes"]);
    assert!(said.code == Some(1) && said.err.contains("TD2010"), "{said:?}");
    let said = outbox(&place, &["install", "--json"]);
    assert!(said.code == Some(0) && said.out.contains("\"done\":false"), "{said:?}");
    let said = outbox(&place, &["install", "--yes", "--json"]);
    assert!(said.code == Some(0) && said.out.contains("\"done\":true"), "{said:?}");
    let said = outbox(&place, &["check"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "nothing was found\n"), "{said:?}");
}

#[test]
fn the_doctor_looks_at_both_ends() {
    let Some(place) = Place::new() else { return };
    let doctor = |config: &std::path::Path| run(&["doctor", "--json", "--config", path(config)]);
    let said = doctor(&place.config(&place.brokers, ""));
    assert_eq!(said.code, Some(0), "{said:?}");
    // The topic is there with two partitions once somebody has asked for it.
    place.versions();
    let file = place.config(&place.brokers, "");
    let text = std::fs::read_to_string(&file).unwrap().replace("partitions = 2", "partitions = 3");
    std::fs::write(&file, text).unwrap();
    let said = doctor(&file);
    assert!(said.code == Some(1) && said.out.contains("TD6007"), "{said:?}");
    assert_eq!(outbox(&place, &["uninstall", "--yes"]).code, Some(0));
    let said = doctor(&file);
    assert!(said.code == Some(1) && said.out.contains("TD2010") && said.out.contains("TD6007"), "{said:?}");
}
