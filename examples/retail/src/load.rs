//! Keeps the platform busy: changes and reads as a shop sees them, the popular products most of all.
//!
//! The n-th change and the n-th read are made from the seed and n alone, whichever task gets to them: the same seed asks
//! for the same things in the same order (by how much a price moves also depends on what it was). They are paced by due times, not by pauses, so a slow moment is caught up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidings_core::{Code, Error, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::experience::{ListingKey, Sort};
use crate::name::{Market, Sku};
use crate::platform::Platform;
use crate::refusal::{Refusal, Result as Answer};
use crate::seed::CATEGORIES;
use crate::storefront::{Reader, Storefront};
use crate::zipf::Zipf;

mod change;

use change::Made;

const WRITERS: u64 = 16;
const READERS: u64 = 32;
/// One change in so many is read back by whoever made it, with the token that came with it.
const READ_BACK: u32 = 10;
/// One product page in so many is asked for of a product that there never was.
const UNKNOWN: u32 = 1000;

/// So many of the readers are told apart: a witness has to remember all that each of these saw.
const KNOWN_READERS: u64 = 4;
/// Sessions up to this number are the load's own: one task each, which reads one answer after another.
pub const SESSIONS: u64 = WRITERS + KNOWN_READERS;

/// What to ask of the platform.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Changes per second, over all contexts.
    pub changes_per_s: u32,
    /// Reads through the library for each change.
    pub reads_per_change: u32,
    /// What is changed and read depends on this alone.
    pub seed: u64,
}

/// What was done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadTotals {
    /// Changes that were committed, or that changed nothing.
    pub changes: u64,
    /// Changes that did not fit the truth, such as selling what is sold out.
    pub refused: u64,
    /// Changes that failed.
    pub changes_failed: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Reads that failed.
    pub reads_failed: u64,
}

/// A load under way.
pub struct Loading {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

struct Shared {
    load: Load,
    /// Who is asked for changes; without it, there are none.
    platform: Option<Arc<Platform>>,
    storefront: Arc<Storefront>,
    popularity: Zipf,
    categories: Zipf,
    began: Instant,
    next_change: AtomicU64,
    next_read: AtomicU64,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    changes: AtomicU64,
    refused: AtomicU64,
    changes_failed: AtomicU64,
    reads: AtomicU64,
    reads_failed: AtomicU64,
}

impl Load {
    /// Starts asking.
    #[must_use]
    pub fn spawn(self, platform: Arc<Platform>) -> Loading {
        let storefront = platform.storefront().clone();
        self.begin(storefront, Some(platform))
    }

    /// Starts asking one copy, for reads alone: as many as would go with the changes. Of copies beside each other, each
    /// is given a seed of its own.
    #[must_use]
    pub fn spawn_reads(self, storefront: Arc<Storefront>) -> Loading {
        self.begin(storefront, None)
    }

    fn begin(self, storefront: Arc<Storefront>, platform: Option<Arc<Platform>>) -> Loading {
        let popularity = Zipf::new(storefront.experience().by_popularity().len(), 1.0);
        let shared = Arc::new(Shared {
            load: self,
            platform,
            storefront,
            popularity,
            categories: Zipf::new(CATEGORIES.len(), 0.7),
            began: Instant::now(),
            next_change: AtomicU64::new(0),
            next_read: AtomicU64::new(0),
            counts: Counts::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for session in 1..=WRITERS {
            let (shared, stopped) = (shared.clone(), stopped.clone());
            tasks.spawn(async move { shared.write(session, stopped).await });
        }
        for reader in 1..=READERS {
            let session = if reader <= KNOWN_READERS { WRITERS + reader } else { 0 };
            let (shared, stopped) = (shared.clone(), stopped.clone());
            tasks.spawn(async move { shared.read(session, stopped).await });
        }
        Loading { shared, stop, tasks }
    }
}

impl Loading {
    /// What was done so far.
    #[must_use]
    pub fn totals(&self) -> LoadTotals {
        self.shared.counts.totals()
    }

    /// Finishes what is under way and stops.
    pub async fn stop(mut self) -> Result<LoadTotals> {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|e| Error::new(Code::DEFECT, "a task of the load panicked").because(e))?;
        }
        Ok(self.shared.counts.totals())
    }
}

impl Counts {
    fn totals(&self) -> LoadTotals {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LoadTotals {
            changes: of(&self.changes),
            refused: of(&self.refused),
            changes_failed: of(&self.changes_failed),
            reads: of(&self.reads),
            reads_failed: of(&self.reads_failed),
        }
    }
}

impl Shared {
    async fn write(&self, session: u64, stop: watch::Receiver<bool>) {
        let Some(platform) = &self.platform else { return };
        let rate = f64::from(self.load.changes_per_s);
        while let Some(number) = self.next(&self.next_change, rate, stop.clone()).await {
            let mut random = self.random(number, 0xC4A9);
            let (counts, sku) = (&self.counts, self.product(&mut random));
            let made = change::make(platform, sku, &mut random).await;
            let count = match &made {
                Ok(_) => &counts.changes,
                Err(Refusal::Failed(_)) => &counts.changes_failed,
                Err(_) => &counts.refused,
            };
            count.fetch_add(1, Ordering::Relaxed);
            if let Ok(Made { market, token }) = made
                && random.random_ratio(1, READ_BACK)
            {
                let reader = self.storefront.reader(session);
                self.count_read(&reader.product_at_least(sku, market, &token).await.map(drop));
            }
        }
    }

    async fn read(&self, session: u64, stop: watch::Receiver<bool>) {
        let rate = f64::from(self.load.changes_per_s) * f64::from(self.load.reads_per_change);
        while let Some(number) = self.next(&self.next_read, rate, stop.clone()).await {
            self.count_read(&self.read_one(number, self.storefront.reader(session)).await);
        }
    }

    fn count_read(&self, read: &Answer<()>) {
        let count = if read.is_ok() { &self.counts.reads } else { &self.counts.reads_failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// One read in seven is a listing.
    async fn read_one(&self, number: u64, reader: Reader<'_>) -> Answer<()> {
        let mut random = self.random(number, 0x4EAD);
        if random.random_ratio(1, 7) {
            let category = CATEGORIES[self.categories.sample(&mut random)].slug;
            let sort = Sort::ALL[random.random_range(0..Sort::ALL.len())];
            let key = ListingKey { category, market: market(&mut random), sort };
            reader.listing(&key).await.map(drop)
        } else if random.random_ratio(1, UNKNOWN) {
            let unknown = Sku::parse(&format!("NONE-{}", random.random_range(0..100)))?;
            reader.product(&unknown, market(&mut random)).await.map(drop)
        } else {
            let sku = self.product(&mut random);
            reader.product(sku, market(&mut random)).await.map(drop)
        }
    }

    /// The number of what is to be done next, once it is due; `None` when it is time to stop.
    async fn next(&self, from: &AtomicU64, rate: f64, mut stop: watch::Receiver<bool>) -> Option<u64> {
        if rate <= 0.0 {
            // Nothing is ever due.
            let _ = stop.wait_for(|stop| *stop).await;
            return None;
        }
        let number = from.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 operations")]
        let due = self.began + Duration::from_secs_f64(number as f64 / rate);
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => None,
            () = tokio::time::sleep_until(due) => Some(number),
        }
    }

    fn random(&self, number: u64, stream: u64) -> SmallRng {
        SmallRng::seed_from_u64(self.load.seed ^ (stream << 48) ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn product(&self, random: &mut SmallRng) -> &Sku {
        &self.storefront.experience().by_popularity()[self.popularity.sample(random)]
    }
}

/// Where customers are: three in ten in the EU, as many in the US.
fn market(random: &mut SmallRng) -> Market {
    match random.random_range(0..10) {
        0 => Market::Br,
        1..=3 => Market::Eu,
        4 => Market::Jp,
        5..=6 => Market::Uk,
        _ => Market::Us,
    }
}
