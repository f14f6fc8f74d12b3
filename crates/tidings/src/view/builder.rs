//! A view's settings, checked once.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Code, Error, Event, Result, Topic, Truth, name};

use super::{BoxError, Fill, Loaded, Resident, Shared, View};
use crate::clock::Clock;
use crate::fence::Fence;

/// Builds a [`View`]; see [`View::builder`].
pub struct ViewBuilder<K, V> {
    pub(super) name: Arc<str>,
    pub(super) fence: Arc<Fence>,
    pub(super) truth: Option<Truth>,
    pub(super) sources: Vec<Topic>,
    pub(super) capacity: usize,
    pub(super) soft: Option<Duration>,
    pub(super) hard: Option<Duration>,
    pub(super) jitter: f64,
    pub(super) max_fills: usize,
    pub(super) load_timeout: Duration,
    pub(super) loader: Option<Resident<K, V>>,
    pub(super) parse: Option<Parse<K>>,
    pub(super) updater: Option<Updater<K, V>>,
    pub(super) shared: Option<Shared<K, V>>,
}

pub(super) type Parse<K> = Box<dyn Fn(&str) -> Option<K> + Send + Sync>;
pub(super) type Updater<K, V> = Box<dyn Fn(&K, &V, &Event) -> Option<V> + Send + Sync>;

impl<K, V> ViewBuilder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(super) fn new(name: &str, fence: &Arc<Fence>) -> Self {
        Self {
            name: name.into(),
            fence: fence.clone(),
            truth: None,
            sources: Vec::new(),
            capacity: 10_000,
            soft: None,
            hard: None,
            jitter: 0.1,
            max_fills: 64,
            load_timeout: Duration::from_secs(5),
            loader: None,
            parse: None,
            updater: None,
            shared: None,
        }
    }

    /// What the business tolerates. Required.
    #[must_use]
    pub fn truth(mut self, truth: Truth) -> Self {
        self.truth = Some(truth);
        self
    }

    /// The topics that tell of changes to what the view shows, all of them: the age of an answer is bounded by their
    /// marks. Without any, an answer is as old as its load.
    #[must_use]
    pub fn sources<'a>(mut self, topics: impl IntoIterator<Item = &'a Topic>) -> Self {
        self.sources = topics.into_iter().cloned().collect();
        self
    }

    /// The most entries. Default 10,000.
    #[must_use]
    pub fn capacity(mut self, entries: usize) -> Self {
        self.capacity = entries;
        self
    }

    /// From this age on one caller loads an entry again while the others are still served. Default: never before the
    /// hard time to live.
    #[must_use]
    pub fn soft_ttl(mut self, age: Duration) -> Self {
        self.soft = Some(age);
        self
    }

    /// From this age on an entry is not served. Default and ceiling: what the truth class allows.
    #[must_use]
    pub fn ttl(mut self, age: Duration) -> Self {
        self.hard = Some(age);
        self
    }

    /// By which share times to live are shortened at random, so that what was filled together does not expire
    /// together. From 0 to 0.9; default 0.1.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// The most loads at one time: the bulkhead of the source. Default 64.
    #[must_use]
    pub fn max_fills(mut self, loads: usize) -> Self {
        self.max_fills = loads;
        self
    }

    /// The longest that a load may take. Default 5 s; at most what the fence keeps floors for.
    #[must_use]
    pub fn load_timeout(mut self, most: Duration) -> Self {
        self.load_timeout = most;
        self
    }

    /// A loader that lives in the view: needed for [`View::read`], background refresh and `Decision::Refresh`.
    #[must_use]
    pub fn loader<L, F>(mut self, load: L) -> Self
    where
        L: Fn(K, Fill) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Loaded<V>, BoxError>> + Send + 'static,
    {
        self.loader = Some(Arc::new(move |key, fill| Box::pin(load(key, fill))));
        self
    }

    /// How a decision's key is read; needed for `Decision::Refresh` and `Decision::Update`.
    #[must_use]
    pub fn keys(mut self, parse: impl Fn(&str) -> Option<K> + Send + Sync + 'static) -> Self {
        self.parse = Some(Box::new(parse));
        self
    }

    /// How an event that carries state changes a cached value; `None` leaves it to be loaded again.
    #[must_use]
    pub fn updated_by(
        mut self,
        update: impl Fn(&K, &V, &Event) -> Option<V> + Send + Sync + 'static,
    ) -> Self {
        self.updater = Some(Box::new(update));
        self
    }

    /// A second level that many processes share: what is not here is looked for there before it is loaded, and what is
    /// loaded here is offered to it. Needs sources: only their marks vouch for what comes from there.
    #[must_use]
    pub fn shared(mut self, shared: Shared<K, V>) -> Self {
        self.shared = Some(shared);
        self
    }

    /// The view, unless a setting is missing or contradicts another.
    pub fn build(self) -> Result<View<K, V>> {
        name::check_kind("view name", &self.name)?;
        let invalid =
            |what: String| Error::new(Code::SETTING_INVALID, what).at(format!("view {}", self.name));
        let Some(truth) = self.truth else {
            return Err(invalid("no truth class; say what the business tolerates".into()));
        };
        let bound = truth.bound().map_err(|error| error.at(format!("view {}", self.name)))?;
        let (hard, ceiling) = (self.hard.unwrap_or(truth.ttl_ceiling()), truth.ttl_ceiling());
        let soft = self.soft.unwrap_or(hard);
        if hard > ceiling {
            return Err(invalid(format!(
                "a time to live of {hard:?} is beyond what {truth:?} allows, {ceiling:?}"
            )));
        }
        if soft > hard {
            return Err(invalid(format!(
                "the soft time to live, {soft:?}, is beyond the hard one, {hard:?}"
            )));
        }
        if !(MIN_BOUND..=MAX_BOUND).contains(&bound) {
            return Err(invalid(format!(
                "a bound of {bound:?} cannot be kept; it must be from {MIN_BOUND:?} to {MAX_BOUND:?}"
            )));
        }
        if self.load_timeout > self.fence.settings().keep {
            let keep = self.fence.settings().keep;
            return Err(invalid(format!(
                "loads of {:?} outlive the floors, kept for {keep:?}",
                self.load_timeout
            )));
        }
        if !(0.0..=0.9).contains(&self.jitter) {
            return Err(invalid(format!("a jitter of {} is not between 0 and 0.9", self.jitter)));
        }
        if self.shared.is_some() && self.sources.is_empty() {
            return Err(invalid(
                "a shared level needs sources: nothing else can vouch for its answers".into(),
            ));
        }
        if self.capacity == 0 || self.max_fills == 0 {
            return Err(invalid("the capacity and the number of loads must be at least 1".into()));
        }
        Ok(View::assemble(self, truth, soft, hard))
    }
}

/// Ages are computed from a clock that is read to hundredths of a second...
const MIN_BOUND: Duration = Duration::from_millis(100);
/// ... and that knows no older past than this.
const MAX_BOUND: Duration = Clock::PAST;
