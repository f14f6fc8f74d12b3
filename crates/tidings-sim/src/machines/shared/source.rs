//! The source: its commits in order, a replica that lags, and what a failover leaves behind.

use tidings_core::shared::{Answer, AsOf};
use tidings_core::{Stamp, Timeline};

use super::{COMPOSITE, ENTITIES, Value};

/// All there is to read at one moment, with the moment told by the same snapshot.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Snapshot {
    pub(super) as_of: AsOf,
    pub(super) state: Value,
}

/// What the log carries: a change of one entity, or the word that a new timeline has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) entity: Option<usize>,
    pub(super) stamp: Stamp,
    pub(super) as_of: AsOf,
    pub(super) state: Value,
}

/// Who answers a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Primary,
    Replica,
    /// The primary of the timeline before, which has not heard of its end.
    Zombie,
}

#[derive(Debug, Default)]
pub(super) struct Source {
    /// The state after so many commits.
    states: Vec<Snapshot>,
    /// The event of each commit, in order.
    events: Vec<Event>,
    /// How many have been published.
    published: usize,
    /// How many commits can be read at the primary: an event may come before its row.
    visible: usize,
    /// How many the replica has replayed.
    replica: usize,
    /// The newest timeline. One that a standby promoted too early would count for itself could be issued twice.
    timeline: u32,
    /// The end of the timeline before.
    zombie: Option<Snapshot>,
}

impl Source {
    pub(super) fn reset(&mut self) {
        self.states.clear();
        self.events.clear();
        (self.published, self.visible, self.replica, self.timeline, self.zombie) = (0, 0, 0, 0, None);
        self.states.push(Snapshot::default());
    }

    fn newest(&self) -> Snapshot {
        self.states.last().copied().unwrap_or_default()
    }

    /// Where the source is: also what is committed and cannot be read yet.
    pub(super) fn position(&self) -> AsOf {
        self.newest().as_of
    }

    fn push(&mut self, entity: Option<usize>, timeline: Timeline, state: Value) {
        let as_of = AsOf { timeline, at: self.states.len() as u64 };
        let stamp = entity.map_or_else(Stamp::default, |entity| state[entity]);
        self.states.push(Snapshot { as_of, state });
        self.events.push(Event { entity, stamp, as_of, state });
    }

    /// Commits a change of one entity.
    pub(super) fn commit(&mut self, entity: usize) -> Stamp {
        let Snapshot { as_of, mut state } = self.newest();
        let version = state[entity].version.next();
        state[entity] = Stamp { timeline: as_of.timeline, version };
        self.push(Some(entity), as_of.timeline, state);
        state[entity]
    }

    /// The next commit can be read; its event, if there is one.
    pub(super) fn see(&mut self) -> Option<Event> {
        let event = self.events.get(self.visible).copied()?;
        self.visible += 1;
        Some(event)
    }

    /// Commits that cannot be read yet.
    pub(super) fn unseen(&self) -> &[Event] {
        self.events.get(self.visible..).unwrap_or_default()
    }

    pub(super) fn replicate(&mut self) {
        self.replica = (self.replica + 1).min(self.states.len() - 1);
    }

    /// The relay's next event.
    pub(super) fn publish(&mut self) -> Option<Event> {
        let event = self.events.get(self.published).copied()?;
        self.published += 1;
        Some(event)
    }

    /// The replica becomes the primary: what it had not replayed is lost, and its versions will be issued again.
    /// Everything that survives is said again under the new timeline.
    pub(super) fn fail_over(&mut self) -> Value {
        self.zombie = self.states.get(self.visible).copied();
        self.states.truncate(self.replica + 1);
        self.events.truncate(self.replica);
        self.published = self.published.min(self.replica);
        self.timeline += 1;
        let (timeline, mut state) = (Timeline(self.timeline), self.newest().state);
        for stamp in &mut state {
            stamp.timeline = timeline;
        }
        self.push(None, timeline, state);
        self.visible = self.events.len();
        state
    }

    /// What a reader of this key is told; its version only if the source keeps one. `past_fork` is the mutant of a
    /// standby that reports the newest timeline although it has not replayed its beginning.
    pub(super) fn read(&self, key: usize, told: bool, from: From, past_fork: bool) -> Answer<Value> {
        let newest = self.newest().as_of.timeline;
        let index = if from == From::Replica { self.replica } else { self.visible };
        let Snapshot { mut as_of, state: mut value } = match (from, self.zombie) {
            (From::Zombie, Some(zombie)) => zombie,
            _ => self.states.get(index).copied().unwrap_or_default(),
        };
        if past_fork && from != From::Primary {
            as_of.timeline = newest;
            value.iter_mut().for_each(|stamp| stamp.timeline = newest);
        }
        let stamp = (told && key != COMPOSITE).then(|| value[key.min(ENTITIES - 1)]);
        Answer { value, stamp, as_of }
    }

    /// The replica has caught up.
    pub(super) fn settle(&mut self) {
        self.replica = self.states.len() - 1;
    }
}
