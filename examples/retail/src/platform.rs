//! All contexts in one process, wired: a relay for each publisher, the Experience API's consumer, the promotions' timer.

use std::sync::Arc;
use std::time::Duration;

use tidings::{Cached, Clock, Direct, Fence, Observer, Relay, RelayCounts, Running};
use tidings_core::port::{Log, Outbox, Parking};
use tidings_core::relay::Settings as RelaySettings;
use tidings_core::{Code, Entity, Error, Result, Stamp, Topic};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::catalog::{Catalog, Revision};
use crate::checkout::{Checkout, Order, Placed};
use crate::context::Context;
use crate::experience::{CONSUMER, Experience, Levels, ListingKey, ListingPage, Owners, ProductPage};
use crate::inventory::Inventory;
use crate::name::{Market, Sku};
use crate::place::Place;
use crate::pricing::{Offer, Pricing, Promoted};
use crate::refusal::Result as Answer;
use crate::seed::DEFAULT_SKUS;
use crate::store::Home;
use crate::storefront::{Reader, Storefront};
use crate::token::{Token, Written};
use crate::witness::{Shown, Witness};

mod open;
mod stats;

use open::{newest, open};
pub use stats::{ConsumerStats, ContextStats, Left, Stats};

/// Between two looks at what relays in other processes have left.
const LOOK_EVERY: Duration = Duration::from_millis(50);

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
    /// What copies share, if they share anything.
    pub levels: Option<Levels>,
}

/// The running platform.
pub struct Platform {
    owners: Owners,
    checkout: Checkout,
    storefront: Arc<Storefront>,
    log: Arc<dyn Log>,
    relay: RelaySettings,
    drivers: Mutex<Drivers>,
    /// The relays' running totals, which outlive them.
    relays: std::sync::Mutex<Vec<Arc<RelayCounts>>>,
}

#[derive(Default)]
struct Drivers {
    relays: Vec<Running>,
    timer: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Platform {
    /// Opens or creates everything and starts the drivers: the owners, and one copy of what customers see.
    ///
    /// On PostgreSQL the relays are not started: they are processes of their own.
    pub async fn start<L: Log + Parking + 'static>(
        place: impl Into<Place>,
        settings: Settings,
        log: Arc<L>,
        parts: Parts,
    ) -> Result<Self> {
        let place = place.into();
        let (owners, checkout) = open(&place, &settings, &parts).await?;
        if parts.witness.wants_baseline() {
            for (entity, stamp) in newest(&owners).await? {
                parts.witness.baseline(entity, stamp);
            }
        }
        checkout.settle().await?;
        let storefront =
            Storefront::beside(owners.clone(), &place, settings, log.clone(), parts, CONSUMER).await?;
        let platform = Self {
            owners,
            checkout,
            storefront: Arc::new(storefront),
            log,
            relay: settings.relay,
            drivers: Mutex::default(),
            relays: std::sync::Mutex::default(),
        };
        platform.start_relays().await;
        platform.start_timer().await;
        Ok(platform)
    }

    /// Makes what is missing of the owners' state, and starts nothing: for those who must know beforehand where it is.
    pub async fn prepare(place: &Place, settings: Settings, parts: &Parts) -> Result<()> {
        let (owners, checkout) = open(place, &settings, parts).await?;
        checkout.stop().await;
        for context in contexts(&owners) {
            context.stop().await;
        }
        Ok(())
    }

    /// The copy of what customers see in this process.
    #[must_use]
    pub fn storefront(&self) -> &Arc<Storefront> {
        &self.storefront
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
        self.storefront.experience()
    }

    /// What bounds the views' answers.
    #[must_use]
    pub fn fence(&self) -> &Arc<Fence> {
        self.storefront.fence()
    }

    /// The topics, one per publishing context.
    #[must_use]
    pub fn topics(&self) -> &[Topic] {
        self.storefront.topics()
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
        for running in &mut self.drivers.lock().await.relays {
            if running.is_finished() {
                let ended = || Error::new(Code::DEFECT, "a driver ended without being asked");
                return Some(running.finished().await.err().unwrap_or_else(ended));
            }
        }
        self.storefront.failure().await
    }

    /// Stops the consumer alone: from here on copies hear no news. [`Platform::resume_consumer`] has them catch up.
    pub async fn stop_consumer(&self, at_most: Duration) -> Result<()> {
        self.storefront.stop_consumer(at_most).await
    }

    /// Starts the consumer again where it stopped.
    pub async fn resume_consumer(&self) -> Result<()> {
        self.storefront.resume_consumer().await
    }

    /// Stops in the order of the flow, so that each part finishes what the one before it left: no more promotions, no
    /// more commands, everything committed published, everything published applied. Each driver may take `at_most`.
    ///
    /// A driver that does not drain in time is not a failure: what it left is in the answer. Any other failure is
    /// returned once everything has stopped.
    pub async fn stop(&self, at_most: Duration) -> Result<Left> {
        let mut failure = self.stop_changes(at_most).await.err();
        failure = failure.or(unless_late(self.storefront.stop_consumer(at_most).await));
        match failure {
            Some(failure) => Err(failure),
            None => self.left().await,
        }
    }

    /// As [`Platform::stop`], but for its last step: nothing is committed any more, and everything that was is published. The
    /// copy here goes on, for as long as relays in other processes have something to say.
    pub async fn stop_changes(&self, at_most: Duration) -> Result<()> {
        let drivers = std::mem::take(&mut *self.drivers.lock().await);
        let mut failure = None;
        if let Some((stop, timer)) = drivers.timer {
            stop.send_replace(true);
            let panicked = |e| Error::new(Code::DEFECT, "the promotions' timer panicked").because(e);
            failure = timer.await.map_err(panicked).err();
        }
        self.checkout.stop().await;
        for context in contexts(&self.owners) {
            context.stop().await;
        }
        for relay in drivers.relays {
            failure = failure.or(unless_late(relay.stop(at_most).await));
        }
        let waited = self.wait_for_relays(at_most).await;
        failure.or(waited.err()).map_or(Ok(()), Err)
    }

    /// What is committed and not in the log, and what is in the log and not applied by the copy in this process. On
    /// PostgreSQL an event that its relay has set aside counts as published.
    pub async fn left(&self) -> Result<Left> {
        let mut left = Left { unpublished: 0, unapplied: self.storefront.unapplied().await? };
        for context in contexts(&self.owners) {
            left.unpublished += context.home.unpublished().await?;
        }
        Ok(left)
    }

    /// Every entity and its version, as its owner has it now: what every copy must come to.
    pub async fn newest(&self) -> Answer<Vec<(Entity, Stamp)>> {
        newest(&self.owners).await
    }

    /// Relays in other processes publish what was committed last; those of this one have stopped.
    async fn wait_for_relays(&self, at_most: Duration) -> Result<()> {
        let deadline = Instant::now() + at_most;
        for context in contexts(&self.owners) {
            if matches!(context.home, Home::Database { .. }) {
                while context.home.unpublished().await? > 0 && Instant::now() < deadline {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
        Ok(())
    }

    async fn start_relays(&self) {
        let mut drivers = self.drivers.lock().await;
        for (context, topic) in contexts(&self.owners).into_iter().zip(self.storefront.topics()) {
            let Home::File { outbox: Some(outbox) } = &context.home else { continue };
            let outbox: Arc<dyn Outbox> = outbox.clone();
            let relay = Relay::new(topic.clone(), outbox, self.log.clone()).settings(self.relay);
            self.relays().push(relay.counts());
            drivers.relays.push(relay.spawn());
        }
    }

    async fn start_timer(&self) {
        let (stop, stopped) = watch::channel(false);
        let pricing = self.owners.pricing.clone();
        let timer = tokio::spawn(async move { pricing.run_timer(stopped).await });
        self.drivers.lock().await.timer = Some((stop, timer));
    }

    fn relays(&self) -> std::sync::MutexGuard<'_, Vec<Arc<RelayCounts>>> {
        self.relays.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Reading through the copy in this process.
impl Platform {
    /// As [`Storefront::reader`].
    #[must_use]
    pub fn reader(&self, session: u64) -> Reader<'_> {
        self.storefront.reader(session)
    }

    /// As [`Storefront::product`].
    pub async fn product(&self, sku: &Sku, market: Market) -> Answer<Cached<ProductPage>> {
        self.storefront.product(sku, market).await
    }

    /// As [`Storefront::product_at_least`].
    pub async fn product_at_least(
        &self,
        sku: &Sku,
        market: Market,
        token: &Token,
    ) -> Answer<Cached<ProductPage>> {
        self.storefront.product_at_least(sku, market, token).await
    }

    /// As [`Storefront::listing`].
    pub async fn listing(&self, key: &ListingKey) -> Answer<Cached<ListingPage>> {
        self.storefront.listing(key).await
    }

    /// As [`Storefront::held`].
    pub async fn held(&self) -> Answer<Vec<Shown>> {
        self.storefront.held().await
    }
}

/// What is not done in time is left for the next start, and no failure.
fn unless_late(stopped: Result<()>) -> Option<Error> {
    stopped.err().filter(|error| error.code() != Code::STOPPING)
}

fn contexts(owners: &Owners) -> [&Context; 3] {
    [owners.catalog.context(), owners.pricing.context(), owners.inventory.context()]
}
