//! The miss path: one load per key, a ticket before it reads, the accept rule when it lands.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tidings_core::certificate::{Cause, Certificate, Freshness, Path};
use tidings_core::fence::landing::{Claim, Doubt, Ticket, claim, is_no_use, is_worth_repeating};
use tidings_core::fence::{Fingerprint, Held, Tick, Turn};
use tidings_core::retry::Backoff;
use tidings_core::truth::OnFailure;
use tidings_core::{Code, Error, Result};

use super::entry::Entry;
use super::fill::{BoxError, Fill, Loaded};
use super::flight::{Answer, Deck, Flight, Landing};
use super::level::{Asked, Errand, Via};
use super::{ATTEMPTS, DECKS, Inner, count};
use crate::cached::Cached;
use crate::fence::Hold;

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// A hit past its soft time to live: one caller loads, the others are served.
    pub(super) async fn renew<L, F>(&self, key: &K, hit: Cached<V>, load: &L) -> Cached<V>
    where
        L: Fn(Fill) -> F,
        F: Future<Output = Result<Loaded<V>, BoxError>>,
    {
        let Some(renewal) = Renewal::begin(hit.entry()) else { return hit };
        let Some(_renewal) = self.in_background(key, Via::Source, renewal) else { return hit };
        self.fill(key, None, Via::Source, load).await.unwrap_or(hit)
    }

    /// An entry that nothing is known against, and not enough for.
    pub(super) async fn resolve<L, F>(
        &self,
        key: &K,
        entry: Arc<Entry<V>>,
        doubt: Doubt,
        load: &L,
    ) -> Result<Cached<V>>
    where
        L: Fn(Fill) -> F,
        F: Future<Output = Result<Loaded<V>, BoxError>>,
    {
        // After an epoch, everything is doubtful at once: one caller checks each key, the others are told the truth.
        let renewal = Renewal::begin(&entry);
        if renewal.is_none() && doubt == Doubt::Unverified && self.on_failure == OnFailure::Label {
            count(&self.counts.unverified);
            return Ok(labelled(entry, Path::L1, Freshness::Unverified));
        }
        self.fill(key, Some((&entry, doubt)), Via::Source, load).await
    }

    /// Loads, or waits for a load in the air.
    pub(super) async fn fill<L, F>(
        &self,
        key: &K,
        old: Option<(&Arc<Entry<V>>, Doubt)>,
        via: Via,
        load: &L,
    ) -> Result<Cached<V>>
    where
        L: Fn(Fill) -> F,
        F: Future<Output = Result<Loaded<V>, BoxError>>,
    {
        let (began, arrived) = (self.fence.clock().elapsed(), self.fence.tick());
        count(&self.counts.misses);
        loop {
            let (flight, leads) = self.board(key);
            let landing = if leads {
                let pilot = Pilot { inner: self, key, flight: &flight };
                let landing = self.load(key, &flight, via, load).await;
                pilot.land(landing)
            } else {
                count(&self.counts.coalesced);
                self.wait_for(key, &flight).await
            };
            match landing {
                Landing::Abandoned => {}
                Landing::Failed(error) => return self.serve_old(old, error),
                Landing::Answer(answer) if !leads && self.is_no_use(&answer, began, arrived) => {}
                Landing::Answer(answer) => {
                    self.notice_missed(old, &answer.entry);
                    let path = match (leads, answer.is_promoted) {
                        (true, true) => Path::L2,
                        (true, false) => Path::Source,
                        (false, _) => Path::Coalesced,
                    };
                    return self.certify(answer, began, path);
                }
            }
        }
    }

    /// Waits for another's load, but not for ever: that caller may have stopped polling it.
    async fn wait_for(&self, key: &K, flight: &Arc<Flight<V>>) -> Landing<V> {
        let landed = tokio::time::timeout(self.load_timeout, flight.landed()).await;
        landed.unwrap_or_else(|_| {
            self.leave(key, flight);
            Landing::Abandoned
        })
    }

    fn is_no_use(&self, answer: &Answer<V>, began: Duration, arrived: Tick) -> bool {
        // The source can say more than the marks that vouch for an answer of the shared level.
        let is_old = answer.is_promoted && began.saturating_sub(answer.seen) > self.bound;
        is_old || is_no_use(answer.refusal.is_some(), &answer.ticket, arrived, began, self.bound)
    }

    fn board(&self, key: &K) -> (Arc<Flight<V>>, bool) {
        let (hash, deck) = self.deck(key);
        deck.lock().board(key, hash, self.epoch.load(Ordering::Acquire))
    }

    async fn load<L, F>(&self, key: &K, flight: &Flight<V>, via: Via, load: &L) -> Landing<V>
    where
        L: Fn(Fill) -> F,
        F: Future<Output = Result<Loaded<V>, BoxError>>,
    {
        // Outside the bulkhead, which is the source's.
        let errand = match self.ask_level(key, flight, via).await {
            Asked::Promoted(answer) => return Landing::Answer(answer),
            Asked::Load(errand) => errand,
        };
        let attempts = async {
            let Ok(_permit) = self.bulkhead.acquire().await else {
                return Landing::Failed(Error::new(Code::STOPPING, format!("view {}", self.name)));
            };
            self.attempts(key, flight, errand, load).await
        };
        let landing = tokio::time::timeout(self.load_timeout, attempts).await.unwrap_or_else(|_| {
            let what = format!("a load of view {} did not end within {:?}", self.name, self.load_timeout);
            Landing::Failed(Error::new(Code::LOAD_TIMEOUT, what))
        });
        if matches!(landing, Landing::Failed(_)) {
            count(&self.counts.load_failures);
        }
        landing
    }

    async fn attempts<L, F>(&self, key: &K, flight: &Flight<V>, mut errand: Errand, load: &L) -> Landing<V>
    where
        L: Fn(Fill) -> F,
        F: Future<Output = Result<Loaded<V>, BoxError>>,
    {
        for attempt in 1.. {
            count(&self.counts.loads);
            let fill = errand.first.take().unwrap_or_else(|| self.take_off(flight));
            let loaded = match load(fill.clone()).await {
                Ok(loaded) => loaded,
                Err(cause) => {
                    let what = format!("a load of view {} failed", self.name);
                    return Landing::Failed(Error::new(Code::LOAD_FAILED, what).because(cause));
                }
            };
            let holds = match fill.holds() {
                Ok(holds) => holds,
                Err(invalid) => return Landing::Failed(invalid.at(format!("a load of view {}", self.name))),
            };
            let is_last = attempt >= ATTEMPTS;
            let behind = errand.shows_behind(&fill);
            let (entry, refusal) = self.land(key, loaded, holds, &fill, (is_last, behind));
            if is_last || !is_worth_repeating(refusal) {
                if refusal.is_none() {
                    self.offer(key, errand, &entry, &fill);
                }
                let (seen, ticket) = (fill.seen(), fill.ticket());
                return Landing::Answer(Answer { entry, seen, ticket, refusal, is_promoted: false });
            }
            self.pause(attempt).await;
        }
        Landing::Abandoned
    }

    /// Takes the ticket of a load, before anything is read: of the shared level or of the source.
    pub(super) fn take_off(&self, flight: &Flight<V>) -> Fill {
        let turn = Turn(self.turn.load(Ordering::Acquire));
        let fill = Fill::new(self.fence.clone(), self.ticket(), turn, self.level.is_some());
        flight.takes_off(fill.clone());
        fill
    }

    fn ticket(&self) -> Ticket {
        Ticket {
            epoch: self.epoch.load(Ordering::Acquire),
            tick: self.fence.tick(),
            started: self.fence.clock().elapsed(),
        }
    }

    /// What can be said of an answer to a read that began at `began`.
    fn certify(&self, answer: Answer<V>, began: Duration, path: Path) -> Result<Cached<V>> {
        let Answer { entry, seen, refusal, is_promoted, .. } = answer;
        let path = if refusal.is_none() { path } else { Path::SourceUnkept };
        let behind = || {
            let what = format!("view {}: the source is behind what is already known", self.name);
            Error::new(Code::SOURCE_BEHIND, what)
        };
        match claim(refusal, seen, began, self.bound, self.on_failure) {
            Claim::Beyond(cause) => self.beyond(entry, path, cause, behind()),
            Claim::Refused => Err(behind()),
            // It was not read from the source after the read began, however much this copy knows.
            Claim::Is(Freshness::Fresh) if is_promoted => {
                Ok(labelled(entry, path, Freshness::Within(Duration::ZERO)))
            }
            Claim::Is(freshness) => {
                if freshness == Freshness::Unverified {
                    count(&self.counts.unverified);
                }
                Ok(labelled(entry, path, freshness))
            }
        }
    }

    /// The source failed: what is held may still do, by class, if nothing is known against it even now.
    fn serve_old(&self, old: Option<(&Arc<Entry<V>>, Doubt)>, error: Error) -> Result<Cached<V>> {
        match old {
            Some((entry, Doubt::TooOld | Doubt::Unverified))
                if self.fence.stands(entry.holds.as_slice(), &entry.good_at) =>
            {
                self.beyond(entry.clone(), Path::L1, Cause::SourceFailed, error)
            }
            _ => Err(error),
        }
    }

    fn beyond(&self, entry: Arc<Entry<V>>, path: Path, cause: Cause, error: Error) -> Result<Cached<V>> {
        match self.on_failure {
            OnFailure::Refuse => Err(error),
            OnFailure::Label => {
                count(&self.counts.stale);
                Ok(labelled(entry, path, Freshness::Stale(cause)))
            }
        }
    }

    /// The time to live is a sensor too: what it corrects, an event should have.
    fn notice_missed(&self, old: Option<(&Arc<Entry<V>>, Doubt)>, new: &Entry<V>) {
        let Some((old, Doubt::Expired)) = old else { return };
        let newer = |hold: &Hold| {
            let Held::At(seen) = hold.held() else { return false };
            let before = old.holds.as_slice().iter().find(|old| old.key == hold.key);
            before.is_some_and(|old| matches!(old.held(), Held::At(old) if old < seen))
        };
        if new.holds.as_slice().iter().any(newer) {
            count(&self.counts.corrected_by_ttl);
        }
    }

    pub(super) async fn pause(&self, attempt: u32) {
        let backoff = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(50) };
        tokio::time::sleep(backoff.wait(attempt, self.dice.load(Ordering::Relaxed))).await;
    }

    /// A number from 0 to 1 that differs from call to call: a multiplicative step of Weyl's sequence.
    pub(super) fn roll(&self) -> f64 {
        let step = self.dice.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        f64::from(u32::try_from(step >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }
}

impl<K: Hash + Eq, V> Inner<K, V> {
    fn leave(&self, key: &K, left: &Arc<Flight<V>>) {
        self.deck(key).1.lock().leave(key, left);
    }

    /// Where this key's loads are kept, and under which hash what it has shown.
    pub(super) fn deck(&self, key: &K) -> (Fingerprint, &Mutex<Deck<K, V>>) {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        (Fingerprint(hash), &self.decks[usize::try_from(hash).unwrap_or(0) % DECKS])
    }
}

fn labelled<V>(entry: Arc<Entry<V>>, path: Path, freshness: Freshness) -> Cached<V> {
    let certificate = Certificate { version: entry.version(), path, freshness };
    Cached::new(entry, certificate)
}

/// The one caller who replaces an entry. Ends when dropped, whatever came of it.
pub(super) struct Renewal<V>(Arc<Entry<V>>);

impl<V> Renewal<V> {
    fn begin(entry: &Arc<Entry<V>>) -> Option<Self> {
        (!entry.refreshing.swap(true, Ordering::AcqRel)).then(|| Self(entry.clone()))
    }
}

impl<V> Drop for Renewal<V> {
    fn drop(&mut self) {
        self.0.refreshing.store(false, Ordering::Release);
    }
}

/// The caller who loads. If it goes away before landing, those who wait are told.
struct Pilot<'a, K: Hash + Eq, V> {
    inner: &'a Inner<K, V>,
    key: &'a K,
    flight: &'a Arc<Flight<V>>,
}

impl<K: Hash + Eq, V> Pilot<'_, K, V> {
    fn land(self, landing: Landing<V>) -> Landing<V> {
        self.flight.land(landing.clone());
        landing
    }
}

impl<K: Hash + Eq, V> Drop for Pilot<'_, K, V> {
    fn drop(&mut self) {
        self.inner.leave(self.key, self.flight);
        self.flight.abandon();
    }
}
