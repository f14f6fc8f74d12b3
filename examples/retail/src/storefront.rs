//! One copy of what customers see, at work: the Experience API with its fence and its consumer. It reads what the owners
//! say and writes nothing to them. Any number of them run beside each other, each with a directory and a name of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidings::{Consumer, ConsumerBuilder, ConsumerCounts, Fence, FenceSettings};
use tidings_core::port::{Log, Parking};
use tidings_core::{Code, Error, Partition, Result, Topic};
use tokio::sync::Mutex;

use crate::catalog::Catalog;
use crate::context::Open;
use crate::experience::{self, Caching, Experience, Owners, Repairs, ViewStats};
use crate::inventory::Inventory;
use crate::place::Place;
use crate::platform::{ConsumerStats, Parts, Settings};
use crate::pricing::Pricing;

mod read;
mod working;

pub use read::{Holdings, Reader};
use working::Working;

/// The topics, one per publishing context.
pub const TOPICS: [&str; 3] = ["catalog", "pricing", "inventory"];
/// How long before its row can be read an event may arrive: PostgreSQL publishes a commit before it makes it visible. With
/// a synchronous standby that is until the standby has answered, which takes no second unless the standby is in trouble.
const VISIBLE_WITHIN: Duration = Duration::from_secs(1);

/// The running copy.
pub struct Storefront {
    experience: Experience,
    fence: Arc<Fence>,
    topics: Vec<Topic>,
    parts: Parts,
    log: Arc<dyn Log>,
    new_consumer: Box<dyn Fn() -> ConsumerBuilder + Send + Sync>,
    visible_within: Duration,
    working: Mutex<Option<Working>>,
    /// One for each time that the consumer was started.
    counts: std::sync::Mutex<Vec<Arc<ConsumerCounts>>>,
}

impl Storefront {
    /// Opens a copy of this name beside owners that have been started before, in this process or in another. Its name is
    /// that of its consumer; the names of copies differ.
    pub async fn start<L: Log + Parking + 'static>(
        place: &Place,
        settings: Settings,
        log: Arc<L>,
        parts: Parts,
        name: &str,
    ) -> Result<Self> {
        make_dir(place.dir())?;
        let open = Open { place: place.clone(), readers: settings.readers, owner: None };
        let clock = parts.clock.clone();
        let owners = tokio::task::spawn_blocking(move || {
            Ok::<_, crate::Refusal>(Owners {
                catalog: Arc::new(Catalog::open(&open)?),
                pricing: Arc::new(Pricing::open(&open, clock)?),
                inventory: Arc::new(Inventory::open(&open)?),
            })
        });
        let owners = owners
            .await
            .map_err(|e| Error::new(Code::DEFECT, "opening the owners panicked").because(e))??;
        Self::beside(owners, place, settings, log, parts, name).await
    }

    /// As [`Storefront::start`], in the process of the owners.
    pub(crate) async fn beside<L: Log + Parking + 'static>(
        owners: Owners,
        place: &Place,
        settings: Settings,
        log: Arc<L>,
        parts: Parts,
        name: &str,
    ) -> Result<Self> {
        let visible_within = match place {
            Place::Files(_) => Duration::ZERO,
            Place::Postgres { .. } => VISIBLE_WITHIN,
        };
        let fence = FenceSettings { visible_within, ..FenceSettings::default() };
        let fence = Fence::new(fence, parts.clock.clone());
        let topics = TOPICS.into_iter().map(Topic::new).collect::<Result<Vec<_>>>()?;
        let caching = Caching { pages: settings.pages, bound: settings.bound, readers: settings.readers };
        let partitions = partitions(&*log, &topics).await?;
        let levels = parts.levels.clone();
        let experience =
            Experience::open(place.dir(), owners, &fence, &topics, &partitions, caching, levels).await?;
        let name = name.to_owned();
        let storefront = Self {
            experience,
            fence,
            topics,
            parts,
            log: log.clone(),
            new_consumer: Box::new(move || Consumer::builder(&name, log.clone())),
            visible_within,
            working: Mutex::default(),
            counts: std::sync::Mutex::default(),
        };
        storefront.resume_consumer().await?;
        Ok(storefront)
    }

    /// The Experience API's own interface.
    #[must_use]
    pub fn experience(&self) -> &Experience {
        &self.experience
    }

    /// What bounds the views' answers.
    #[must_use]
    pub fn fence(&self) -> &Arc<Fence> {
        &self.fence
    }

    /// The topics, one per publishing context.
    #[must_use]
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// How each view does.
    #[must_use]
    pub fn views(&self) -> [ViewStats; 2] {
        self.experience.stats()
    }

    /// What the consumer did, over all its starts in this process.
    #[must_use]
    pub fn consumed(&self) -> ConsumerStats {
        self.counts().iter().fold(ConsumerStats::default(), |sum, c| ConsumerStats {
            applied: sum.applied + c.applied(),
            superseded: sum.superseded + c.superseded(),
            parked: sum.parked + c.parked(),
            gaps: sum.gaps + c.gaps(),
            failures: sum.failures + c.failures(),
        })
    }

    /// What became of gaps in the read model behind listings.
    #[must_use]
    pub fn repairs(&self) -> Repairs {
        self.experience.repairs()
    }

    /// Why the consumer, or what repairs after its gaps, has ended by itself, if it has: what is served says that it ages.
    pub async fn failure(&self) -> Option<Error> {
        self.working.lock().await.as_mut()?.failure().await
    }

    /// Starts the consumer where the read model has come to, unless it runs.
    pub async fn resume_consumer(&self) -> Result<()> {
        let mut working = self.working.lock().await;
        if working.is_none() {
            let (builder, observer) = ((self.new_consumer)(), self.parts.observer.clone());
            let consumer =
                experience::consumer(builder, &self.experience, &self.fence, &self.topics, observer)?;
            self.counts().push(consumer.counts());
            let witness = self.parts.witness.clone();
            let repairer = self.experience.repairer(&self.fence, witness, self.visible_within);
            *working = Some(Working::start(consumer, repairer));
        }
        Ok(())
    }

    /// Stops the consumer: from here on the copy hears no news. Before it stops, it applies what is in the log, and repairs
    /// what a gap has left incomplete, for at most this long.
    pub async fn stop_consumer(&self, at_most: Duration) -> Result<()> {
        let working = self.working.lock().await.take();
        match working {
            Some(working) => working.stop(at_most).await,
            None => Ok(()),
        }
    }

    /// How many records are in the log, and not yet applied here.
    pub async fn unapplied(&self) -> Result<u64> {
        let mut unapplied = 0;
        for position in self.experience.positions() {
            let (earliest, head) = self.log.bounds(&position.partition).await?;
            unapplied += head.0.saturating_sub(position.offset.max(earliest).0);
        }
        Ok(unapplied)
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Vec<Arc<ConsumerCounts>>> {
        self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    let failed = |e: std::io::Error| {
        Error::new(Code::READ_ONLY, "the data directory cannot be made").because(e).at(dir.display())
    };
    std::fs::create_dir_all(dir).map_err(failed)
}

async fn partitions(log: &dyn Log, topics: &[Topic]) -> Result<Vec<Partition>> {
    let mut partitions = Vec::new();
    for topic in topics {
        let count = log.partitions(topic).await?;
        partitions.extend((0..count).map(|index| Partition { topic: topic.clone(), index }));
    }
    Ok(partitions)
}
