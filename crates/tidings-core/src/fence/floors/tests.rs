use super::*;
use crate::version::Version;

const KEEP: Duration = Duration::from_secs(60);

fn at(version: u64) -> Stamp {
    Stamp::of(Version::new(version).unwrap())
}

fn key(n: u64) -> Fingerprint {
    Fingerprint(n)
}

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn floors(raised: usize, learned: usize) -> Floors {
    Floors::new(Limits { raised, learned, keep: KEEP })
}

#[test]
fn r7_floors_only_rise() {
    let mut floors = floors(10, 10);
    assert_eq!(floors.raise(key(1), at(7), Tick(1), second(0)), Raised::Moved);
    assert_eq!(floors.raise(key(1), at(6), Tick(2), second(0)), Raised::Old);
    assert_eq!(floors.raise(key(1), at(7), Tick(3), second(0)), Raised::Old, "a duplicate moves nothing");
    assert_eq!(floors.standing(key(1)), Some(Standing { floor: at(7), moved: Tick(1) }));
    assert_eq!(floors.raise(key(1), at(8), Tick(4), second(0)), Raised::Moved);
}

#[test]
fn forgetting_early_refuses_fills_until_no_old_load_can_be_alive() {
    let mut floors = floors(1, 10);
    floors.raise(key(1), at(7), Tick(1), second(0));
    floors.raise(key(2), at(7), Tick(2), second(10));
    assert_eq!(floors.standing(key(1)), None, "over the limit, the oldest went");
    let fill = |floors: &Floors, now| floors.check_fill(key(1), Held::At(at(6)), Tick(2), now);
    assert_eq!(fill(&floors, second(59)), Err(Refusal::Forgotten));
    assert_eq!(fill(&floors, second(60)), Ok(()), "nothing that old is in flight any more");
}

#[test]
fn an_entry_from_before_a_forgotten_floor_cannot_be_vouched_for() {
    let mut floors = floors(1, 10);
    floors.raise(key(1), at(7), Tick(5), second(0));
    floors.raise(key(2), at(7), Tick(6), second(100));
    let entry = |floors: &Floors, since| floors.check_entry(key(1), Held::At(at(6)), Tick(since));
    assert_eq!(entry(&floors, 5), Err(Refusal::Forgotten));
    // Even after an old event has put a lower floor back.
    floors.raise(key(1), at(5), Tick(7), second(100));
    assert_eq!(entry(&floors, 5), Err(Refusal::Forgotten));
    assert_eq!(entry(&floors, 7), Ok(()), "one that was filled later is judged by what is known");
}

#[test]
fn a_floor_learned_from_a_fill_moves_again_when_its_event_comes() {
    let mut floors = floors(10, 10);
    assert_eq!(floors.learn(key(1), at(7), Tick(1), second(1)), Raised::Moved);
    assert_eq!(floors.check_entry(key(1), Held::At(at(6)), Tick(0)), Err(Refusal::BelowFloor(Tick(1))));
    assert_eq!([1, 2].map(|n| floors.learned_at(key(n))), [Some(second(1)), None]);
    assert_eq!(floors.raise(key(1), at(7), Tick(2), second(2)), Raised::Moved);
    assert_eq!(floors.learned_at(key(1)), None);
    assert_eq!(
        floors.check_entry(key(1), Held::Unmoved, Tick(1)),
        Err(Refusal::Moved(Tick(2))),
        "an unversioned fill between the two may have read the old state"
    );
}

#[test]
fn what_is_learned_over_a_raised_floor_moves_again_too_and_is_kept_as_long() {
    let mut floors = floors(10, 1);
    floors.raise(key(1), at(6), Tick(1), second(0));
    floors.learn(key(1), at(7), Tick(2), second(1));
    floors.learn(key(2), at(1), Tick(3), second(1));
    floors.learn(key(3), at(1), Tick(4), second(1));
    floors.settle(second(50));
    assert_eq!(
        floors.standing(key(1)).map(|known| known.floor),
        Some(at(7)),
        "never dropped as merely learned"
    );
    assert_eq!(floors.raise(key(1), at(7), Tick(5), second(2)), Raised::Moved);
}

#[test]
fn what_was_learned_while_events_may_have_been_missed_is_not_settled_by_marks() {
    let mut floors = floors(10, 10);
    floors.learn(key(1), at(7), Tick(1), second(1));
    floors.learn(key(2), at(7), Tick(2), second(3));
    floors.keep_learned_before(second(2));
    floors.settle(second(50));
    let kept = [1, 2].map(|n| floors.standing(key(n)).map(|known| known.floor));
    assert_eq!(kept, [Some(at(7)), None]);
    assert_eq!(floors.raise(key(1), at(7), Tick(3), second(60)), Raised::Moved, "its event still moves it");
}

#[test]
fn learned_floors_last_until_their_events_must_have_been_applied() {
    let mut floors = floors(10, 10);
    floors.learn(key(1), at(7), Tick(1), second(1));
    floors.learn(key(2), at(7), Tick(2), second(5));
    floors.learn(key(3), at(7), Tick(3), second(6));
    floors.raise(key(3), at(8), Tick(4), second(6));
    floors.settle(second(5));
    assert_eq!([1, 2, 3].map(|n| floors.standing(key(n)).is_some()), [false, true, true]);
    floors.settle(second(7));
    assert_eq!([1, 2, 3].map(|n| floors.standing(key(n)).is_some()), [false, false, true]);
}

#[test]
fn everything_is_bounded() {
    let mut floors = floors(100, 50);
    for n in 0..10_000 {
        floors.raise(key(n), at(n + 1), Tick(n), second(n));
        floors.learn(key(n + 1_000_000), at(1), Tick(n), second(n));
        floors.raise(key(1), at(n + 1), Tick(n), second(n));
    }
    assert!(floors.len() <= 150, "{}", floors.len());
    assert!(floors.raised.len() <= 201 && floors.learned.len() <= 50);
}

#[test]
fn one_hot_entity_does_not_push_the_others_out() {
    let mut floors = floors(100, 10);
    floors.raise(key(1), at(5), Tick(1), second(1));
    for n in 1..=10_000 {
        floors.raise(key(2), at(n), Tick(1 + n), second(2));
    }
    assert!(floors.standing(key(1)).is_some());
    assert_eq!(floors.check_fill(key(3), Held::At(at(1)), Tick(20_000), second(3)), Ok(()));
}
