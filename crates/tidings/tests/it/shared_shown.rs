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

/// An absence has no version, and no floor remembers it.
#[tokio::test]
async fn what_was_shown_here_is_not_undone() {
    for is_placed in [true, false] {
        let fleet = Fleet::open(Rule::On).await;
        let (first, second) = (fleet.copy().await, fleet.copy().await);
        first.read().await;
        let event = fleet.prices.commit();
        let gone = async |fill: Fill| {
            if is_placed {
                fill.read_at(fleet.prices.at());
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
        assert_eq!(path(&second.read().await), (Some(2), Path::Source), "placed: {is_placed}");
        assert_eq!(second.view.counts().l2_refused, 1);
    }
}
