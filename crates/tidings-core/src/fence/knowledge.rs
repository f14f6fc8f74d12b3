//! How far this copy has caught up with each source, by the marks it has applied.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::position::{Partition, Topic};
use crate::time::Time;

/// Everything committed before this has been applied here.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// By the source's clock.
    pub time: Time,
    /// By our monotonic clock, never later than it was.
    pub since: Duration,
}

/// The newest mark of each partition that is being followed, for each consumer that follows it: what one has applied
/// says nothing about another.
#[derive(Debug, Default)]
pub struct Knowledge(BTreeMap<Topic, Followed>);

/// What each consumer knows of each partition of a topic.
type Followed = BTreeMap<(Arc<str>, u32), Option<Known>>;

impl Knowledge {
    /// This consumer follows these partitions from now on; nothing is known of them yet.
    pub fn begin(&mut self, consumer: &str, partitions: &[Partition]) {
        let consumer: Arc<str> = consumer.into();
        for partition in partitions {
            let followed = self.0.entry(partition.topic.clone()).or_default();
            followed.insert((consumer.clone(), partition.index), None);
        }
    }

    /// A consumer has applied a mark. Only upwards: a mark that was sent twice proves no less than it did.
    pub fn advance(&mut self, consumer: &str, partition: &Partition, known: Known) {
        let followed = self.0.entry(partition.topic.clone()).or_default();
        let newest = followed.entry((consumer.into(), partition.index)).or_default();
        if newest.is_none_or(|newest| newest.time < known.time) {
            *newest = Some(known);
        }
    }

    /// What is known of a whole topic: no more than of its least known partition.
    #[must_use]
    pub fn of(&self, topic: &Topic) -> Option<Known> {
        let partitions = self.0.get(topic)?.values().copied().collect::<Option<Vec<_>>>()?;
        partitions.into_iter().min_by_key(|known| known.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, index: u32) -> Partition {
        Partition { topic: Topic::new(topic).unwrap(), index }
    }

    fn at(n: u64) -> Known {
        Known { time: Time::from_micros(i64::try_from(n).unwrap()), since: Duration::from_micros(n) }
    }

    #[test]
    fn a_topic_is_known_no_better_than_its_least_known_partition() {
        let mut knowledge = Knowledge::default();
        let (first, second) = (partition("pricing", 0), partition("pricing", 1));
        knowledge.begin("shop", &[first.clone(), second.clone()]);
        knowledge.advance("shop", &first, at(9));
        assert!(knowledge.of(&first.topic).is_none(), "silence is not freshness");
        knowledge.advance("shop", &second, at(5));
        knowledge.advance("shop", &second, at(4));
        assert_eq!(knowledge.of(&first.topic).map(|known| known.since), Some(Duration::from_micros(5)));
        knowledge.begin("shop", std::slice::from_ref(&second));
        assert!(knowledge.of(&first.topic).is_none(), "whoever starts again knows nothing");
        knowledge.advance("search", &second, at(99));
        assert!(knowledge.of(&first.topic).is_none(), "and nobody else knows it instead");
    }
}
