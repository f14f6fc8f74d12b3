//! A named family of cached answers.
//!
//! The engine underneath keeps and evicts; everything that makes an answer *right* is here and in the fence: every
//! read asks whether the entry still stands, how long this copy may have been blind, and whether its life is over.
//!
//! - [`ViewBuilder`]: settings, checked once, derived from the truth class;
//! - `look`: the synchronous hit path;
//! - `load`: one load per key, and its ticket;
//! - `land`: the rule by which it is kept;
//! - `level`: the second level that processes share, in front of the source;
//! - `background`: what the consumer asks for: epochs, refresh, update.

use std::hash::Hash;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tidings_core::certificate::{Certificate, Path};
use tidings_core::fence::{Fingerprint, Held};
use tidings_core::port::Boxed;
use tidings_core::truth::OnFailure;
use tidings_core::{Code, Entity, Error, Freshness, Result, Stamp, Topic, Truth};
use tokio::sync::Semaphore;

use crate::cached::Cached;
use crate::clock::Moment;
use crate::fence::{Fence, Hold};

mod background;
mod builder;
mod counts;
pub(crate) mod entry;
mod fill;
mod flight;
mod land;
mod level;
mod load;
mod look;

pub use builder::ViewBuilder;
pub use counts::ViewCounts;
pub use fill::{BoxError, Fill, Loaded};
pub use level::Shared;

use builder::{Parse, Updater};
use counts::{Counters, count};
use entry::Entry;
use flight::Deck;
use level::Via;
use look::Look;

/// A loader that lives in a view; see [`ViewBuilder::loader`].
type Resident<K, V> = Arc<dyn Fn(K, Fill) -> Boxed<'static, Result<Loaded<V>, BoxError>> + Send + Sync>;

/// A view: `get` an answer, and know how fresh it is. Cheap to clone; clones share everything.
pub struct View<K, V>(Arc<Inner<K, V>>);

pub(crate) struct Inner<K, V> {
    name: Arc<str>,
    me: Weak<Self>,
    fence: Arc<Fence>,
    on_failure: OnFailure,
    bound: Duration,
    bound_units: u32,
    soft: Duration,
    hard: Duration,
    jitter: f64,
    load_timeout: Duration,
    sources: Vec<Topic>,
    loader: Option<Resident<K, V>>,
    parse: Option<Parse<K>>,
    updater: Option<Updater<K, V>>,
    level: Option<Shared<K, V>>,
    cache: Cache<K, Arc<Entry<V>>>,
    epoch: AtomicU32,
    /// Everything committed before this moment is known here, by the marks of all sources.
    known: AtomicU32,
    decks: [Mutex<Deck<K, V>>; DECKS],
    /// How many answers without versions were shown.
    turn: AtomicU64,
    bulkhead: Semaphore,
    background: Arc<Semaphore>,
    dice: AtomicU64,
    counts: Counters,
}

/// What a view keeps and what nothing is known against; see [`View::standing`].
#[derive(Debug)]
pub struct Standing<V> {
    /// The answer. Its certificate claims nothing.
    pub answer: Cached<V>,
    /// Whether everything it could have missed is news that this copy hears: once the copy has heard all, it is what the
    /// source has. Else it may have missed something before, rightly: its epoch is over, or it is from a source that lags.
    pub is_vouched: bool,
}

const DECKS: usize = 16;
/// The most background refreshes at work or waiting; beyond it, a refresh is only an invalidation.
const BACKGROUND: usize = 256;

impl<K, V> View<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Starts the settings of a view that goes by this fence.
    #[must_use]
    pub fn builder(name: &str, fence: &Arc<Fence>) -> ViewBuilder<K, V> {
        ViewBuilder::new(name, fence)
    }

    fn assemble(settings: ViewBuilder<K, V>, truth: Truth, soft: Duration, hard: Duration) -> Self {
        let bound = truth.bound().unwrap_or_default();
        if settings.shared.is_some() {
            settings.fence.follow_places();
        }
        let inner = Arc::new_cyclic(|me: &Weak<Inner<K, V>>| Inner {
            name: settings.name,
            me: me.clone(),
            fence: settings.fence.clone(),
            on_failure: truth.on_failure(),
            bound,
            bound_units: Moment::span(bound),
            soft,
            hard,
            jitter: settings.jitter,
            load_timeout: settings.load_timeout,
            sources: settings.sources,
            loader: settings.loader,
            parse: settings.parse,
            updater: settings.updater,
            level: settings.shared,
            cache: Cache::new(settings.capacity),
            epoch: AtomicU32::new(0),
            known: AtomicU32::new(0),
            decks: std::array::from_fn(|_| Mutex::default()),
            turn: AtomicU64::new(0),
            bulkhead: Semaphore::new(settings.max_fills),
            background: Arc::new(Semaphore::new(BACKGROUND)),
            dice: AtomicU64::new(1),
            counts: Counters::default(),
        });
        let me: Weak<Inner<K, V>> = Arc::downgrade(&inner);
        settings.fence.subscribe(me);
        Self(inner)
    }

    /// What is cached under `key` and may be served now, without loading. Allocates nothing, and takes no lock of ours unless
    /// something that shares a stripe with what the answer depends on has moved since it was last found good.
    #[must_use]
    pub fn cached(&self, key: &K) -> Option<Cached<V>> {
        match self.0.look(key) {
            Look::Hit(hit) | Look::Aging(hit) => Some(hit),
            Look::Miss | Look::Doubtful(..) => None,
        }
    }

    /// What is kept under `key`, to be compared with the truth and never to be served: however long ago the last mark came,
    /// and whether its life is over or not. `None` if nothing is kept, or if something that it was derived from has moved.
    #[must_use]
    pub fn standing(&self, key: &K) -> Option<Standing<V>> {
        let (entry, is_vouched) = self.0.standing(key)?;
        let freshness = Freshness::Unverified;
        let certificate = Certificate { version: entry.version(), path: Path::L1, freshness };
        Some(Standing { answer: Cached::new(entry, certificate), is_vouched })
    }

    /// The answer under `key`: from the cache if it may be served, else loaded, once for all who ask at the same time.
    ///
    /// `load` is told what it has to reach and must declare what it depends on. It may run again if what it brought
    /// had been outrun. Errors: `LOAD_FAILED`, `LOAD_TIMEOUT`; and, in classes that refuse rather than serve an answer
    /// beyond their bound, `SOURCE_BEHIND`.
    pub async fn get<L, F>(&self, key: &K, load: L) -> Result<Cached<V>>
    where
        L: Fn(Fill) -> F,
        F: Future<Output = Result<Loaded<V>, BoxError>>,
    {
        match self.0.look(key) {
            Look::Hit(hit) => Ok(hit),
            Look::Aging(hit) => Ok(self.0.renew(key, hit, &load).await),
            Look::Miss => self.0.fill(key, None, Via::Shared, &load).await,
            Look::Doubtful(entry, doubt) => self.0.resolve(key, entry, doubt, &load).await,
        }
    }

    /// As [`View::get`], with the view's own loader.
    pub async fn read(&self, key: &K) -> Result<Cached<V>> {
        let loader = self.0.resident()?;
        self.get(key, |fill| loader(key.clone(), fill)).await
    }

    /// As [`View::get_at_least`], with the view's own loader.
    pub async fn read_at_least(&self, key: &K, token: (&Entity, Stamp)) -> Result<Cached<V>> {
        let loader = self.0.resident()?;
        self.get_at_least(key, token, |fill| loader(key.clone(), fill)).await
    }

    /// As [`View::get`], and never from before this version of this entity: read your writes. If the source itself is
    /// behind it, waits a little and then fails with `SOURCE_BEHIND`.
    pub async fn get_at_least<L, F>(&self, key: &K, token: (&Entity, Stamp), load: L) -> Result<Cached<V>>
    where
        L: Fn(Fill) -> F,
        F: Future<Output = Result<Loaded<V>, BoxError>>,
    {
        let (entity, stamp) = token;
        let wanted = self.0.fence.key(entity.kind(), entity.id());
        if let Some(hit) = self.cached(key).filter(|hit| reaches(hit, wanted, stamp)) {
            return Ok(hit);
        }
        let load = |fill: Fill| load(fill.with_token(entity, stamp));
        for attempt in 1..=ATTEMPTS {
            // The caller knows of a version that other processes may not have heard of.
            let answer = self.0.fill(key, None, Via::Source, &load).await?;
            if reaches(&answer, wanted, stamp) {
                return Ok(answer);
            }
            self.0.pause(attempt).await;
        }
        let what = format!("view {} could not be read at version {stamp} of {entity}", self.0.name);
        Err(Error::new(Code::SOURCE_BEHIND, what))
    }

    /// The view's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How many entries are held.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.0.cache.len()
    }

    /// How long this copy may have been blind: the age of the newest mark of its least known source. `None` before
    /// the first marks, or without sources.
    #[must_use]
    pub fn knowledge_age(&self) -> Option<Duration> {
        let known = Moment(self.0.known.load(Ordering::Acquire));
        (known.0 > 0).then(|| Moment::duration(self.0.fence.clock().moment().age_of(known)))
    }

    /// The bound that its truth class promises.
    #[must_use]
    pub fn bound(&self) -> Duration {
        self.0.bound
    }

    /// Its running totals.
    #[must_use]
    pub fn counts(&self) -> ViewCounts {
        self.0.counts.totals(self.0.level.as_ref().map_or(0, Shared::failures))
    }
}

impl<K, V> Inner<K, V> {
    fn resident(&self) -> Result<&Resident<K, V>> {
        let missing = || format!("view {} was built without a loader", self.name);
        self.loader.as_ref().ok_or_else(|| Error::new(Code::SETTING_INVALID, missing()))
    }
}

/// Whether the answer is from this version of the entity or a newer one: it says so, or it says no version and was read
/// from the source after the caller, who knows of that version, had asked (an absence after a delete).
fn reaches<V>(answer: &Cached<V>, key: Fingerprint, stamp: Stamp) -> bool {
    let holds = answer.entry().holds.as_slice();
    let versioned = |hold: &&Hold| hold.key == key && matches!(hold.held(), Held::At(_));
    match holds.iter().find(versioned) {
        Some(hold) => hold.reaches(key, stamp),
        None => answer.freshness() == Freshness::Fresh,
    }
}

/// How often a load is repeated when the fence shows that it had been outrun, or a source is behind.
const ATTEMPTS: u32 = 3;

impl<K, V> Clone for View<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> std::fmt::Debug for View<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("name", &self.0.name).finish_non_exhaustive()
    }
}
