//! A member of the group that tells the shared level what has happened, and opens its epochs.

use tidings_core::shared::{AsOf, Epoch, News, NotLive, Unheard};

use super::source::{Event, Source};
use super::store::Store;
use super::witness::Witness;
use super::{COMPOSITE, SHARED};
use crate::mutant::Mutant;

/// How far a member is with opening an epoch.
#[derive(Debug, Clone, Copy)]
enum Opening {
    /// Claimed; the source is to be asked.
    Claimed(Epoch),
    /// The source has answered.
    Read(Epoch, AsOf),
    /// The mutant: the source has answered, and nothing is claimed yet.
    Unclaimed(Option<Epoch>, AsOf),
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stepped {
    Idle,
    Heard,
    Waits,
    Opens,
    Opened,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Member {
    /// Where in the log it reads next.
    pub(super) next: usize,
    /// The first of an event's keys has been told.
    half: bool,
    opening: Option<Opening>,
    /// The mutant: the source's position, read before a claim, until one succeeds.
    read: Option<AsOf>,
}

impl Member {
    /// Starts again from what the group has committed.
    pub(super) fn start(&mut self, committed: usize) {
        *self = Self { next: committed, half: false, opening: None, read: None };
    }

    /// One step: one key of one event, or one of the steps that open an epoch. `patient` waits for another's opening.
    pub(super) fn step(
        &mut self,
        log: &[Event],
        source: &Source,
        store: &mut Store,
        witness: &mut Witness,
        mutant: Option<Mutant>,
        (patient, carries): (bool, bool),
    ) -> Stepped {
        match self.opening.take() {
            Some(Opening::Claimed(epoch)) => {
                self.opening = Some(Opening::Read(epoch, source.position()));
                return Stepped::Opens;
            }
            Some(Opening::Read(epoch, since)) => return opened(store.open(epoch, since).is_ok()),
            Some(Opening::Unclaimed(instead_of, since)) => {
                let claimed = store.claim(instead_of);
                self.read = self.read.filter(|_| claimed.is_none());
                return opened(claimed.is_some_and(|epoch| store.open(epoch, since).is_ok()));
            }
            None => {}
        }
        let Some(event) = log.get(self.next) else {
            // Nothing to tell, and still somebody must open what is closed.
            return if store.is_live() || patient {
                Stepped::Idle
            } else {
                self.claim(None, source, store, mutant)
            };
        };
        match tell(event, self.half, store, witness, carries) {
            Ok(()) if self.half || event.entity.is_none() => {
                (self.next, self.half) = (self.next + 1, false);
                Stepped::Heard
            }
            Ok(()) => {
                self.half = true;
                Stepped::Heard
            }
            Err(Unheard::NotLive(NotLive::Opening)) if patient => Stepped::Waits,
            Err(Unheard::NotLive(_)) => self.claim(None, source, store, mutant),
            Err(Unheard::NewTimeline(epoch)) => self.claim(Some(epoch), source, store, mutant),
        }
    }

    fn claim(
        &mut self,
        instead_of: Option<Epoch>,
        source: &Source,
        store: &mut Store,
        mutant: Option<Mutant>,
    ) -> Stepped {
        self.opening = if mutant == Some(Mutant::SharedClaim) {
            Some(Opening::Unclaimed(instead_of, *self.read.get_or_insert_with(|| source.position())))
        } else {
            store.claim(instead_of).map(Opening::Claimed)
        };
        Stepped::Opens
    }
}

const fn opened(done: bool) -> Stepped {
    if done { Stepped::Opened } else { Stepped::Opens }
}

/// Tells the shared level about one of the two keys that an event concerns: the entity's own, then the composite.
pub(super) fn tell(
    event: &Event,
    second: bool,
    store: &mut Store,
    witness: &mut Witness,
    carries: bool,
) -> Result<(), Unheard> {
    let position = event.as_of;
    let Some(entity) = event.entity else {
        return store.hear(COMPOSITE, News { stamp: None, position }, None).map(|_| ());
    };
    let (key, news) = if second {
        (COMPOSITE, News { stamp: None, position })
    } else {
        (entity, News { stamp: Some(event.stamp), position })
    };
    let carried = (carries && !second).then_some(event.state);
    store.hear(key, news, carried)?;
    witness.applied(SHARED, key, entity, event.stamp);
    Ok(())
}
