//! Consumers that share a group's work, while members come, go and are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tidings::{Consumer, Decision, Running};
use tidings_core::port::{Batch, Boxed, Log, Membership, Parking, Store};
use tidings_core::{Code, Error, Result};
use tidings_kafka::{KafkaLog, KafkaSettings};
use tidings_testkit::until;

use crate::support::{at, broker, event, log, settings, topic, write};

const PARTITIONS: u32 = 6;
/// What a process that is to be killed is told.
const VICTIM: &str = "TIDINGS_TEST_VICTIM";

/// Writes down what is applied, at once, so that it is known even of a process that was killed.
struct Ledger(File);

impl Ledger {
    fn open(path: &Path) -> Arc<Self> {
        Arc::new(Self(OpenOptions::new().create(true).append(true).open(path).unwrap()))
    }
}

impl Store for Ledger {
    fn begin<'a>(&'a self, _: &'a str, _: &'a [tidings_core::Partition]) -> Boxed<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>> {
        let partition = batch.next.partition.index;
        let line =
            |event: &Arc<tidings_core::Event>| format!("{partition} {}\n", event.stamp.version.number());
        let lines: String = batch.events.iter().chain(batch.parked).map(line).collect();
        (&self.0).write_all(lines.as_bytes()).unwrap();
        Box::pin(std::future::ready(Ok(())))
    }

    fn open_epoch<'a>(&'a self, why: &'a str) -> Boxed<'a, Result<()>> {
        panic!("nothing was missed, but: {why}")
    }
}

/// The versions of each partition that were applied by anybody.
fn applied(path: &Path) -> BTreeMap<u32, BTreeSet<u64>> {
    let mut applied = BTreeMap::<u32, BTreeSet<u64>>::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let (partition, version) = line.split_once(' ').unwrap();
        applied.entry(partition.parse().unwrap()).or_default().insert(version.parse().unwrap());
    }
    applied
}

fn consumer(log: &Arc<KafkaLog>, group: &str, ledger: &Path) -> Running {
    let member = Arc::new(log.join(group, &[topic()]).unwrap());
    Consumer::builder(group, log.clone())
        .shared_by(member)
        .on_type("pricing.BasePriceChanged", |event| match event.stamp.version.number() % 50 {
            0 => Err(Error::new(Code::DATA_UNREADABLE, "a round number")),
            _ => Ok(vec![Decision::Invalidate]),
        })
        .store(Ledger::open(ledger))
        .build()
        .unwrap()
        .spawn()
}

/// A process with one member, until it is killed.
struct Victim(Child);

impl Victim {
    fn start(settings: &KafkaSettings, ledger: &Path) -> Self {
        let told = format!("{}\n{}\n{}", settings.brokers, settings.prefix, ledger.display());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "consumers::a_member_that_is_to_be_killed", "--nocapture"]);
        Self(command.env(VICTIM, told).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs as a process of its own, for the test below; by itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_to_be_killed() {
    let Ok(told) = std::env::var(VICTIM) else { return };
    let mut told = told.lines();
    let mut settings = KafkaSettings::new(told.next().unwrap());
    settings.prefix = told.next().unwrap().to_owned();
    settings.topics.partitions = PARTITIONS;
    let log = log(settings.clone()).await;
    let mut running = consumer(&log, &settings.prefix, Path::new(told.next().unwrap()));
    panic!("{:?}", running.finished().await);
}

/// Events go on while this runs; no committed position ever goes back.
struct Flow {
    log: Arc<KafkaLog>,
    group: String,
    version: u64,
    committed: BTreeMap<u32, u64>,
}

impl Flow {
    async fn step(&mut self) {
        self.version += 1;
        let batch: Vec<_> = (0..PARTITIONS)
            .map(|index| write(index, event(&format!("price/{index}"), self.version)))
            .collect();
        self.log.append(&batch).await.unwrap();
        for index in 0..PARTITIONS {
            let Ok(Some(found)) = self.log.committed(&self.group, &at(index, 0).partition).await else {
                continue;
            };
            let before = self.committed.insert(index, found.0).unwrap_or(0);
            assert!(before <= found.0, "partition {index} went back from {before} to {}", found.0);
        }
    }

    /// Goes on until every partition is applied up to here.
    async fn until_applied(&mut self, ledger: &Path) {
        let target = self.version + 1;
        self.until(|| {
            let applied = applied(ledger);
            (0..PARTITIONS).all(|index| applied.get(&index).is_some_and(|seen| seen.contains(&target)))
        })
        .await;
    }

    async fn until(&mut self, reached: impl Fn() -> bool) {
        tokio::time::timeout(Duration::from_secs(90), async {
            while !reached() {
                self.step().await;
            }
        })
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_go_and_are_killed_and_every_event_is_applied() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, PARTITIONS);
    let log = log(settings.clone()).await;
    // A name that no other test has.
    let group = &*settings.prefix;
    let directory = tempfile::tempdir().unwrap();
    let all = directory.path().join("ledger");
    // A service of its own: what a member has under way when it is dropped takes the appends beside it along.
    let writer = self::log(settings.clone()).await;
    let mut flow = Flow { log: writer, group: group.to_owned(), version: 0, committed: BTreeMap::new() };

    let first = consumer(&log, group, &all);
    flow.until_applied(&all).await;
    let second = consumer(&log, group, &all);
    let victim = Victim::start(&settings, &all);
    for _ in 0..30 {
        flow.step().await;
    }
    flow.until_applied(&all).await;
    drop(victim);
    flow.until_applied(&all).await;
    let third = consumer(&log, group, &all);
    flow.until_applied(&all).await;
    first.stop(Duration::from_secs(30)).await.unwrap();
    flow.until_applied(&all).await;
    // Ended where it is, without a word to the group but that it has left.
    drop(second);
    flow.until_applied(&all).await;
    third.stop(Duration::from_secs(30)).await.unwrap();

    let expected: BTreeSet<u64> = (1..=flow.version).collect();
    for (index, seen) in applied(&all) {
        let missing: Vec<_> = expected.difference(&seen).collect();
        assert!(missing.is_empty(), "partition {index}: {missing:?} were never applied");
    }
    for index in 0..PARTITIONS {
        let partition = at(index, 0).partition;
        let committed = log.committed(group, &partition).await.unwrap().unwrap();
        assert_eq!(committed, log.bounds(&partition).await.unwrap().1, "a drained group stands at the head");
    }
    let rounds = flow.version / 50 * u64::from(PARTITIONS);
    assert_eq!(log.parked(group, 1).await.unwrap().1, rounds, "each round version is parked once");
}

/// A member that is there but does nothing holds up nobody for longer than its patience.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_ends_leaves_its_group_at_once() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, 2);
    let (group, log) = (settings.prefix.clone(), log(settings).await);
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger");
    File::create(&ledger).unwrap();
    let member = Arc::new(log.join(&group, &[topic()]).unwrap());
    let builder = Consumer::builder(&group, log.clone()).shared_by(member.clone());
    let running = builder.store(Ledger::open(&ledger)).build().unwrap().spawn();
    until("it has everything", async || (member.held().len() == 2).then_some(())).await;
    running.stop(Duration::from_secs(30)).await.unwrap();
    let error = Membership::commit(&*member, &[at(0, 1)]).await.unwrap_err();
    assert_eq!(error.code(), Code::FENCED, "{error}");
    let next = Arc::new(log.join(&group, &[topic()]).unwrap());
    let began = std::time::Instant::now();
    until("the next has everything", async || (next.held().len() == 2).then_some(())).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
