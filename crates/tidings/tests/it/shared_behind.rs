//! When an answer counts as read from behind: while an older transaction is open in the source, what is sure to be in any
//! state of it stays before that one, and the shared level hears of later ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidings::{AsOf, Cached, Entity, Event, Fill, Freshness, Loaded, Path, Seen};
use tidings_core::certificate::Cause;

use crate::fleet::{Copy, Fleet, hear};
use crate::shop::{Rule, settle, v, within};

/// As the shared level of a busy source: it has heard of something else, that came after a transaction that stays open.
async fn busy() -> Fleet {
    let fleet = Fleet::open(Rule::On).await;
    fleet.prices.is_held.store(true, Ordering::SeqCst);
    let event = fleet.prices.commit();
    hear(&*fleet.level, &of_stock(&event)).await;
    fleet
}

fn of_stock(event: &Event) -> Arc<Event> {
    Arc::new(Event { entity: Entity::new("stock", "42").unwrap(), ..event.clone() })
}

/// Which parts an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parts {
    Versioned,
    /// An absence beside something with a version: nothing says which news it lacks.
    OneMissing,
    AllMissing,
    None,
}

async fn read(copy: &Copy, version: u64, parts: Parts, tell: impl Fn(&Fill)) -> Cached<u64> {
    let load = async |fill: Fill| {
        tell(&fill);
        if matches!(parts, Parts::Versioned | Parts::OneMissing) {
            fill.depends("price", "42", v(version));
        }
        if matches!(parts, Parts::OneMissing | Parts::AllMissing) {
            fill.depends_unversioned("price", "43");
        }
        Ok(if parts == Parts::AllMissing { Loaded::absent() } else { Loaded::unversioned(version) })
    };
    let answer = within(copy.view.get(&"k".into(), load)).await.unwrap();
    settle().await;
    answer
}

const BEHIND: Freshness = Freshness::Stale(Cause::SourceBehind);

#[tokio::test]
async fn what_was_read_with_its_version_from_the_present_is_kept_while_an_older_transaction_is_open() {
    let fleet = busy().await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    let seen = fleet.prices.seen();
    assert!(seen.least < seen.most);
    for copy in [&first, &second] {
        let loads = copy.view.counts().loads;
        let answer = read(copy, 2, Parts::Versioned, |fill| fill.read_present(seen)).await;
        assert_eq!((answer.freshness(), answer.certificate().path), (Freshness::Fresh, Path::Source));
        assert_eq!(copy.view.cached(&"k".into()).unwrap().value(), Some(&2));
        let counts = copy.view.counts();
        assert_eq!((counts.loads - loads, counts.l2_waits), (1, 0), "the claim was given up");
        assert_eq!(counts.l2_withheld, 1, "nobody else hears of it, and that is counted");
    }
    // When it has ended, the shared level keeps it, too.
    fleet.prices.is_held.store(false, Ordering::SeqCst);
    let (third, fourth) = (fleet.copy().await, fleet.copy().await);
    for (copy, path) in [(&third, Path::Source), (&fourth, Path::L2)] {
        let answer = read(copy, 2, Parts::Versioned, |fill| fill.read_present(fleet.prices.seen())).await;
        assert_eq!((answer.value(), answer.certificate().path), (Some(&2), path));
    }
}

#[tokio::test]
async fn what_has_no_version_must_contain_all_that_was_heard() {
    for parts in [Parts::OneMissing, Parts::AllMissing, Parts::None] {
        let fleet = busy().await;
        let copy = fleet.copy().await;
        let answer = read(&copy, 2, parts, |fill| fill.read_present(fleet.prices.seen())).await;
        assert_eq!(answer.freshness(), BEHIND, "{parts:?}");
        assert!(copy.view.cached(&"k".into()).is_none(), "{parts:?}");
        fleet.prices.is_held.store(false, Ordering::SeqCst);
        let answer = read(&copy, 2, parts, |fill| fill.read_present(fleet.prices.seen())).await;
        assert_eq!(answer.freshness(), Freshness::Fresh, "{parts:?}");
    }
}

/// What a load tells of where it read.
type Tell<'a> = &'a dyn Fn(&Fill);

#[tokio::test]
async fn what_was_read_from_a_replica_that_lags_is_not_taken_for_the_present() {
    let old = AsOf { at: 10, ..AsOf::default() };
    let present = Seen { least: old, most: AsOf { at: 20, ..old } };
    let cases: [(&str, Tell<'_>); 5] = [
        ("its position", &|fill| fill.read_at(old)),
        ("nothing sure", &|fill| fill.read_at(AsOf::default())),
        ("its snapshot", &|fill| fill.read_present(Seen::at(old))),
        ("a part of it after the present", &|fill| {
            fill.read_present(present);
            fill.read_at(old);
        }),
        ("a part of it before the present", &|fill| {
            fill.read_at(AsOf::default());
            fill.read_present(present);
        }),
    ];
    for (what, tell) in cases {
        // What it shows has been changed, or deleted, and nobody has told this copy.
        let fleet = busy().await;
        let copy = fleet.copy().await;
        let answer = read(&copy, 1, Parts::Versioned, tell).await;
        assert_eq!(answer.freshness(), BEHIND, "{what}");
        assert!(copy.view.cached(&"k".into()).is_none(), "{what}");
    }
}

#[tokio::test]
async fn a_part_below_its_floor_is_behind_however_late_it_was_read() {
    let fleet = busy().await;
    fleet.prices.is_held.store(false, Ordering::SeqCst);
    let copy = fleet.copy().await;
    let read = async |stock| {
        let tell = |fill: &Fill| {
            fill.read_present(fleet.prices.seen());
            fill.depends("stock", "42", v(stock));
        };
        read(&copy, 2, Parts::Versioned, tell).await.freshness()
    };
    assert_eq!(read(2).await, Freshness::Fresh);
    // What goes is expected again. The shared level has heard of what this copy has not.
    let event = fleet.prices.commit();
    hear(&*fleet.level, &event).await;
    copy.hear(&of_stock(&event)).await;
    assert_eq!(read(3).await, BEHIND);
}
