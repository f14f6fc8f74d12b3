//! What a consumer does with an event, and how many decisions become few actions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::entity::{Entity, Region};
use crate::error::Result;
use crate::event::Event;
use crate::version::Stamp;

/// What one consumer decides about one event. Every decision but [`Decision::Ignore`] also raises the floor of the
/// event's entity to its version: acting on news while still accepting older fills would be no decision at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing here depends on it, for this reason.
    Ignore(Cow<'static, str>),
    /// What was derived from the entity is no longer served.
    Invalidate,
    /// As [`Decision::Invalidate`], and this key of this view is loaded again in the background.
    Refresh {
        /// The view's name.
        view: Arc<str>,
        /// The key, as the view writes it.
        key: Arc<str>,
    },
    /// The event carries what has changed since the version before it: this key of this view is changed in place,
    /// without a read. If the cached answer is not of the version just before, it is only invalidated.
    Update {
        /// The view's name.
        view: Arc<str>,
        /// The key, as the view writes it.
        key: Arc<str>,
    },
    /// Everything derived from this region is no longer served.
    Bump(Region),
}

impl Decision {
    /// [`Decision::Ignore`] with its reason.
    #[must_use]
    pub fn ignore(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Ignore(why.into())
    }

    /// [`Decision::Refresh`] of one key.
    #[must_use]
    pub fn refresh(view: &str, key: &str) -> Self {
        Self::Refresh { view: view.into(), key: key.into() }
    }

    /// [`Decision::Update`] of one key.
    #[must_use]
    pub fn update(view: &str, key: &str) -> Self {
        Self::Update { view: view.into(), key: key.into() }
    }
}

impl From<Decision> for Vec<Decision> {
    fn from(decision: Decision) -> Self {
        vec![decision]
    }
}

/// The rules of one consumer: pure, and owned by the service that serves the answers.
pub trait Decide: Send + Sync {
    /// What to do about this event. An error, or a panic, parks the event with its entity fenced.
    fn decide(&self, event: &Event) -> Result<Vec<Decision>>;

    /// What to do about an event that is parked, from its envelope alone. Its entity's floor is raised in any case.
    /// Which regions it would have bumped nobody knows, so every region is bumped unless the rules know better.
    fn when_parked(&self, event: &Event) -> Vec<Decision> {
        let _ = event;
        vec![Decision::Bump(Region::every())]
    }
}

/// What a store is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Raise the entity's floor; older answers are no longer served.
    Raise {
        /// The entity.
        entity: Entity,
        /// The lowest version that may still be served.
        floor: Stamp,
    },
    /// Invalidate everything derived from the region.
    Bump {
        /// The region.
        region: Region,
    },
    /// Load one key again in the background, at or above the floors raised in the same batch.
    Refresh {
        /// The view's name.
        view: Arc<str>,
        /// The key, as the view writes it.
        key: Arc<str>,
    },
    /// Change one cached answer in place with what the event carries.
    Update {
        /// The view's name.
        view: Arc<str>,
        /// The key, as the view writes it.
        key: Arc<str>,
        /// The events of one entity, in order.
        events: Vec<Arc<Event>>,
    },
}

/// What became of an event at one consumer (promise I10: nothing is silently dropped).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its decision took effect (an explicit *ignore* included).
    Applied,
    /// A newer version of its entity took effect in its place, or it was seen before.
    Superseded,
    /// It is set aside, and its entity is fenced.
    Parked,
}

/// Folds decisions into the fewest actions with the same effect: one per target, at the newest version.
///
/// The order of the result is fixed: floors first, so that no refresh or update can run before its fence is up.
#[derive(Debug, Default)]
pub struct Plan {
    floors: BTreeMap<Entity, Stamp>,
    regions: BTreeMap<Region, ()>,
    refreshes: BTreeMap<(Arc<str>, Arc<str>), ()>,
    /// All of an entity's events, in order: each may carry only a part of the state.
    updates: BTreeMap<Updated, Vec<Arc<Event>>>,
}

/// A view, a key, and the entity whose events change the answer there.
type Updated = (Arc<str>, Arc<str>, Entity);

impl Plan {
    /// Adds what was decided about one event.
    pub fn add(&mut self, event: &Arc<Event>, decisions: Vec<Decision>) {
        for decision in decisions {
            match decision {
                Decision::Ignore(_) => continue,
                Decision::Invalidate => {}
                Decision::Refresh { view, key } => {
                    self.refreshes.insert((view, key), ());
                }
                Decision::Update { view, key } => {
                    self.updates.entry((view, key, event.entity.clone())).or_default().push(event.clone());
                }
                Decision::Bump(region) => {
                    self.regions.insert(region, ());
                }
            }
            self.fence(&event.entity, event.stamp);
        }
    }

    /// Raises an entity's floor without any other effect: what a parked event still does.
    pub fn fence(&mut self, entity: &Entity, stamp: Stamp) {
        let floor = self.floors.entry(entity.clone()).or_default();
        *floor = (*floor).max(stamp);
    }

    /// The actions, floors first.
    #[must_use]
    pub fn into_actions(self) -> Vec<Action> {
        let floors = self.floors.into_iter().map(|(entity, floor)| Action::Raise { entity, floor });
        let bumps = self.regions.into_keys().map(|region| Action::Bump { region });
        let updates =
            self.updates.into_iter().map(|((view, key, _), events)| Action::Update { view, key, events });
        let refreshes = self.refreshes.into_keys().map(|(view, key)| Action::Refresh { view, key });
        floors.chain(bumps).chain(updates).chain(refreshes).collect()
    }
}
