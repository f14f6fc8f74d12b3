use std::time::Duration;

use super::*;
use crate::version::{Stamp, Timeline, Version};

mod model;

const HERE: Incarnation = Incarnation(1);
const LEASE: Duration = Duration::from_secs(10);

fn at(version: u64) -> Stamp {
    Stamp::of(Version::new(version).unwrap())
}

fn pos(at: u64) -> AsOf {
    AsOf { timeline: Timeline(0), at }
}

fn news(version: u64, position: u64) -> News {
    News { stamp: Some(at(version)), position: pos(position) }
}

fn broad(position: u64) -> News {
    News { stamp: None, position: pos(position) }
}

fn answer(version: u64, as_of: u64) -> Answer<&'static str> {
    Answer { value: "loaded", stamp: Some(at(version)), as_of: pos(as_of) }
}

fn composite(as_of: u64) -> Answer<&'static str> {
    Answer { value: "loaded", stamp: None, as_of: pos(as_of) }
}

/// A bucket with one key.
#[derive(Default)]
struct Bucket {
    control: Option<Control>,
    slot: Option<Slot<&'static str>>,
}

impl Bucket {
    fn opened(since: u64) -> Self {
        let mut bucket = Self::default();
        bucket.reopen(1, since);
        bucket
    }

    fn reopen(&mut self, epoch: u64, since: u64) {
        let current = self.control.map(|control| control.epoch);
        claim(&mut self.control, HERE, Epoch(epoch), current).unwrap();
        open(&mut self.control, HERE, Epoch(epoch), pos(since)).unwrap();
    }

    fn look(&mut self, token: u64, second: u64) -> Looked<'_, &'static str> {
        let miss = Miss { token: Token(token), now: Duration::from_secs(second), lease: LEASE };
        look(self.control.as_ref(), &mut self.slot, HERE, miss)
    }

    fn fill(&mut self, token: u64, answer: Answer<&'static str>) -> Result<(), Unkept> {
        fill(&mut self.control, &mut self.slot, HERE, Token(token), answer)
    }

    fn hear(&mut self, news: News) -> Changed {
        invalidate(&mut self.control, &mut self.slot, HERE, news).unwrap()
    }

    fn update(&mut self, news: News) -> Changed {
        update(&mut self.control, &mut self.slot, HERE, news, "carried").unwrap()
    }

    fn minimum(&mut self) -> AsOf {
        match self.look(99, 1_000_000) {
            Looked::Vacant { minimum, .. } => minimum,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_bucket_is_believed_only_under_an_opened_record_of_this_life_of_the_store() {
    let live = |incarnation| Control {
        epoch: Epoch(1),
        incarnation,
        phase: Phase::Live(Line { since: pos(3), position: pos(3) }),
    };
    let opening = Control { phase: Phase::Opening, ..live(HERE) };
    for (control, expected) in [
        (None, NotLive::Absent),
        (Some(live(Incarnation(2))), NotLive::Foreign),
        (Some(Control { incarnation: Incarnation(2), ..opening }), NotLive::Foreign),
        (Some(opening), NotLive::Opening),
    ] {
        let mut bucket = Bucket { control, slot: None };
        assert_eq!(bucket.look(1, 0), Looked::NotLive(expected));
        assert_eq!(bucket.fill(1, answer(1, 9)), Err(Unkept::NotLive(expected)));
        for heard in [
            invalidate(&mut bucket.control, &mut bucket.slot, HERE, news(1, 9)),
            update(&mut bucket.control, &mut bucket.slot, HERE, news(1, 9), "carried"),
        ] {
            assert_eq!(heard, Err(Unheard::NotLive(expected)));
        }
        assert_eq!((bucket.control, bucket.slot), (control, None), "nothing was touched");
    }
    let mut bucket = Bucket { control: Some(live(HERE)), slot: None };
    assert_eq!(bucket.look(1, 0), Looked::Vacant { floor: Stamp::default(), minimum: pos(3) });
}

#[test]
fn an_epoch_is_opened_by_whoever_claimed_it_last() {
    let mut control = None;
    assert_eq!(claim(&mut control, HERE, Epoch(1), None), Ok(()));
    assert_eq!(claim(&mut control, HERE, Epoch(2), None), Ok(()), "the first may never come back");
    assert_eq!(open(&mut control, HERE, Epoch(1), pos(5)), Err(Overtaken));
    assert_eq!(open(&mut control, HERE, Epoch(2), pos(5)), Ok(()));
    assert_eq!(open(&mut control, HERE, Epoch(2), pos(4)), Err(Overtaken), "its position is not put back");
    assert_eq!(claim(&mut control, HERE, Epoch(3), None), Err(Epoch(2)), "nobody asked for this one to end");
    assert_eq!(claim(&mut control, HERE, Epoch(3), Some(Epoch(1))), Err(Epoch(2)), "it has ended already");
    assert_eq!(claim(&mut control, HERE, Epoch(3), Some(Epoch(2))), Ok(()));
    assert_eq!(open(&mut control, Incarnation(2), Epoch(3), pos(5)), Err(Overtaken), "another store");
    assert_eq!(claim(&mut control, Incarnation(2), Epoch(4), None), Ok(()));
}

#[test]
fn an_answer_is_held_to_what_was_heard() {
    for (version, as_of, expected) in [
        (Some(7), 5, Ok(())),
        (Some(9), 5, Ok(())),
        (Some(6), 9, Err(Unkept::BelowFloor(at(7)))),
        (Some(9), 4, Err(Unkept::TooOld(pos(5)))),
        (None, 8, Ok(())),
        (None, 7, Err(Unkept::TooOld(pos(8)))),
        (None, 4, Err(Unkept::TooOld(pos(5)))),
    ] {
        let mut bucket = Bucket::opened(5);
        bucket.look(1, 0);
        bucket.hear(news(7, 8));
        let filled = bucket.fill(1, Answer { value: "loaded", stamp: version.map(at), as_of: pos(as_of) });
        assert_eq!(filled, expected, "version {version:?} as of {as_of}");
        let hit = matches!(bucket.look(2, 99), Looked::Hit(_));
        assert_eq!(hit, expected.is_ok(), "version {version:?} as of {as_of}");
    }
}

#[test]
fn news_of_what_is_not_cached_stores_nothing_and_is_remembered_by_the_position() {
    let mut bucket = Bucket::opened(5);
    assert_eq!(bucket.hear(news(7, 8)), Changed::Nothing);
    assert_eq!(bucket.slot, None);
    assert_eq!(bucket.hear(news(6, 6)), Changed::Nothing, "an old one again");
    assert_eq!(bucket.minimum(), pos(8));
    bucket.slot = None;
    assert_eq!(bucket.minimum(), pos(8), "whatever is evicted");
}

#[test]
fn r5_a_fill_lands_only_on_its_own_placeholder() {
    let mut bucket = Bucket::opened(5);
    assert_eq!(bucket.fill(1, answer(7, 9)), Err(Unkept::Lost), "nobody missed");
    bucket.look(1, 0);
    assert_eq!(bucket.look(2, 9), Looked::Filling);
    assert!(matches!(bucket.look(3, 10), Looked::Vacant { .. }), "the lease has run out");
    assert_eq!(bucket.fill(1, answer(7, 9)), Err(Unkept::Lost));
    assert_eq!(bucket.fill(3, answer(8, 9)), Ok(()));
    assert_eq!(bucket.fill(3, answer(7, 9)), Err(Unkept::Lost), "once");
    assert_eq!(bucket.look(4, 11), Looked::Hit(&answer(8, 9)));
}

#[test]
fn a_refused_load_may_try_again_under_its_token() {
    let mut bucket = Bucket::opened(5);
    bucket.look(1, 0);
    assert_eq!(bucket.fill(1, answer(7, 4)), Err(Unkept::TooOld(pos(5))));
    assert_eq!(bucket.fill(1, answer(7, 5)), Ok(()));
}

#[test]
fn news_drops_what_is_older_and_nothing_else() {
    for (kept, news, expected) in [
        (answer(7, 9), news(8, 12), Changed::Dropped),
        (answer(7, 9), news(7, 9), Changed::Fenced),
        (answer(7, 9), news(6, 3), Changed::Fenced),
        (answer(7, 9), broad(9), Changed::Fenced),
        (answer(7, 9), broad(10), Changed::Dropped),
        (composite(9), news(1, 9), Changed::Fenced),
        (composite(9), news(1, 10), Changed::Dropped),
        (composite(9), broad(10), Changed::Dropped),
    ] {
        let mut bucket = Bucket::opened(5);
        bucket.look(1, 0);
        bucket.fill(1, kept).unwrap();
        assert_eq!(bucket.hear(news), expected, "{news:?} to {kept:?}");
        assert_eq!(matches!(bucket.look(2, 0), Looked::Hit(_)), expected == Changed::Fenced);
    }
}

#[test]
fn r7_an_old_event_lowers_nothing() {
    let mut bucket = Bucket::opened(5);
    bucket.look(1, 0);
    bucket.hear(news(8, 12));
    bucket.hear(news(7, 9));
    assert_eq!(bucket.fill(1, answer(7, 12)), Err(Unkept::BelowFloor(at(8))));
}

#[test]
fn a_late_old_event_after_an_epoch_leaves_no_placeholder_with_its_own_minimum() {
    let mut bucket = Bucket::opened(5);
    bucket.hear(news(8, 12));
    bucket.reopen(2, 12);
    bucket.hear(news(7, 9));
    assert_eq!(bucket.minimum(), pos(12));
}

#[test]
fn what_a_kept_fill_has_shown_is_remembered_when_its_slot_is_gone() {
    let mut bucket = Bucket::opened(5);
    bucket.look(1, 0);
    bucket.fill(1, answer(8, 12)).unwrap();
    bucket.slot = None;
    assert_eq!(bucket.minimum(), pos(12));
}

#[test]
fn a_slot_of_another_epoch_is_as_good_as_absent() {
    let mut bucket = Bucket::opened(5);
    bucket.look(1, 0);
    let filled = bucket.slot;
    bucket.reopen(2, 12);
    assert_eq!(bucket.fill(1, answer(9, 20)), Err(Unkept::Lost));
    assert_eq!(bucket.hear(news(9, 20)), Changed::Nothing);
    bucket.slot = filled;
    assert_eq!(bucket.minimum(), pos(20));
    bucket.slot = filled;
    assert_eq!(bucket.update(news(10, 21)), Changed::Updated);
}

#[test]
fn a_carried_value_is_a_fill_that_was_read_at_its_own_position() {
    #[derive(Debug)]
    enum Found {
        Nothing,
        Placeholder,
        Kept(u64),
    }
    use Found::{Kept, Nothing, Placeholder};
    for (found, version, position, expected) in [
        (Nothing, 8, 12, Changed::Updated),
        // Something between 11 and 12 may have been heard about this very key, and forgotten with its slot.
        (Nothing, 7, 11, Changed::Nothing),
        (Placeholder, 8, 13, Changed::Updated),
        (Placeholder, 7, 11, Changed::Fenced),
        (Kept(7), 8, 13, Changed::Updated),
        (Kept(8), 8, 13, Changed::Fenced),
        (Kept(9), 8, 13, Changed::Fenced),
        (Kept(7), 8, 11, Changed::Dropped),
    ] {
        let mut bucket = Bucket::opened(12);
        if !matches!(found, Nothing) {
            bucket.look(1, 0);
        }
        if let Kept(version) = found {
            bucket.fill(1, answer(version, 12)).unwrap();
        }
        assert_eq!(bucket.update(news(version, position)), expected, "{found:?}: {version} at {position}");
        let carried = matches!(bucket.look(2, 99), Looked::Hit(Answer { value: "carried", .. }));
        assert_eq!(carried, expected == Changed::Updated, "{found:?}: {version} at {position}");
    }
}

#[test]
fn a_carried_value_is_older_than_what_was_heard_under_its_placeholder() {
    let mut bucket = Bucket::opened(5);
    bucket.look(1, 0);
    bucket.hear(news(8, 12));
    assert_eq!(bucket.update(news(7, 9)), Changed::Fenced);
}

#[test]
fn news_of_a_new_timeline_waits_for_a_new_epoch() {
    let mut bucket = Bucket::opened(5);
    let forked = News { stamp: Some(at(1)), position: AsOf { timeline: Timeline(1), at: 4 } };
    let heard = invalidate(&mut bucket.control, &mut bucket.slot, HERE, forked);
    assert_eq!(heard, Err(Unheard::NewTimeline(Epoch(1))));
    assert_eq!(bucket.minimum(), pos(5), "and has moved nothing");
    claim(&mut bucket.control, HERE, Epoch(2), Some(Epoch(1))).unwrap();
    open(&mut bucket.control, HERE, Epoch(2), forked.position).unwrap();
    assert_eq!(bucket.hear(forked), Changed::Nothing);
    bucket.look(1, 0);
    assert_eq!(
        bucket.fill(1, answer(9, 1_000_000)),
        Err(Unkept::TooOld(forked.position)),
        "a standby from before the fork says so"
    );
}

#[test]
fn r9_a_promotion_is_held_to_what_the_copy_covers_and_has_heard() {
    let passage = Passage { least: pos(5), heard: pos(9) };
    for (stamp, as_of, expected) in [
        (Some(at(1)), 5, Ok(())),
        (Some(at(1)), 4, Err(Behind(pos(5)))),
        (None, 9, Ok(())),
        (None, 8, Err(Behind(pos(9)))),
    ] {
        assert_eq!(promotes(stamp, pos(as_of), passage), expected, "{stamp:?} as of {as_of}");
    }
    let started = Passage { least: pos(9), heard: pos(0) };
    assert_eq!(promotes(None, pos(8), started), Err(Behind(pos(9))));
}
