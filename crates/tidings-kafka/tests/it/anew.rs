//! Topics that are deleted and made again under their name, and have grown past where somebody was.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset as At, TopicPartitionList};
use tidings_core::Offset;
use tidings_core::port::{Change, Log, Membership, Read, ReadLimit};
use tidings_kafka::{KafkaLog, KafkaSettings};
use tidings_testkit::until;
use tokio::time::timeout;

use crate::support::{at, broker, event, log, records, settings, topic, versions, write};

const LONG: Duration = Duration::from_secs(60);

async fn delete(settings: &KafkaSettings) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &settings.brokers).create().unwrap();
    let name = format!("{}{}", settings.prefix, topic());
    admin.delete_topics(&[&name], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
}

/// Deletes the topic and makes another with so many records.
async fn make_anew(settings: &KafkaSettings, count: u64) {
    delete(settings).await;
    until("the topic is there again", async || {
        let again = KafkaLog::open(settings.clone()).unwrap();
        again.partitions(&topic()).await.ok()?;
        fill(&again, 100..100 + count).await.then_some(())
    })
    .await;
}

async fn fill(log: &KafkaLog, versions: std::ops::Range<u64>) -> bool {
    let batch: Vec<_> = versions.map(|version| write(0, event("price/1", version))).collect();
    log.append(&batch).await.is_ok()
}

async fn read(log: &dyn Log, from: u64) -> Read {
    let read = async {
        loop {
            match log.read(&at(0, from), ReadLimit::default()).await {
                Ok(Read::Records(records)) if records.is_empty() => log.wait(&[at(0, from)]).await.unwrap(),
                Ok(read) => return read,
                Err(error) => assert_eq!(error.kind(), tidings_core::error::Kind::Retry, "{error}"),
            }
        }
    };
    timeout(LONG, read).await.unwrap()
}

fn is_gap(read: &Read) -> bool {
    matches!(read, Read::Gap { resume: Offset(0) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_of_a_topic_that_was_made_anew_is_a_gap_after_a_restart() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, 1);
    let group = &*settings.prefix;
    let before = log(settings.clone()).await;
    assert!(fill(&before, 1..11).await);
    assert_eq!(versions(&records(&*before, at(0, 0)).await).len(), 10);
    before.commit(group, &[at(0, 10)]).await.unwrap();
    drop(before);
    // The same topic: the group goes on.
    let same = log(settings.clone()).await;
    let position = same.committed(group, &at(0, 0).partition).await.unwrap().unwrap();
    assert!(fill(&same, 11..12).await);
    let Read::Records(on) = read(&*same, position.0).await else { panic!("a gap where there is none") };
    assert_eq!((versions(&on), on[0].offset), (vec![11], Offset(10)));
    drop(same);

    // Kafka forgets the positions of a topic that is deleted, unless they come back from elsewhere or are committed late.
    let kept = stored(&settings);
    make_anew(&settings, 30).await;
    until("the position is there again", async || restore(&settings, &kept).then_some(())).await;
    let after = log(settings.clone()).await;
    let position = after.committed(group, &at(0, 0).partition).await.unwrap().unwrap();
    assert_eq!(position, Offset(10));
    assert!(is_gap(&read(&*after, 10).await), "twenty events would be left out");
    let member_only = log(settings.clone()).await;
    let member = member_only.join(group, &[topic()]).unwrap();
    let Change::Assigned(positions) = timeout(LONG, member.changed()).await.unwrap().unwrap() else {
        panic!("not assigned")
    };
    assert_eq!(positions, [at(0, 10)]);
    assert!(is_gap(&read(&member, 10).await), "twenty events would be left out");
}

fn outside(settings: &KafkaSettings) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &settings.brokers).set("group.id", &settings.prefix);
    config.create().unwrap()
}

/// The group's position as it is stored, with what was stored beside it.
fn stored(settings: &KafkaSettings) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(&format!("{}{}", settings.prefix, topic()), 0);
    let found = outside(settings).committed_offsets(list, LONG).unwrap();
    assert_eq!(found.elements()[0].offset(), At::Offset(10));
    assert!(!found.elements()[0].metadata().is_empty());
    found
}

fn restore(settings: &KafkaSettings, kept: &TopicPartitionList) -> bool {
    outside(settings).commit(kept, CommitMode::Sync).is_ok()
}

/// The client goes on by offset, whatever topic it is. It finds out if it asks while the new one is still short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_under_way_notices_that_its_topic_was_made_anew() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, 1);
    let log = log(settings.clone()).await;
    assert!(fill(&log, 1..11).await);
    let Read::Records(first) = read(&*log, 0).await else { panic!("a gap") };
    assert_eq!(first.len(), 10);
    make_anew(&settings, 0).await;
    let answer = read(&*log, 10).await;
    assert!(is_gap(&answer), "{answer:?}");
    assert!(fill(&KafkaLog::open(settings).unwrap(), 100..130).await);
    let Read::Records(again) = read(&*log, 0).await else { panic!("a gap at the beginning") };
    assert_eq!(versions(&again).first(), Some(&100));
}
