//! Where the source was when it made what was heard here: asked when an answer of a shared level wants to come in.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tidings_core::fence::Fingerprint;
use tidings_core::port::Batch;
use tidings_core::shared::{AsOf, Place, Places, position_of};
use tidings_core::{Action, Entity};

/// Of so many entities and regions, and at most twice as many: some 8 MiB.
const REMEMBERED: usize = 1 << 16;

/// The positions of news, once somebody wants to know them.
#[derive(Default)]
pub(super) struct News(Mutex<Option<Places>>);

impl News {
    /// From now on. What came earlier lies before whatever position is asked of the source later.
    pub(super) fn follow(&self) {
        self.0.lock().get_or_insert_with(|| Places::new(REMEMBERED));
    }

    /// News that does not tell its position.
    pub(super) fn unplaced(&self, key: Fingerprint, now: Duration) {
        if let Some(places) = &mut *self.0.lock() {
            places.note(key, Place::of(None, now));
        }
    }

    /// Notes what a batch is about to tell, under the keys that `key` finds. Before any of it takes effect: whoever reads
    /// the order of now, and then a place, has the place of everything that counts in that order.
    pub(super) fn note(
        &self,
        batch: &Batch<'_>,
        now: Duration,
        key: impl Fn(&Action) -> Option<Fingerprint>,
    ) {
        let mut places = self.0.lock();
        let Some(places) = places.as_mut() else { return };
        let told = positions(batch);
        let all = told.values().copied().collect::<Option<Vec<_>>>();
        // A region was bumped by some event of the batch.
        let newest = all.and_then(|all| all.into_iter().max());
        for action in batch.actions {
            let position = match action {
                Action::Raise { entity, .. } => told.get(entity).copied().flatten(),
                _ => newest,
            };
            if let Some(key) = key(action) {
                places.note(key, Place::of(position, now));
            }
        }
    }

    /// How new the newest news of it may be.
    pub(super) fn of(&self, key: Fingerprint) -> Option<Place> {
        self.0.lock().as_ref().map(|places| places.of(key))
    }
}

/// The newest position that the batch's events tell of each entity; `None` if one of them tells none.
fn positions<'a>(batch: &Batch<'a>) -> BTreeMap<&'a Entity, Option<AsOf>> {
    let mut positions = BTreeMap::new();
    for event in batch.events.iter().chain(batch.parked) {
        let told = position_of(event);
        let known = positions.entry(&event.entity).or_insert(told);
        *known = known.zip(told).map(|(known, told)| known.max(told));
    }
    positions
}
