//! What every [`Store`] must do: end in the same state however its batches come.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tidings_core::port::{Batch, Boxed, Store};
use tidings_core::{Action, Event, Offset, Partition, Position, Result, Stamp, Time, Topic};

use super::{must, sample};
use crate::delivery::{Disorder, Reorder, deliveries};

/// The kind of store under test.
pub trait StoreHome: Send + Sync {
    /// A new store with nothing in it. Every one is tried on its own.
    fn create(&self) -> Boxed<'_, Result<Subject>>;

    /// An event that this store understands, of the entity with this number at this version.
    fn event(&self, entity: u64, version: u64) -> Event {
        sample::event(&format!("store/{entity}"), version)
    }
}

/// A store under test.
pub struct Subject {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What it holds, as text that is equal for equal states: floors, rows, documents. Not what counts calls
    /// (positions, epochs, statistics).
    pub digest: Box<dyn Fn() -> Boxed<'static, Result<String>> + Send + Sync>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

/// Runs every behaviour below.
///
/// # Panics
/// At the first that does not hold.
pub async fn run_all(home: &dyn StoreHome) {
    applying_changes_what_is_held(home).await;
    a_repeated_batch_changes_nothing(home).await;
    an_older_batch_changes_nothing(home).await;
    any_order_ends_in_the_same_state(home).await;
    a_large_batch_equals_many_small_ones(home).await;
    a_batch_of_marks_alone_is_applied(home).await;
    an_epoch_can_be_opened_at_any_time(home).await;
}

/// A subject with the position that its next batch ends at.
struct Trial {
    store: Arc<dyn Store>,
    digest: Box<dyn Fn() -> Boxed<'static, Result<String>> + Send + Sync>,
    next: Position,
}

impl Trial {
    async fn new(home: &dyn StoreHome) -> Self {
        let topic = must("name a topic", Topic::new("store"));
        let next = Position { partition: Partition { topic, index: 0 }, offset: Offset(0) };
        let Subject { store, digest } = must("create the store", home.create().await);
        Self { store, digest, next }
    }

    async fn apply(&mut self, events: &[Arc<Event>]) {
        self.next.offset = Offset(self.next.offset.0 + events.len() as u64);
        self.apply_again(events).await;
    }

    /// As [`Trial::apply`], at the same position as before: the batch comes a second time.
    async fn apply_again(&self, events: &[Arc<Event>]) {
        let mut floors: BTreeMap<_, Stamp> = BTreeMap::new();
        for event in events {
            let floor = floors.entry(event.entity.clone()).or_default();
            *floor = event.stamp.max(*floor);
        }
        let actions: Vec<_> =
            floors.into_iter().map(|(entity, floor)| Action::Raise { entity, floor }).collect();
        let batch = Batch {
            consumer: "shop",
            actions: &actions,
            events,
            parked: &[],
            next: &self.next,
            caught_up: None,
        };
        must("apply", self.store.apply(batch).await);
    }

    async fn digest(&self) -> String {
        must("digest", (self.digest)().await)
    }
}

fn events(home: &dyn StoreHome, of: impl IntoIterator<Item = (u64, u64)>) -> Vec<Arc<Event>> {
    of.into_iter().map(|(entity, version)| Arc::new(home.event(entity, version))).collect()
}

/// A batch is seen in the digest: otherwise nothing below would mean anything.
pub async fn applying_changes_what_is_held(home: &dyn StoreHome) {
    let mut trial = Trial::new(home).await;
    let mut digests = vec![trial.digest().await];
    for (entity, version) in [(1, 1), (2, 1), (1, 2)] {
        trial.apply(&events(home, [(entity, version)])).await;
        digests.push(trial.digest().await);
    }
    let mut distinct = digests.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), digests.len(), "{digests:#?}");
}

/// Applying twice is applying once, at the same position and at a later one.
pub async fn a_repeated_batch_changes_nothing(home: &dyn StoreHome) {
    let mut trial = Trial::new(home).await;
    let batch = events(home, [(1, 1), (2, 5), (1, 2)]);
    trial.apply(&batch).await;
    let once = trial.digest().await;
    trial.apply_again(&batch).await;
    assert_eq!(trial.digest().await, once, "at the same position");
    trial.apply(&batch).await;
    assert_eq!(trial.digest().await, once, "at a later position");
}

/// Older versions of what is held change nothing, whenever they come.
pub async fn an_older_batch_changes_nothing(home: &dyn StoreHome) {
    let mut trial = Trial::new(home).await;
    trial.apply(&events(home, [(1, 7), (2, 9)])).await;
    let newest = trial.digest().await;
    trial.apply(&events(home, [(1, 3), (2, 8), (1, 6)])).await;
    assert_eq!(trial.digest().await, newest);
}

/// Any order, with doubles, ends in the state of the committed order (promise I9).
pub async fn any_order_ends_in_the_same_state(home: &dyn StoreHome) {
    let committed = events(home, (0..24).map(|n| (n % 4, 1 + n / 4)));
    let mut trial = Trial::new(home).await;
    for event in &committed {
        trial.apply(std::slice::from_ref(event)).await;
    }
    let expected = trial.digest().await;
    for seed in 0..10 {
        let disorder = Disorder { reorder: Reorder::Anywhere, double: 0.3, drop: 0.0 };
        let mut trial = Trial::new(home).await;
        for batch in deliveries(&committed, seed, disorder).chunks(1 + seed as usize) {
            trial.apply(batch).await;
        }
        assert_eq!(trial.digest().await, expected, "seed {seed}");
    }
}

/// How the stream is cut into batches makes no difference.
pub async fn a_large_batch_equals_many_small_ones(home: &dyn StoreHome) {
    let committed = events(home, (0..600).map(|n| (n % 150, 1 + n / 150)));
    let mut digests = Vec::new();
    for size in [1, 7, 600] {
        let mut trial = Trial::new(home).await;
        for batch in committed.chunks(size) {
            trial.apply(batch).await;
        }
        digests.push(trial.digest().await);
    }
    assert!(digests.iter().all(|digest| Some(digest) == digests.first()), "{digests:#?}");
}

/// A batch without events, which only says how far the copy has caught up, is applied too.
pub async fn a_batch_of_marks_alone_is_applied(home: &dyn StoreHome) {
    let mut trial = Trial::new(home).await;
    trial.apply(&events(home, [(1, 1)])).await;
    let before = trial.digest().await;
    trial.next.offset = trial.next.offset.next();
    let caught_up = Some(Time::from_micros(1_700_000_000_000_000));
    let batch =
        Batch { consumer: "shop", actions: &[], events: &[], parked: &[], next: &trial.next, caught_up };
    must("apply a mark", trial.store.apply(batch).await);
    assert_eq!(trial.digest().await, before);
}

/// A new epoch forgets no floor and stops no later batch.
pub async fn an_epoch_can_be_opened_at_any_time(home: &dyn StoreHome) {
    let mut straight = Trial::new(home).await;
    let mut interrupted = Trial::new(home).await;
    for n in 0..12 {
        let batch = events(home, [(n % 3, 1 + n / 3)]);
        straight.apply(&batch).await;
        must(
            "open an epoch",
            interrupted.store.open_epoch("records were removed before they were read").await,
        );
        interrupted.apply(&batch).await;
    }
    let older = events(home, [(0, 1), (1, 2), (2, 3)]);
    interrupted.apply(&older).await;
    assert_eq!(interrupted.digest().await, straight.digest().await);
}
