//! How far this copy has caught up with each source, by the marks it has applied.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_core::{Partition, Time, Topic};

/// Everything committed before this has been applied here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// By the source's clock.
    pub(super) time: Time,
    /// By our monotonic clock, never later than it was.
    pub(super) since: Duration,
}

/// The newest mark of each partition that is being followed.
#[derive(Debug, Default)]
pub(super) struct Knowledge(BTreeMap<Topic, BTreeMap<u32, Option<Known>>>);

impl Knowledge {
    /// These partitions are followed from now on; nothing is known of them yet.
    pub(super) fn begin(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.0.entry(partition.topic.clone()).or_default().insert(partition.index, None);
        }
    }

    /// A mark was applied. Only upwards: a mark that was sent twice proves no less than it did.
    pub(super) fn advance(&mut self, partition: &Partition, known: Known) {
        let newest = self.0.entry(partition.topic.clone()).or_default().entry(partition.index).or_default();
        if newest.is_none_or(|newest| newest.time < known.time) {
            *newest = Some(known);
        }
    }

    /// What is known of a whole topic: no more than of its least known partition.
    pub(super) fn of(&self, topic: &Topic) -> Option<Known> {
        let partitions = self.0.get(topic)?.values().copied().collect::<Option<Vec<_>>>()?;
        partitions.into_iter().min_by_key(|known| known.since)
    }

    /// Before this monotonic time, everything from everywhere has been applied.
    pub(super) fn oldest(&self) -> Option<Duration> {
        let topics = self.0.keys().map(|topic| self.of(topic).map(|known| known.since));
        topics.collect::<Option<Vec<_>>>()?.into_iter().min()
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
        knowledge.begin(&[first.clone(), second.clone()]);
        knowledge.advance(&first, at(9));
        assert!(knowledge.of(&first.topic).is_none(), "silence is not freshness");
        knowledge.advance(&second, at(5));
        knowledge.advance(&second, at(4));
        assert_eq!(knowledge.of(&first.topic).map(|known| known.since), Some(Duration::from_micros(5)));
        knowledge.begin(&[second]);
        assert!(knowledge.of(&first.topic).is_none(), "whoever starts again knows nothing");
    }
}
