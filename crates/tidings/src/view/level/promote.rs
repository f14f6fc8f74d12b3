//! From the shared level into this copy.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidings_core::Region;
use tidings_core::fence::landing::verdict;
use tidings_core::fence::{Refusal, Turn};
use tidings_core::shared::level::{Kept, Part, Thing};
use tidings_core::shared::{AsOf, Exposed, Ground, Place, promotes};

use super::super::entry::Entry;
use super::super::fill::Fill;
use super::super::flight::Answer;
use super::super::land::things;
use super::super::{Inner, count};
use super::ask::Look;
use super::header::Header;
use super::{Shared, guarded};
use crate::clock::Moment;

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Takes an answer of the shared level in, if nothing that is known here speaks against it and enough is known to
    /// vouch for it.
    pub(super) fn promote(
        &self,
        shared: &Shared<K, V>,
        key: &K,
        kept: &Kept,
        look: &Look,
    ) -> Option<Answer<V>> {
        if self.fence.is_enforced() && self.is_blind(look) {
            return None;
        }
        let (ticket, fill) = (look.fill.ticket(), &look.fill);
        let ground = self.covered(shared, kept, ticket.epoch)?;
        let entry = self.entry_of(shared, kept, look)?;
        let holds = entry.holds.as_slice();
        let now = self.fence.clock().elapsed();
        let epoch = self.epoch.load(Ordering::Acquire);
        let admitted = self.fence.admit(holds, ticket.tick);
        let tick = verdict(admitted, &ticket, epoch, now, self.fence.settings().keep).ok()?;
        entry.good_at.store(tick.0, Ordering::Release);
        let entry = Arc::new(entry);
        self.expose(key, &entry, kept, ground, fill)
            .map_err(|why| self.unsettled(shared, why, ticket.epoch))
            .ok()?;
        let seen = Moment::duration(look.known.0);
        Some(Answer { entry, seen, ticket, refusal: None, is_promoted: true })
    }

    /// What the answer stands on, if its state covers everything that this copy no longer knows, or never heard.
    fn covered(&self, shared: &Shared<K, V>, kept: &Kept, epoch: u32) -> Option<Ground> {
        if !self.fence.is_enforced() {
            return Some(Ground { least: AsOf::default(), covers: self.fence.clock().elapsed() });
        }
        // An answer that depends on nothing is told no news.
        let ground = shared.footing.ground(epoch).filter(|_| !kept.parts.is_empty())?;
        for part in &kept.parts {
            self.covers(ground, part, kept.as_of).map_err(|why| self.unsettled(shared, why, epoch)).ok()?;
        }
        Some(ground)
    }

    /// Asked now, the source's position covers what cannot be told apart any more.
    fn unsettled(&self, shared: &Shared<K, V>, why: Uncovered, epoch: u32) {
        if why == Uncovered::Unknown {
            shared.footing.ask(&self.fence, epoch);
        }
    }

    fn covers(&self, ground: Ground, part: &Part, as_of: AsOf) -> Result<(), Uncovered> {
        let (key, more, timeline) = match &part.thing {
            Thing::Entity(entity) => {
                let timeline = self.fence.timeline_of(entity.kind());
                (self.fence.key(entity.kind(), entity.id()), None, Some(timeline))
            }
            Thing::Region(region) => {
                let every = self.fence.region_key(Region::every().as_str());
                (self.fence.region_key(region.as_str()), Some(every), None)
            }
        };
        if timeline.is_some_and(|timeline| timeline > ground.least.timeline) {
            return Err(Uncovered::Unknown);
        }
        for key in [Some(key), more].into_iter().flatten() {
            if self.fence.forgot_since(key, ground.covers) {
                return Err(Uncovered::Unknown);
            }
            // Of what was read with its version, floors say which news it lacks.
            let place = match part.stamp {
                Some(_) => Place::default(),
                None => self.fence.place_of(key).ok_or(Uncovered::Unknown)?,
            };
            reaches(ground, place, as_of)?;
        }
        Ok(())
    }

    /// What would become visible; `None` if it is not understood, or its time is over.
    fn entry_of(&self, shared: &Shared<K, V>, kept: &Kept, look: &Look) -> Option<Entry<V>> {
        let (header, bytes) = Header::read(&kept.value)?;
        let decode = || if header.is_absent { Some(None) } else { (shared.decode)(bytes).map(Some) };
        let value = guarded(decode).unwrap_or_else(|| {
            count(&self.counts.defects);
            None
        })?;
        for Part { thing, stamp } in &kept.parts {
            match (thing, stamp) {
                (Thing::Entity(entity), Some(stamp)) => {
                    look.fill.depends_at(entity.kind(), entity.id(), *stamp)
                }
                (Thing::Entity(entity), None) => look.fill.depends_unversioned(entity.kind(), entity.id()),
                (Thing::Region(region), _) => {
                    let (name, value) = region.as_str().split_once('/')?;
                    look.fill.depends_on_region(name, value);
                }
            }
        }
        let now = self.fence.clock().elapsed();
        // Nobody lives longer by going through the shared level, nor beyond a boundary.
        let end = Moment::of(self.fence.surely_before(header.until));
        let (soft, hard) = self.life(now, end);
        if hard <= Moment::of(now) {
            return None;
        }
        Some(Entry {
            good_at: AtomicU64::new(0),
            holds: look.fill.holds().ok()?.into(),
            own: header.own,
            epoch: look.fill.ticket().epoch,
            as_of: look.known,
            followed: true,
            soft,
            hard,
            refreshing: AtomicBool::new(false),
            things: Some(things(&kept.parts)),
            value,
        })
    }

    /// Makes it visible, unless a newer state may have been shown under this key.
    fn expose(
        &self,
        key: &K,
        entry: &Arc<Entry<V>>,
        kept: &Kept,
        ground: Ground,
        fill: &Fill,
    ) -> Result<(), Uncovered> {
        let (as_of, answer) = (kept.as_of, self.fence.bytes_key(&kept.value));
        let (hash, deck) = self.deck(key);
        let mut deck = deck.lock();
        if self.fence.is_enforced() {
            // With a version or without: an absence that was shown has none.
            let exposed = deck.exposed.of(hash);
            reaches(ground, exposed.place(), as_of)?;
            if !exposed.is_reached(as_of, answer) {
                return Err(Uncovered::Behind);
            }
            deck.shown.check(hash, fill.reading(), self.fence.tick())?;
        }
        if entry.is_unversioned() {
            let turn = Turn(self.turn.fetch_add(1, Ordering::AcqRel) + 1);
            let now = self.fence.clock().elapsed();
            deck.shown.note(hash, None, turn, now);
            deck.exposed.note(hash, Exposed::of(Some(as_of), Some(answer), now));
        }
        self.cache.insert(key.clone(), entry.clone());
        Ok(())
    }
}

/// Why an answer may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Uncovered {
    /// It was read from too old a state.
    Behind,
    /// Nobody can tell.
    Unknown,
}

impl From<Refusal> for Uncovered {
    fn from(_: Refusal) -> Self {
        Self::Behind
    }
}

fn reaches(ground: Ground, place: Place, as_of: AsOf) -> Result<(), Uncovered> {
    let passage = ground.passage(place).map_err(|_| Uncovered::Unknown)?;
    promotes(None, as_of, passage).map_err(|_| Uncovered::Behind)
}
