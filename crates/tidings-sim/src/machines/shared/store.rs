//! The shared store: two nodes, one of them primary, each holding a control record and the slots of one bucket; and the
//! guards that can be left out of what it does.

use std::fmt;
use std::time::Duration;

use tidings_core::Stamp;
use tidings_core::shared::{
    self, Answer, AsOf, Changed, Content, Control, Epoch, Incarnation, Lease, Line, Looked, Miss, News,
    Overtaken, Phase, Slot, Token, Unheard, Unkept,
};

use super::{KEYS, Told, Value};
use crate::mutant::Mutant;

/// What a node keeps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kept {
    control: Option<Control>,
    slots: [Option<Slot<Value>>; KEYS],
}

#[derive(Debug, Clone, Copy)]
struct Node {
    kept: Kept,
    incarnation: Incarnation,
}

#[derive(Debug)]
pub(super) struct Store {
    nodes: [Node; 2],
    pub(super) primary: usize,
    dump: Kept,
    nonce: u64,
    mutant: Option<Mutant>,
}

/// What a look finds, without a borrow.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    Hit(Answer<Value>),
    /// A fill may be brought with this token; the minimum is noted for a mutant.
    Vacant(Token, AsOf),
    Filling,
    NotLive,
}

impl Store {
    pub(super) fn new() -> Self {
        let node = |n| Node { kept: Kept::default(), incarnation: Incarnation(n) };
        Self { nodes: [node(1), node(2)], primary: 0, dump: Kept::default(), nonce: 2, mutant: None }
    }

    pub(super) fn reset(&mut self, mutant: Option<Mutant>) {
        *self = Self { mutant, ..Self::new() };
    }

    fn lacks(&self, guard: Mutant) -> bool {
        self.mutant == Some(guard)
    }

    /// Never the same twice.
    pub(super) fn nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    /// Which control record a node has, and what it calls itself.
    fn here(&mut self, node: usize) -> Incarnation {
        let Node { kept, incarnation } = self.nodes[node];
        match kept.control {
            Some(control) if self.lacks(Mutant::SharedIncarnation) => control.incarnation,
            None if self.lacks(Mutant::SharedControl) => {
                let line = Line { since: AsOf::default(), position: AsOf::default() };
                let phase = Phase::Live(line);
                self.nodes[node].kept.control = Some(Control { epoch: Epoch(0), incarnation, phase });
                incarnation
            }
            _ => incarnation,
        }
    }

    pub(super) fn look(&mut self, node: usize, key: usize, now: u64, lease: u64) -> Found {
        let (here, token) = (self.here(node), Token(self.nonce()));
        let (now, lease) = (Duration::from_nanos(now), Duration::from_nanos(lease));
        let Kept { control, slots } = &mut self.nodes[node].kept;
        match shared::look(control.as_ref(), &mut slots[key], here, Miss { token, now, lease }) {
            Looked::Hit(answer) => Found::Hit(*answer),
            Looked::Vacant { minimum, .. } => Found::Vacant(token, minimum),
            Looked::Filling => Found::Filling,
            Looked::NotLive(_) => Found::NotLive,
        }
    }

    pub(super) fn fill(
        &mut self,
        node: usize,
        key: usize,
        (token, minimum): (Token, AsOf),
        answer: Answer<Value>,
    ) -> Result<(), Unkept> {
        let (here, mutant) = (self.here(node), self.mutant);
        let Kept { control, slots } = &mut self.nodes[node].kept;
        let (before, slot) = ((*control, slots[key]), &mut slots[key]);
        let epoch = control.map_or(Epoch(0), |control| control.epoch);
        match (mutant, &mut *slot) {
            (Some(Mutant::SharedLease), slot) => {
                let kept = slot.filter(|slot| slot.epoch == epoch);
                let lease = Lease { token, until: Duration::ZERO };
                let mut open = kept.unwrap_or_else(|| Slot::vacant(epoch, minimum, None));
                open.content = Content::Vacant(Some(lease));
                *slot = Some(open);
            }
            (Some(Mutant::SharedFloor), Some(slot)) => slot.floor = Stamp::default(),
            (Some(Mutant::SharedMinimum), Some(slot)) => slot.minimum = AsOf::default(),
            (Some(Mutant::SharedHeard), Some(slot)) => slot.heard = AsOf::default(),
            _ => {}
        }
        let result = shared::fill(control, slot, here, token, answer);
        if mutant == Some(Mutant::SharedLease) && result.is_err() {
            *slot = before.1;
        }
        if let (Some(slot), Some(before)) = (slot, before.1) {
            (slot.floor, slot.minimum, slot.heard) = (before.floor, before.minimum, before.heard);
        }
        if mutant == Some(Mutant::SharedTeaches) {
            *control = before.0;
        }
        result
    }

    /// Takes in news about one key; with a value, the event carries the new state.
    pub(super) fn hear(
        &mut self,
        key: usize,
        news: News,
        carried: Option<Value>,
    ) -> Result<Changed, Unheard> {
        let (node, mutant) = (self.primary, self.mutant);
        let here = self.here(node);
        let Kept { control, slots } = &mut self.nodes[node].kept;
        let (before, slot) = ((*control, slots[key]), &mut slots[key]);
        let Some((epoch, line)) = shared::live(control.as_ref(), here).ok() else {
            return shared::invalidate(control, slot, here, news);
        };
        match mutant {
            Some(Mutant::SharedTimeline) if news.position.timeline > line.since.timeline => {
                let since = AsOf { timeline: news.position.timeline, ..line.since };
                *control =
                    Some(Control { epoch, incarnation: here, phase: Phase::Live(Line { since, ..line }) });
            }
            Some(Mutant::SharedPlaceholder) if slot.is_none_or(|slot| slot.epoch != epoch) => {
                *slot = Some(Slot::vacant(epoch, news.position, None));
            }
            Some(Mutant::SharedUpdate | Mutant::SharedUpdateStart) if carried.is_some() => {
                let least = if mutant == Some(Mutant::SharedUpdate) { AsOf::default() } else { line.since };
                let mut open = slot
                    .filter(|slot| slot.epoch == epoch)
                    .unwrap_or_else(|| Slot::vacant(epoch, least, None));
                open.minimum = open.minimum.min(least);
                *slot = Some(open);
            }
            _ => {}
        }
        let changed = match carried {
            Some(value) => shared::update(control, slot, here, news, value),
            None => shared::invalidate(control, slot, here, news),
        };
        match (mutant, changed) {
            (Some(Mutant::SharedPosition), Ok(Changed::Nothing)) => *control = before.0,
            (Some(Mutant::SharedDrop), Ok(Changed::Dropped)) => {
                if let (Some(slot), Some(before)) = (slot, before.1) {
                    slot.content = before.content;
                }
            }
            _ => {}
        }
        changed
    }

    /// A history begins with a store that has been open for a while.
    pub(super) fn open_at_first(&mut self) {
        if let Some(epoch) = self.claim(None)
            && self.open(epoch, AsOf::default()).is_ok()
        {
            self.replicate();
        }
    }

    /// Begins to open a new epoch at the primary.
    pub(super) fn claim(&mut self, instead_of: Option<Epoch>) -> Option<Epoch> {
        let node = self.primary;
        let (here, nonce) = (self.here(node), self.nonce());
        let counted = self.nodes[node].kept.control.map_or(1, |control| control.epoch.0 + 1);
        let epoch = Epoch(if self.lacks(Mutant::SharedEpoch) { counted } else { nonce });
        let control = &mut self.nodes[node].kept.control;
        shared::claim(control, here, epoch, instead_of).ok().map(|()| epoch)
    }

    pub(super) fn open(&mut self, epoch: Epoch, mut since: AsOf) -> Result<(), Overtaken> {
        if self.lacks(Mutant::SharedSeed) {
            since.at = 0;
        }
        let node = self.primary;
        let here = self.here(node);
        shared::open(&mut self.nodes[node].kept.control, here, epoch, since)
    }

    pub(super) fn is_live(&mut self) -> bool {
        let node = self.primary;
        let here = self.here(node);
        shared::live(self.nodes[node].kept.control.as_ref(), here).is_ok()
    }

    /// What would be served under this key.
    pub(super) fn served(&mut self, key: usize) -> Option<Answer<Value>> {
        let node = self.primary;
        let here = self.here(node);
        let Kept { control, slots } = &self.nodes[node].kept;
        let (epoch, _) = shared::live(control.as_ref(), here).ok()?;
        match slots[key] {
            Some(Slot { epoch: of, content: Content::Kept(answer), .. }) if of == epoch => Some(answer),
            _ => None,
        }
    }

    pub(super) fn evict(&mut self, key: usize) -> bool {
        self.nodes[self.primary].kept.slots[key].take().is_some()
    }

    pub(super) fn evict_control(&mut self) {
        self.nodes[self.primary].kept.control = None;
    }

    /// Everything goes, and the process stays.
    pub(super) fn wipe(&mut self) {
        self.nodes[self.primary].kept = Kept::default();
    }

    pub(super) fn save(&mut self) {
        self.dump = self.nodes[self.primary].kept;
    }

    /// The process starts again from its last dump.
    pub(super) fn restart(&mut self) {
        let incarnation = Incarnation(self.nonce());
        self.nodes[self.primary] = Node { kept: self.dump, incarnation };
    }

    /// The other node is brought up to the primary.
    pub(super) fn replicate(&mut self) {
        self.nodes[1 - self.primary].kept = self.nodes[self.primary].kept;
    }

    /// The other node takes over with what it has; the old one goes on for whoever still talks to it.
    pub(super) fn fail_over(&mut self) {
        self.primary = 1 - self.primary;
        if !self.lacks(Mutant::SharedPromotion) {
            self.nodes[self.primary].incarnation = Incarnation(self.nonce());
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Node { kept: Kept { control, slots }, incarnation } = &self.nodes[self.primary];
        write!(f, "node {}: ", self.primary)?;
        let epoch = match shared::live(control.as_ref(), *incarnation) {
            Ok((epoch, line)) => {
                write!(f, "epoch {} from {}, at {}:", epoch.0, line.since, line.position)?;
                epoch
            }
            Err(why) => return write!(f, "not live ({why:?})"),
        };
        for (key, slot) in slots.iter().enumerate() {
            match slot.filter(|slot| slot.epoch == epoch) {
                None => {}
                Some(Slot { content: Content::Kept(answer), .. }) => write!(f, " {}", Told(key, &answer))?,
                Some(Slot { floor, heard, minimum, .. }) => {
                    write!(f, " k{key}=[floor {floor}, heard {heard}, minimum {minimum}]")?;
                }
            }
        }
        Ok(())
    }
}
