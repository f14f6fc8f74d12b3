//! The same events as a network might deliver them.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};

use tidings_core::{Entity, Event};

use crate::rng::Rng;

/// How far the order of events may be disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reorder {
    /// As committed.
    #[default]
    Never,
    /// Events of different entities change places; each entity keeps its order. What a partitioned log does.
    AcrossEntities,
    /// Any order, within an entity too. What parallel consumers and redrives do.
    Anywhere,
}

/// What happens to events on their way.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Disorder {
    /// How their order is disturbed.
    pub reorder: Reorder,
    /// The share of events that arrive a second time, anywhere after the first, as a redelivery does (0 to 1).
    pub double: f64,
    /// The share of events that never arrive (0 to 1).
    pub drop: f64,
}

/// The events in the order and number in which they arrive; the same for the same seed.
///
/// ```
/// use std::collections::BTreeMap;
/// use tidings_core::{Entity, Event, Stamp, Time, Version, Window, event::Data};
/// use tidings_testkit::{Disorder, Reorder, assert_converged, deliveries};
///
/// # fn event(entity: &str, version: u64) -> Event {
/// #     Event {
/// #         id: format!("{entity}-{version}").into(),
/// #         source: "/pricing".into(),
/// #         kind: "pricing.BasePriceChanged".into(),
/// #         entity: Entity::parse(entity).unwrap(),
/// #         stamp: Stamp::of(Version::new(version).unwrap()),
/// #         time: Time::from_micros(0),
/// #         window: Window::default(),
/// #         traceparent: None,
/// #         schema: None,
/// #         extensions: vec![],
/// #         data: Data::Empty,
/// #     }
/// # }
/// /// The service's own code: keeps the newest version of each entity.
/// fn consume(events: &[Event]) -> BTreeMap<Entity, Stamp> {
///     let mut held = BTreeMap::new();
///     for event in events {
///         let newest = held.entry(event.entity.clone()).or_insert(event.stamp);
///         *newest = event.stamp.max(*newest);
///     }
///     held
/// }
///
/// let events = [event("price/1", 1), event("price/2", 1), event("price/1", 2)];
/// for seed in 0..100 {
///     let disorder = Disorder { reorder: Reorder::Anywhere, double: 0.5, drop: 0.0 };
///     let arrived = deliveries(&events, seed, disorder);
///     assert_converged(consume(&events), [(format!("seed {seed}"), consume(&arrived))]);
/// }
/// ```
#[must_use]
pub fn deliveries<E: Borrow<Event> + Clone>(events: &[E], seed: u64, disorder: Disorder) -> Vec<E> {
    let mut rng = Rng::new(seed);
    let mut arriving: Vec<E> = events.iter().filter(|_| !rng.chance(disorder.drop)).cloned().collect();
    match disorder.reorder {
        Reorder::Never => {}
        Reorder::AcrossEntities => {
            arriving = mix(arriving, |event| Some(event.borrow().entity.clone()), &mut rng);
        }
        Reorder::Anywhere => rng.shuffle(&mut arriving),
    }
    double(arriving, disorder.double, &mut rng)
}

fn double<E: Clone>(arriving: Vec<E>, share: f64, rng: &mut Rng) -> Vec<E> {
    let count = arriving.len();
    let mut places: Vec<(usize, E)> = Vec::with_capacity(count);
    for (at, event) in arriving.into_iter().enumerate() {
        if rng.chance(share) {
            places.push((2 * (at + rng.below(count - at)) + 1, event.clone()));
        }
        places.push((2 * at, event));
    }
    places.sort_by_key(|(place, _)| *place);
    places.into_iter().map(|(_, event)| event).collect()
}

/// Mixes the items of different entities at random and keeps the order within each. An item without an entity (a
/// mark) stays between the items before and after it: what it says of them must remain true.
pub(crate) fn mix<T>(items: Vec<T>, entity: impl Fn(&T) -> Option<Entity>, rng: &mut Rng) -> Vec<T> {
    let mut mixed = Vec::with_capacity(items.len());
    let mut stretch: Vec<(Entity, T)> = Vec::new();
    for item in items {
        match entity(&item) {
            Some(entity) => stretch.push((entity, item)),
            None => {
                mix_stretch(&mut stretch, &mut mixed, rng);
                mixed.push(item);
            }
        }
    }
    mix_stretch(&mut stretch, &mut mixed, rng);
    mixed
}

fn mix_stretch<T>(stretch: &mut Vec<(Entity, T)>, mixed: &mut Vec<T>, rng: &mut Rng) {
    let mut turns: Vec<Entity> = stretch.iter().map(|(entity, _)| entity.clone()).collect();
    rng.shuffle(&mut turns);
    let mut queues: HashMap<Entity, VecDeque<T>> = HashMap::new();
    for (entity, item) in stretch.drain(..) {
        queues.entry(entity).or_default().push_back(item);
    }
    mixed.extend(turns.iter().filter_map(|entity| queues.get_mut(entity)?.pop_front()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::sample;

    fn committed() -> Vec<Event> {
        (0..60).map(|n| sample::event(&format!("price/{}", n % 5), 1 + n / 5)).collect()
    }

    fn rises_per_entity(events: &[Event]) -> bool {
        let mut last = HashMap::new();
        events.iter().all(|e| last.insert(e.entity.clone(), e.stamp).is_none_or(|before| before < e.stamp))
    }

    fn sorted(events: &[Event]) -> Vec<String> {
        let mut ids: Vec<_> = events.iter().map(|e| e.id.to_string()).collect();
        ids.sort();
        ids
    }

    #[test]
    fn order_is_disturbed_exactly_as_far_as_asked() {
        let events = committed();
        for seed in 0..20 {
            let arrive = |reorder| deliveries(&events, seed, Disorder { reorder, ..Disorder::default() });
            assert_eq!(arrive(Reorder::Never), events);
            let across = arrive(Reorder::AcrossEntities);
            assert!(rises_per_entity(&across) && across != events, "seed {seed}");
            let anywhere = arrive(Reorder::Anywhere);
            assert!(!rises_per_entity(&anywhere), "seed {seed}");
            assert_eq!([sorted(&across), sorted(&anywhere)], [sorted(&events), sorted(&events)]);
            assert_eq!(anywhere, arrive(Reorder::Anywhere), "the same seed, the same order");
        }
    }

    #[test]
    fn every_event_doubled_arrives_twice_and_every_event_dropped_never() {
        let events = committed();
        let doubled = deliveries(&events, 1, Disorder { double: 0.5, ..Disorder::default() });
        assert!(doubled.len() > events.len() && doubled.len() < 2 * events.len());
        let all = deliveries(&events, 1, Disorder { double: 1.0, ..Disorder::default() });
        assert_eq!(all.len(), 2 * events.len());
        let firsts: Vec<_> = {
            let mut seen = std::collections::HashSet::new();
            doubled.iter().filter(|e| seen.insert(e.id.clone())).cloned().collect()
        };
        assert_eq!(firsts, events, "the first of each keeps its place");
        assert_eq!(deliveries(&events, 1, Disorder { drop: 1.0, ..Disorder::default() }), []);
        let some = deliveries(&events, 1, Disorder { drop: 0.5, ..Disorder::default() }).len();
        assert!(0 < some && some < events.len());
    }
}
