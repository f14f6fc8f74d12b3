//! All contexts in one process, wired: a relay for each publisher, the Experience API's consumer, the promotions' timer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidings::{
    Clock, Consumer, ConsumerBuilder, ConsumerCounts, Direct, Fence, FenceSettings, Observer, Relay,
    RelayCounts, Running,
};
use tidings_core::port::{Log, Outbox, Parking};
use tidings_core::relay::Settings as RelaySettings;
use tidings_core::{Code, Error, Result, Topic};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::catalog::{Catalog, Revision};
use crate::checkout::{Checkout, Order, Placed};
use crate::context::Context;
use crate::experience::{self, Caching, Experience, Owners};
use crate::inventory::Inventory;
use crate::name::{Market, Sku};
use crate::pricing::{Offer, Pricing, Promoted};
use crate::refusal::Result as Answer;
use crate::seed::DEFAULT_SKUS;
use crate::token::Written;
use crate::witness::Witness;

mod open;
mod read;
mod stats;

use open::{open, partitions, tell_baseline};
pub use read::Reader;
pub use stats::{ConsumerStats, ContextStats, Left, Stats};

/// What the platform is started with.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The catalogue's seed; a data directory that has a catalogue keeps it.
    pub seed: u64,
    /// How many products a new catalogue has.
    pub skus: usize,
    /// The most entries of each view.
    pub pages: usize,
    /// How much an answer served as good may have missed: the promise of both views.
    pub bound: Duration,
    /// Read connections per file.
    pub readers: usize,
    /// How relays work.
    pub relay: RelaySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            skus: DEFAULT_SKUS,
            pages: 100_000,
            bound: Duration::from_secs(2),
            readers: 4,
            relay: RelaySettings::default(),
        }
    }
}

/// Whom the platform reports to, and the clock it goes by.
#[derive(Clone)]
pub struct Parts {
    /// Told of every commit and read.
    pub witness: Arc<dyn Witness>,
    /// Told what became of each event at the consumer.
    pub observer: Arc<dyn Observer>,
    /// The clock of all contexts.
    pub clock: Clock,
}

/// The running platform.
pub struct Platform {
    owners: Owners,
    checkout: Checkout,
    experience: Experience,
    fence: Arc<Fence>,
    topics: Vec<Topic>,
    parts: Parts,
    log: Arc<dyn Log>,
    new_consumer: Box<dyn Fn() -> ConsumerBuilder + Send + Sync>,
    relay: RelaySettings,
    drivers: Mutex<Drivers>,
    counts: std::sync::Mutex<DriverCounts>,
}

/// The drivers' running totals, which outlive them.
#[derive(Default)]
struct DriverCounts {
    relays: Vec<Arc<RelayCounts>>,
    /// One for each time that the consumer was started.
    consumers: Vec<Arc<ConsumerCounts>>,
}

#[derive(Default)]
struct Drivers {
    relays: Vec<(&'static str, Running)>,
    consumer: Option<Running>,
    timer: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Platform {
    /// Opens or creates everything in `dir` and starts the drivers.
    pub async fn start<L: Log + Parking + 'static>(
        dir: &Path,
        settings: Settings,
        log: Arc<L>,
        parts: Parts,
    ) -> Result<Self> {
        let (owners, checkout) = open(dir, &settings, &parts).await?;
        let fence = Fence::new(FenceSettings::default(), parts.clock.clone());
        let topics = contexts(&owners).map(|context| Topic::new(context.name));
        let topics = topics.into_iter().collect::<Result<Vec<_>>>()?;
        let caching = Caching { pages: settings.pages, bound: settings.bound, readers: settings.readers };
        let partitions = partitions(&*log, &topics).await?;
        let experience = Experience::open(dir, owners.clone(), &fence, &topics, &partitions, caching).await?;
        if parts.witness.wants_baseline() {
            tell_baseline(&owners, &*parts.witness).await?;
        }
        checkout.settle().await?;
        let platform = Self {
            owners,
            checkout,
            experience,
            fence,
            topics,
            parts,
            log: log.clone(),
            new_consumer: Box::new(move || Consumer::builder(experience::CONSUMER, log.clone())),
            relay: settings.relay,
            drivers: Mutex::default(),
            counts: std::sync::Mutex::default(),
        };
        platform.start_relays().await;
        platform.start_consumer().await?;
        platform.start_timer().await;
        Ok(platform)
    }

    /// Catalog's own interface.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.owners.catalog
    }

    /// Pricing's own interface.
    #[must_use]
    pub fn pricing(&self) -> &Pricing {
        &self.owners.pricing
    }

    /// Inventory's own interface.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.owners.inventory
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

    /// Sets a base price, in cents.
    pub async fn set_price(&self, sku: &Sku, market: Market, cents: u32) -> Answer<Written> {
        self.owners.pricing.set_base(sku, market, cents).await
    }

    /// Enters a promotion.
    pub async fn promote(&self, offer: Offer) -> Answer<Promoted> {
        self.owners.pricing.promote(offer).await
    }

    /// Adds units to a node, or takes them away.
    pub async fn adjust_stock(&self, sku: &Sku, market: Market, node: &str, delta: i64) -> Answer<Written> {
        self.owners.inventory.adjust(sku, market, node, delta).await
    }

    /// Changes what is said about a product.
    pub async fn revise(&self, sku: &Sku, revision: Revision) -> Answer<Written> {
        self.owners.catalog.revise(sku, revision).await
    }

    /// Buys: reads price and stock from their owners, past every cache, and places the order on that.
    pub async fn check_out(&self, order: Order) -> Answer<Placed> {
        let (sku, market) = (&order.sku, order.market);
        let Owners { pricing, inventory, .. } = &self.owners;
        let price =
            Direct::read(async || pricing.price(sku, market).await?.ok_or_else(|| sku.unknown())).await?;
        let stock =
            Direct::read(async || inventory.stock(sku, market).await?.ok_or_else(|| sku.unknown())).await?;
        self.checkout.place(order, price, stock).await
    }

    /// Why a driver has ended by itself, if one has: the platform then works on, and its copies say that they age.
    pub async fn failure(&self) -> Option<Error> {
        let mut drivers = self.drivers.lock().await;
        let Drivers { relays, consumer, .. } = &mut *drivers;
        for running in relays.iter_mut().map(|(_, relay)| relay).chain(consumer.iter_mut()) {
            if running.is_finished() {
                let ended = || Error::new(Code::DEFECT, "a driver ended without being asked");
                return Some(running.finished().await.err().unwrap_or_else(ended));
            }
        }
        None
    }

    /// Stops the consumer alone: from here on copies hear no news. [`Platform::resume_consumer`] has them catch up.
    pub async fn stop_consumer(&self, at_most: Duration) -> Result<()> {
        let consumer = self.drivers.lock().await.consumer.take();
        match consumer {
            Some(consumer) => consumer.stop(at_most).await,
            None => Ok(()),
        }
    }

    /// Starts the consumer again where it stopped.
    pub async fn resume_consumer(&self) -> Result<()> {
        self.start_consumer().await
    }

    /// Stops in the order of the flow, so that each part finishes what the one before it left: no more promotions, no
    /// more commands, everything committed published, everything published applied. Each driver may take `at_most`.
    ///
    /// A driver that does not drain in time is not a failure: what it left is in the answer. Any other failure is
    /// returned once everything has stopped.
    pub async fn stop(&self, at_most: Duration) -> Result<Left> {
        let drivers = std::mem::take(&mut *self.drivers.lock().await);
        let mut failure = None;
        if let Some((stop, timer)) = drivers.timer {
            stop.send_replace(true);
            let panicked = |e| Error::new(Code::DEFECT, "the promotions' timer panicked").because(e);
            failure = timer.await.map_err(panicked).err();
        }
        self.checkout.stop().await;
        for context in contexts(&self.owners) {
            context.writer.stop().await;
        }
        for running in drivers.relays.into_iter().map(|(_, relay)| relay).chain(drivers.consumer) {
            let stopped = running.stop(at_most).await;
            failure = failure.or(stopped.err().filter(|error| error.code() != Code::STOPPING));
        }
        match failure {
            Some(failure) => Err(failure),
            None => self.left().await,
        }
    }

    async fn left(&self) -> Result<Left> {
        let mut left = Left::default();
        for context in contexts(&self.owners) {
            let mut after = context.outbox.acknowledged().await?;
            loop {
                let scan = context.outbox.scan(after, 1024).await?;
                left.unpublished += scan.rows.len() as u64;
                match scan.rows.last() {
                    Some(last) if !scan.complete => after = last.cursor,
                    _ => break,
                }
            }
        }
        for position in self.experience.positions() {
            let (earliest, head) = self.log.bounds(&position.partition).await?;
            left.unapplied += head.0.saturating_sub(position.offset.max(earliest).0);
        }
        Ok(left)
    }

    async fn start_relays(&self) {
        let mut drivers = self.drivers.lock().await;
        for (context, topic) in contexts(&self.owners).into_iter().zip(&self.topics) {
            let outbox: Arc<dyn Outbox> = context.outbox.clone();
            let relay = Relay::new(topic.clone(), outbox, self.log.clone()).settings(self.relay);
            self.counts().relays.push(relay.counts());
            drivers.relays.push((context.name, relay.spawn()));
        }
    }

    async fn start_consumer(&self) -> Result<()> {
        let mut drivers = self.drivers.lock().await;
        if drivers.consumer.is_none() {
            let observer = self.parts.observer.clone();
            let builder = (self.new_consumer)();
            let consumer =
                experience::consumer(builder, &self.experience, &self.fence, &self.topics, observer)?;
            self.counts().consumers.push(consumer.counts());
            drivers.consumer = Some(consumer.spawn());
        }
        Ok(())
    }

    async fn start_timer(&self) {
        let (stop, stopped) = watch::channel(false);
        let pricing = self.owners.pricing.clone();
        let timer = tokio::spawn(async move { pricing.run_timer(stopped).await });
        self.drivers.lock().await.timer = Some((stop, timer));
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, DriverCounts> {
        self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn contexts(owners: &Owners) -> [&Context; 3] {
    [owners.catalog.context(), owners.pricing.context(), owners.inventory.context()]
}
