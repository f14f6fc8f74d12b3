//! Groups that share the work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::port::{Change, Log, Membership, Read, ReadLimit};
use tidings_core::{Code, Offset, Partition, Position};
use tidings_kafka::{KafkaLog, Member};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{at, broker, event, log, settings, topic, versions, write};

const PARTITIONS: u32 = 6;
const LONG: Duration = Duration::from_secs(60);

/// What a driver has applied: the partition and the version.
type Applied = mpsc::UnboundedSender<(u32, u64)>;

/// A driver in small: it reads what is its own, and commits each read.
async fn drive(member: Arc<Member>, applied: Applied) {
    let mut own: BTreeMap<Partition, Offset> = BTreeMap::new();
    loop {
        let positions: Vec<_> = own
            .iter()
            .map(|(partition, offset)| Position { partition: partition.clone(), offset: *offset })
            .collect();
        tokio::select! {
            biased;
            change = member.changed() => match change {
                Ok(Change::Assigned(positions)) => {
                    own.extend(positions.into_iter().map(|position| (position.partition, position.offset)));
                }
                Ok(Change::Revoked(gone)) => {
                    own.retain(|partition, _| !gone.contains(partition));
                    member.release(&gone);
                }
                Ok(Change::Lost(gone)) => own.retain(|partition, _| !gone.contains(partition)),
                Err(_) => return,
            },
            waited = member.wait(&positions) => {
                waited.unwrap();
                for position in positions {
                    let Read::Records(records) = member.read(&position, ReadLimit::default()).await.unwrap()
                    else { panic!("a gap at {position}") };
                    let Some(last) = records.last() else { continue };
                    let index = position.partition.index;
                    versions(&records).into_iter().for_each(|v| applied.send((index, v)).unwrap());
                    let next = last.offset.next();
                    own.insert(position.partition.clone(), next);
                    let position = Position { partition: position.partition, offset: next };
                    match Membership::commit(&*member, &[position]).await {
                        Ok(()) => {}
                        // Another rebalance: what was applied may be applied again.
                        Err(error) if matches!(error.code(), Code::FENCED | Code::KAFKA_NOT_READY) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    }
}

struct Driver {
    member: Arc<Member>,
    task: JoinHandle<()>,
}

impl Driver {
    fn start(log: &Arc<KafkaLog>, group: &str, applied: &Applied) -> Self {
        let member = Arc::new(log.join(group, &[topic()]).unwrap());
        let task = tokio::spawn(drive(member.clone(), applied.clone()));
        Self { member, task }
    }
}

async fn append(log: &KafkaLog, versions: std::ops::RangeInclusive<u64>) {
    for version in versions {
        let batch: Vec<_> =
            (0..PARTITIONS).map(|index| write(index, event(&format!("price/{index}"), version))).collect();
        log.append(&batch).await.unwrap();
    }
}

/// Waits until every partition's events were applied up to this version, in order but for repeats.
async fn applied_up_to(
    version: u64,
    seen: &mut BTreeMap<u32, u64>,
    applied: &mut mpsc::UnboundedReceiver<(u32, u64)>,
) {
    timeout(LONG, async {
        while seen.len() < PARTITIONS as usize || seen.values().any(|newest| *newest < version) {
            let (index, version) = applied.recv().await.unwrap();
            let newest = seen.entry(index).or_default();
            assert!(version <= *newest + 1, "partition {index}: {version} after {newest}: one was lost");
            *newest = version.max(*newest);
        }
    })
    .await
    .unwrap_or_else(|_| panic!("up to {version}: got {seen:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_three_shares_the_work_and_loses_nothing() {
    let Some(broker) = broker() else { return };
    let log = log(settings(&broker, PARTITIONS)).await;
    let (sender, mut applied) = mpsc::unbounded_channel();
    let mut seen = BTreeMap::new();
    let group = format!("search-{}", crate::support::unique());
    append(&log, 1..=3).await;
    let first = Driver::start(&log, &group, &sender);
    applied_up_to(3, &mut seen, &mut applied).await;
    assert_eq!(first.member.held().len(), PARTITIONS as usize);
    let others = [Driver::start(&log, &group, &sender), Driver::start(&log, &group, &sender)];
    let mut version = 3;
    timeout(LONG, async {
        // Rebalances happen under load.
        while [&first, &others[0], &others[1]].iter().any(|driver| driver.member.held().len() != 2) {
            version += 1;
            append(&log, version..=version).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("shares: {:?} {:?}", first.member, others));
    applied_up_to(version, &mut seen, &mut applied).await;
    first.task.abort();
    drop(first);
    append(&log, version + 1..=version + 5).await;
    applied_up_to(version + 5, &mut seen, &mut applied).await;
    assert_eq!(others.iter().map(|driver| driver.member.held().len()).sum::<usize>(), PARTITIONS as usize);
    others.iter().for_each(|driver| driver.task.abort());
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.member.fmt(f)
    }
}

async fn change(member: &Member) -> Change {
    timeout(LONG, member.changed()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_is_committed_only_by_the_member_that_holds_its_partition() {
    let Some(broker) = broker() else { return };
    let log = log(settings(&broker, 2)).await;
    let group = format!("fenced-{}", crate::support::unique());
    log.commit(&group, &[at(1, 7)]).await.unwrap();
    let first = log.join(&group, &[topic()]).unwrap();
    let Change::Assigned(mut positions) = change(&first).await else { panic!("not assigned") };
    positions.sort();
    assert_eq!(positions, [at(0, 0), at(1, 7)], "from the committed positions, or the beginning");
    Membership::commit(&first, &[at(0, 3)]).await.unwrap();
    let outside = log.commit(&group, &[at(0, 9)]).await.unwrap_err();
    assert_eq!(outside.code(), Code::FENCED, "{outside}");
    let second = log.join(&group, &[topic()]).unwrap();
    let Change::Revoked(gone) = change(&first).await else { panic!("nothing was taken away") };
    assert_eq!(gone.len(), 1);
    let index = gone[0].index;
    Membership::commit(&first, &[at(index, 11)])
        .await
        .expect("the last position of what is being taken away");
    first.release(&gone);
    let Change::Assigned(positions) = change(&second).await else { panic!("not assigned") };
    assert_eq!(positions, [at(index, 11)], "the second goes on where the first stopped");
    let late = Membership::commit(&first, &[at(index, 12)]).await.unwrap_err();
    assert_eq!(late.code(), Code::FENCED, "{late}");
    assert_eq!(log.committed(&group, &gone[0]).await.unwrap(), Some(Offset(11)));
}
