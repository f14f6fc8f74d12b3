//! A member whose client refuses what it is given, at brokers that are only played.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::mocking::MockCluster;

use super::*;
use crate::settings::KafkaSettings;

/// Whoever cannot take a share says so and leaves, so that others get it.
#[tokio::test]
async fn a_share_that_cannot_be_taken_is_told_and_given_up() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("pricing", 1, 1).unwrap();
    let log = KafkaLog::open(KafkaSettings::new(cluster.bootstrap_servers())).unwrap();
    let member = log.join("search", &[Topic::new("pricing").unwrap()]).unwrap();
    // The client has it already, by another way: it will not take it twice.
    let client = lock(&member.client).clone().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition("pricing", 0);
    client.incremental_assign(&list).unwrap();
    drop(client);
    let told = tokio::time::timeout(Duration::from_secs(60), member.changed()).await.unwrap();
    let told = told.unwrap_err();
    assert_eq!(told.code(), Code::STOPPING);
    assert!(told.to_string().contains("could not be taken"), "{told}");
    assert!(member.held().is_empty());
    let position = Position {
        partition: Partition { topic: Topic::new("pricing").unwrap(), index: 0 },
        offset: Offset(1),
    };
    assert_eq!(Membership::commit(&member, &[position]).await.unwrap_err().code(), Code::FENCED);
}
