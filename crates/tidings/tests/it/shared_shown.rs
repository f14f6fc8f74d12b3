//! What a copy has shown is not undone by an answer of the shared level.

use std::sync::Arc;
use std::time::Duration;

use tidings::{Cached, Entity, Event, Fill, Loaded, Path};

use crate::fleet::{Copy, Fleet, hear, price};
use crate::shop::{Pause, Rule, settle, stamp, within};

fn path(answer: &Cached<u64>) -> (Option<u64>, Path) {
    (answer.value().copied(), answer.certificate().path)
}

/// News of something else that an answer depends on: it goes without an epoch, so the rest of what is known stays.
fn of_stock(event: &Event) -> Arc<Event> {
    Arc::new(Event { entity: Entity::new("stock", "42").unwrap(), ..event.clone() })
}

/// What shows the price with its version, and its absence without one.
async fn read_or_absent(copy: &Copy) -> (Option<u64>, Path) {
    let load = async |fill: Fill| {
        let (seen, at) = copy.prices.read();
        fill.read_at(at);
        if seen == 1 {
            fill.depends_unversioned("price", "42");
            return Ok(Loaded::absent());
        }
        fill.depends("price", "42", crate::shop::v(seen));
        Ok(Loaded::new(crate::shop::v(seen), seen))
    };
    let answer = within(copy.view.get(&"k".into(), load)).await.unwrap();
    settle().await;
    path(&answer)
}

/// A version that was shown is remembered as a floor, which refuses older versions only.
#[tokio::test]
async fn an_absence_does_not_follow_a_version_that_was_shown() {
    let fleet = Fleet::open(Rule::On).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    assert_eq!(read_or_absent(&first).await, (None, Path::Source));
    let event = fleet.prices.commit();
    // Under another key, ahead of the news.
    let load = |fill| crate::fleet::load(fill, fleet.prices.clone(), Pause::none(), true);
    let shown = within(second.view.get_at_least(&"j".into(), (&price(), stamp(2)), load)).await.unwrap();
    assert_eq!(shown.value(), Some(&2));
    assert_eq!(read_or_absent(&second).await, (Some(2), Path::Source));
    // Its event tells where it lies: then nothing need be asked.
    hear(&*fleet.level, &event).await;
    for copy in [&first, &second] {
        copy.hear(&event).await;
    }
    first.read_key("l", &Pause::none(), false).await;
    assert_eq!(path(&second.read_key("l", &Pause::none(), false).await), (Some(2), Path::L2));
}

/// Until the source is asked again, nobody can tell whether the absence is from before.
#[tokio::test]
async fn the_source_is_asked_again_what_a_learned_version_lies_before() {
    let fleet = Fleet::open(Rule::On).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    second.read_key("j", &Pause::none(), true).await;
    for key in ["a", "b"] {
        first.read_key(key, &Pause::none(), false).await;
    }
    fleet.clock.advance(Duration::from_secs(1));
    assert_eq!(path(&second.read_key("a", &Pause::none(), false).await), (Some(1), Path::Source));
    assert_eq!(path(&second.read_key("b", &Pause::none(), false).await), (Some(1), Path::L2));
}

/// Which position a load tells of the state after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Its,
    /// As long as an older transaction is open, later states tell no more.
    FromBefore,
    OfAStandby,
    None,
}

/// An absence has no version, and no floor remembers it.
#[tokio::test]
async fn what_was_shown_here_is_not_undone() {
    for told in [Told::Its, Told::FromBefore, Told::OfAStandby, Told::None] {
        let fleet = Fleet::open(Rule::On).await;
        let (first, second) = (fleet.copy().await, fleet.copy().await);
        first.read().await;
        let before = fleet.prices.at();
        let event = fleet.prices.commit();
        let gone = async |fill: Fill| {
            match told {
                Told::Its => fill.read_at(fleet.prices.at()),
                Told::FromBefore => fill.read_at(before),
                Told::OfAStandby => fill.read_at(tidings::AsOf::default()),
                Told::None => {}
            }
            fill.depends_unversioned("stock", "42");
            Ok(Loaded::absent())
        };
        // Past the shared level, ahead of the news.
        let past = (&price(), stamp(1));
        let shown = within(second.view.get_at_least(&"k".into(), past, gone)).await.unwrap();
        assert_eq!(shown.value(), None);
        second.hear(&of_stock(&event)).await;
        assert!(second.view.cached(&"k".into()).is_none());
        assert_eq!(path(&second.read().await), (Some(2), Path::Source), "told: {told:?}");
        assert_eq!(second.view.counts().l2_refused, 1);
    }
}

/// Reads other keys until there is no room for "k" any more.
async fn evict(copy: &Copy) {
    for other in 0..1_000 {
        // What is looked at often stays.
        if other % 50 == 49 && copy.view.cached(&"k".into()).is_none() {
            return;
        }
        let load = async |fill: Fill| {
            fill.depends("stock", "1", crate::shop::v(1));
            Ok(Loaded::unversioned(1))
        };
        for _ in 0..4 {
            within(copy.view.get(&format!("other-{other}"), load)).await.unwrap();
        }
    }
    panic!("still held");
}

/// Nobody can tell which of two answers of one position is newer, but an answer is no older than itself.
#[tokio::test]
async fn what_was_shown_here_is_taken_again_when_it_is_no_longer_held() {
    let fleet = Fleet::open(Rule::On).await;
    let small = async || {
        let settings = tidings::FenceSettings::default();
        fleet.copy_with(fleet.level.clone(), settings, |builder| builder.capacity(8)).await
    };
    let (first, second) = (small().await, small().await);
    assert_eq!(path(&first.read_unversioned().await), (Some(1), Path::Source));
    for round in 0..3 {
        for (who, copy) in [("who loaded it", &first), ("another", &second)] {
            evict(copy).await;
            assert_eq!(path(&copy.read_unversioned().await), (Some(1), Path::L2), "{who}, round {round}");
        }
    }
}

/// Once the source is asked again, that covers what was shown before; nobody has to wait for an epoch.
#[tokio::test]
async fn what_was_shown_without_a_position_is_not_refused_for_ever() {
    let fleet = Fleet::open(Rule::On).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    let gone = async |fill: Fill| {
        fill.depends_unversioned("stock", "42");
        Ok(Loaded::absent())
    };
    let shown = within(second.view.get(&"k".into(), gone)).await.unwrap();
    assert_eq!(shown.value(), None);
    settle().await;
    fleet.clock.advance(Duration::from_secs(1));
    let news: [fn(&Event) -> Arc<Event>; 2] = [of_stock, |event| Arc::new(event.clone())];
    for (told, expected) in news.iter().zip([Path::Source, Path::L2]) {
        let event = told(&fleet.prices.commit());
        hear(&*fleet.level, &event).await;
        for copy in [&first, &second] {
            copy.hear(&event).await;
            copy.mark().await;
        }
        assert!(second.view.cached(&"k".into()).is_none());
        assert_eq!(first.read().await.certificate().path, Path::Source);
        assert_eq!(second.read().await.certificate().path, expected);
    }
}
