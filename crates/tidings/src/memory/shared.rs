//! A shared level in memory: one bucket, over the functions of [`tidings_core::shared`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidings_core::port::{Batch, Boxed, Store};
use tidings_core::shared::level::{
    Bypass, Claim, Found, Kept, Key, Level, Missed, Offer, Part, Source, Thing, Unfilled,
};
use tidings_core::shared::{
    AsOf, Changed, Content, Control, Epoch, Incarnation, Looked, Miss, News, Note, Slot, Standing, Token,
    Unheard, abandon, bump_all, claim, fill_derived, invalidate, live, look_derived, open, position_of,
};
use tidings_core::{Action, Code, Error, Partition, Region, Result};

use crate::clock::Clock;

/// A shared level within one process: for tests, and for several views or copies that share their loads. The same value
/// is the level that views ask and the store that a consumer feeds.
pub struct MemoryLevel {
    source: Arc<dyn Source>,
    clock: Clock,
    lease: Duration,
    capacity: usize,
    bucket: Mutex<Bucket>,
}

struct Stored {
    value: Box<[u8]>,
    parts: Vec<Part>,
    flags: u8,
    soft: Duration,
    hard: Duration,
}

#[derive(Default)]
struct Bucket {
    /// Of tokens and epochs. The store is gone when this is.
    last: u64,
    incarnation: u64,
    control: Option<Control>,
    least: AsOf,
    slots: BTreeMap<Key, Option<Slot<Stored>>>,
    /// The order in which slots were made.
    made: VecDeque<Key>,
    notes: BTreeMap<Thing, Option<Note>>,
}

/// Told again so often while a bucket is being opened by somebody else.
const ATTEMPTS: u32 = 8;

impl MemoryLevel {
    /// A level for answers of one source, empty and not yet live: its consumer opens it. Others wait for a load for at
    /// most `lease`; it keeps so many answers.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, clock: Clock, lease: Duration, capacity: usize) -> Arc<Self> {
        Arc::new(Self { source, clock, lease, capacity, bucket: Mutex::default() })
    }

    /// Loses everything, as a server does that is flushed: not live until it is opened again.
    pub fn flush(&self) {
        let mut bucket = self.bucket.lock();
        *bucket = Bucket { last: bucket.last, incarnation: bucket.incarnation + 1, ..Bucket::default() };
    }

    /// Comes back as another, with what it held: not live until it is opened again.
    pub fn fail_over(&self) {
        self.bucket.lock().incarnation += 1;
    }

    /// How many answers and placeholders are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bucket.lock().slots.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes it live, if it is not.
    ///
    /// # Errors
    /// The source does not say where it stands.
    pub async fn tend(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let live = {
                let bucket = self.bucket.lock();
                live(bucket.control.as_ref(), Incarnation(bucket.incarnation))
            };
            match live {
                Ok(_) => return Ok(()),
                Err(_) => self.open(None).await?,
            }
        }
        Err(stays_closed())
    }

    /// Both halves of an opening. If somebody else was faster, it is theirs.
    async fn open(&self, instead_of: Option<Epoch>) -> Result<()> {
        let epoch = {
            let mut bucket = self.bucket.lock();
            let (epoch, here) = (Epoch(bucket.next()), Incarnation(bucket.incarnation));
            if claim(&mut bucket.control, here, epoch, instead_of).is_err() {
                return Ok(());
            }
            epoch
        };
        let since = self.source.position().await?;
        let mut bucket = self.bucket.lock();
        let here = Incarnation(bucket.incarnation);
        if open(&mut bucket.control, here, epoch, since).is_ok() {
            bucket.least = since;
        }
        Ok(())
    }

    /// Tells one piece of news; opens an epoch first where that is needed.
    async fn tell(&self, thing: Option<&Thing>, news: News) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let told = self.bucket.lock().hear(thing, news);
            match told {
                Ok(()) => return Ok(()),
                Err(Unheard::NotLive(_)) => self.open(None).await?,
                Err(Unheard::NewTimeline(old)) => self.open(Some(old)).await?,
            }
        }
        Err(stays_closed())
    }
}

fn stays_closed() -> Error {
    Error::new(Code::BUSY, "the shared level in memory is being opened by somebody else")
}

impl Bucket {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn hear(&mut self, thing: Option<&Thing>, news: News) -> Result<(), Unheard> {
        let here = Incarnation(self.incarnation);
        match thing {
            None => bump_all(&mut self.control, &mut self.least, here, news.position),
            Some(thing) => {
                let mut absent = None;
                let note = self.notes.get_mut(thing).unwrap_or(&mut absent);
                let _: Changed = invalidate(&mut self.control, note, here, news)?;
                Ok(())
            }
        }
    }

    /// Runs a step on a slot and the notes of some things.
    fn with<T>(
        &mut self,
        key: &Key,
        parts: &[Part],
        step: impl FnOnce(
            &mut Option<Control>,
            AsOf,
            &mut Option<Slot<Stored>>,
            &mut [(&mut Option<Note>, Option<tidings_core::Stamp>)],
        ) -> T,
    ) -> T {
        let mut slot = self.slots.remove(key).unwrap_or_default();
        let mut notes: Vec<_> =
            parts.iter().map(|part| self.notes.get(&part.thing).copied().flatten()).collect();
        let mut both: Vec<_> = notes.iter_mut().zip(parts).map(|(note, part)| (note, part.stamp)).collect();
        let done = step(&mut self.control, self.least, &mut slot, &mut both);
        for (part, note) in parts.iter().zip(notes) {
            self.notes.insert(part.thing.clone(), note);
        }
        if slot.is_some() {
            self.slots.insert(key.clone(), slot);
        }
        done
    }

    fn look(&mut self, key: &Key, expects: &[Thing], lease: Duration, now: Duration) -> Found {
        let (token, here) = (Token(self.next()), Incarnation(self.incarnation));
        let missed = match self.slots.get(key).and_then(Option::as_ref).map(|slot| &slot.content) {
            Some(Content::Kept(answer)) if answer.value.hard <= now => {
                self.slots.remove(key);
                Missed::Absent
            }
            Some(Content::Kept(_)) => Missed::Outdated,
            Some(Content::Vacant(_)) => Missed::Lapsed,
            None => Missed::Absent,
        };
        let parts = match self.slots.get(key).and_then(Option::as_ref).map(|slot| &slot.content) {
            Some(Content::Kept(answer)) => answer.value.parts.clone(),
            _ => Vec::new(),
        };
        let found = self.with(key, &parts, |control, least, slot, notes| {
            let miss = Miss { token, now, lease };
            let held = slot.as_ref().and_then(|slot| match slot.content {
                Content::Vacant(Some(lease)) => Some(lease.until),
                _ => None,
            });
            match look_derived(control.as_ref(), least, slot, notes, here, miss) {
                Looked::Hit(answer) => Found::Hit(Kept {
                    value: answer.value.value.clone(),
                    parts: answer.value.parts.clone(),
                    as_of: answer.as_of,
                    soft: answer.value.soft <= now,
                    flags: answer.value.flags,
                }),
                Looked::Vacant { minimum, .. } => {
                    let minimum = minimum.max(least);
                    Found::Claim(Claim { key: key.clone(), token, minimum, floors: Vec::new(), missed })
                }
                Looked::Filling => Found::Wait(held.unwrap_or_default().saturating_sub(now)),
                Looked::NotLive(why) => Found::Bypass(Bypass::NotLive(why)),
            }
        });
        match found {
            Found::Claim(claim) => Found::Claim(self.expect(claim, expects, here)),
            found => found,
        }
    }

    /// Makes the notes of what is expected, and adds what they ask to the claim.
    fn expect(&mut self, mut claim: Claim, expects: &[Thing], here: Incarnation) -> Claim {
        let Ok(standing) = Standing::of(self.control.as_ref(), here, self.least) else { return claim };
        for thing in expects {
            let note = standing.note(self.notes.entry(thing.clone()).or_default());
            claim.floors.push(note.floor);
            claim.minimum = claim.minimum.max(note.minimum);
        }
        self.made.push_back(claim.key.clone());
        claim
    }

    /// What is beyond the limits goes, the oldest first. Losing a note is harmless: it is made again at the position of
    /// the bucket.
    fn enforce(&mut self, capacity: usize) {
        while self.slots.len() > capacity {
            let Some(key) = self.made.pop_front() else { break };
            self.slots.remove(&key);
        }
        if self.made.len() > 4 * capacity.max(16) {
            let mut seen = BTreeSet::new();
            let slots = &self.slots;
            self.made.retain(|key| slots.contains_key(key) && seen.insert(key.clone()));
        }
        if self.notes.len() > 4 * capacity.max(16) {
            self.notes.clear();
        }
    }
}

impl Level for MemoryLevel {
    fn lookup<'a>(&'a self, key: &'a Key, expects: &'a [Thing]) -> Boxed<'a, Found> {
        let mut bucket = self.bucket.lock();
        let found = bucket.look(key, expects, self.lease, self.clock.elapsed());
        bucket.enforce(self.capacity);
        Box::pin(std::future::ready(found))
    }

    fn fill<'a>(&'a self, claim: &'a Claim, offer: Offer<'a>) -> Boxed<'a, Result<(), Unfilled>> {
        let now = self.clock.elapsed();
        let stored = Stored {
            value: offer.value.into(),
            parts: offer.parts.to_vec(),
            flags: offer.flags,
            soft: now.saturating_add(offer.soft.unwrap_or(offer.hard)),
            hard: now.saturating_add(offer.hard),
        };
        let mut bucket = self.bucket.lock();
        let here = Incarnation(bucket.incarnation);
        let filled = bucket.with(&claim.key, offer.parts, |control, least, slot, notes| {
            fill_derived(control, least, slot, notes, here, claim.token, stored, offer.as_of)
        });
        Box::pin(std::future::ready(filled.map_err(Unfilled::Refused)))
    }

    fn abandon<'a>(&'a self, claim: &'a Claim) -> Boxed<'a, ()> {
        if let Some(slot) = self.bucket.lock().slots.get_mut(&claim.key) {
            abandon(slot, claim.token);
        }
        Box::pin(std::future::ready(()))
    }
}

impl Store for MemoryLevel {
    /// What it missed, it has missed: it begins anew.
    fn begin<'a>(&'a self, _: &'a str, _: &'a [Partition]) -> Boxed<'a, Result<()>> {
        self.open_epoch("a consumer begins")
    }

    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            if batch.actions.is_empty() {
                return Ok(());
            }
            let events = || batch.events.iter().chain(batch.parked);
            let is_told = events().next().is_some() && events().all(|event| position_of(event).is_some());
            // Read now, the source's position is at or after every event of the batch.
            let now = if is_told { AsOf::default() } else { self.source.position().await? };
            let newest = events().filter_map(|event| position_of(event)).max().unwrap_or(now).max(now);
            for action in batch.actions {
                match action {
                    Action::Raise { entity, floor } => {
                        let own = events().filter(|event| event.entity == *entity);
                        let own = own.filter_map(|event| position_of(event)).max();
                        let position = own.filter(|_| is_told).unwrap_or(newest);
                        let news = News { stamp: Some(*floor), position };
                        self.tell(Some(&Thing::Entity(entity.clone())), news).await?;
                    }
                    Action::Bump { region } => {
                        let thing = Thing::Region(region.clone());
                        let thing = (*region != Region::every()).then_some(&thing);
                        self.tell(thing, News { stamp: None, position: newest }).await?;
                    }
                    Action::Refresh { .. } | Action::Update { .. } => {}
                }
            }
            Ok(())
        })
    }

    fn open_epoch<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let current = {
                let bucket = self.bucket.lock();
                live(bucket.control.as_ref(), Incarnation(bucket.incarnation)).ok()
            };
            self.open(current.map(|(epoch, _)| epoch)).await
        })
    }
}

impl std::fmt::Debug for MemoryLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryLevel").field("len", &self.len()).finish_non_exhaustive()
    }
}
