//! What a copy claims by the marks that it has applied, by the history's clock.

use std::collections::BTreeMap;

use retail::catalog::CONTENT;
use retail::inventory::STOCK;
use retail::pricing::PRICE;
use tidings_core::{Partition, Position, Time};
use tidings_testkit::history::Nanos;

/// Whose events come in which topic.
pub(super) const KINDS: [(&str, &str); 3] = [("catalog", CONTENT), ("pricing", PRICE), ("inventory", STOCK)];

/// How far each partition has come.
#[derive(Debug)]
pub(super) struct Marks {
    start: Both,
    /// `None` before a partition's first mark.
    followed: BTreeMap<Partition, Option<Nanos>>,
}

/// The history's clock and the machine's, read together: the history's first, so that a pause in between makes a claim
/// smaller, never larger.
#[derive(Debug, Clone, Copy)]
pub(super) struct Both {
    pub(super) nanos: Nanos,
    pub(super) wall: Time,
}

impl Marks {
    pub(super) fn new(start: Both) -> Self {
        Self { start, followed: BTreeMap::new() }
    }

    /// These partitions are followed: until each has met a mark, nothing is claimed of their topics.
    pub(super) fn began(&mut self, positions: &[Position]) {
        for position in positions {
            self.followed.entry(position.partition.clone()).or_default();
        }
    }

    /// A partition has applied a mark: what can be claimed of its topic's kind of entity now, if anything.
    pub(super) fn caught_up(
        &mut self,
        partition: &Partition,
        time: Time,
        now: Both,
    ) -> Option<(&'static str, Nanos)> {
        let upto = self.moment(time, now);
        let known = self.followed.get_mut(partition)?;
        // A mark that was sent twice proves no less than it did.
        *known = (*known).max(Some(upto));
        let (_, kind) = KINDS.into_iter().find(|(topic, _)| *topic == partition.topic.as_str())?;
        let others = self.followed.iter().filter(|(other, _)| other.topic == partition.topic);
        let least = others.map(|(_, known)| *known).min()??;
        (least > 0).then_some((kind, least))
    }

    /// A moment of the history that is not after the source's `time`. The machine's clock may have been set since the
    /// start, or since the mark was made: of what both readings say, the earlier counts.
    fn moment(&self, time: Time, now: Both) -> Nanos {
        let moment = self.start.moment(time).min(now.moment(time));
        // A mark from the future says only that the clocks disagree.
        if moment <= now.nanos { moment } else { 0 }
    }
}

impl Both {
    /// Rounded down: the wall may have been almost a microsecond further than it says.
    fn moment(self, time: Time) -> Nanos {
        let behind = self.wall.micros().saturating_sub(time.micros()).saturating_add(1);
        let behind = behind.saturating_mul(1000);
        match u64::try_from(behind) {
            Ok(behind) => self.nanos.saturating_sub(behind),
            Err(_) => self.nanos.saturating_add(behind.unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::{Offset, Topic};

    use super::*;

    fn partition(topic: &str, index: u32) -> Partition {
        Partition { topic: Topic::new(topic).unwrap(), index }
    }

    fn both(nanos: Nanos, micros: i64) -> Both {
        Both { nanos, wall: Time::from_micros(micros) }
    }

    fn at(micros: i64) -> Time {
        Time::from_micros(micros)
    }

    fn marks(partitions: &[Partition]) -> Marks {
        // The history began at 100 s by the wall.
        let mut marks = Marks::new(both(0, 100_000_000));
        let position = |partition: &Partition| Position { partition: partition.clone(), offset: Offset(0) };
        marks.began(&partitions.iter().map(position).collect::<Vec<_>>());
        marks
    }

    #[test]
    fn a_topic_is_claimed_no_further_than_its_last_partition() {
        let (first, second) = (partition("pricing", 0), partition("pricing", 1));
        let mut marks = marks(&[first.clone(), second.clone(), partition("catalog", 0)]);
        let now = both(9_000_000_000, 109_000_000);
        assert_eq!(marks.caught_up(&first, at(108_000_000), now), None, "the other says nothing yet");
        assert_eq!(marks.caught_up(&second, at(107_000_000), now), Some((PRICE, 6_999_999_000)));
        assert_eq!(
            marks.caught_up(&second, at(106_000_000), now),
            Some((PRICE, 6_999_999_000)),
            "an old one"
        );
        assert_eq!(marks.caught_up(&second, at(108_500_000), now), Some((PRICE, 7_999_999_000)));
        assert_eq!(marks.caught_up(&partition("published", 0), at(108_000_000), now), None);
    }

    #[test]
    fn the_claim_is_never_more_than_was_true() {
        let all = [partition("catalog", 0)];
        // Of a mark made at 5 s of the history, heard of at 9 s.
        let check = |name: &str, time: i64, now: Both, expected: Option<Nanos>| {
            let claim = marks(&all).caught_up(&all[0], at(time), now);
            assert_eq!(claim, expected.map(|upto| (CONTENT, upto)), "{name}");
        };
        let true_time = Some(4_999_999_000);
        check("nobody touched the clock", 105_000_000, both(9_000_000_000, 109_000_000), true_time);
        check("set back since the mark", 105_000_000, both(9_000_000_000, 50_000_000), true_time);
        check("set forward since the mark", 105_000_000, both(9_000_000_000, 209_000_000), None);
        check("set forward before the mark", 205_000_000, both(9_000_000_000, 209_000_000), true_time);
        check("set back before the mark", 55_000_000, both(9_000_000_000, 59_000_000), None);
        check("from an earlier run", 99_000_000, both(9_000_000_000, 109_000_000), None);
        check("from a clock that is ahead", 119_000_000, both(9_000_000_000, 109_000_000), None);
    }
}
