//! The Experience API: assembles product pages and listings, and keeps its own copies honest.
//!
//! It opens nobody's files. Product pages are loaded through the owners' read functions; listings from a read model of
//! its own that is built from their events. What each event means here is in [`decide`](self).

use std::hash::Hash;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidings::{BoxError, Cached, Clock, Fence, Fill, Loaded, View, ViewCounts};
use tidings_core::{Offset, Partition, Position, Stamp, Time, Topic, Truth, Version};
use tidings_sqlite::SqliteProjection;

use crate::catalog::{CONTENT, Catalog};
use crate::inventory::{Inventory, STOCK};
use crate::name::{Sku, offer_id};
use crate::pricing::{PRICE, Pricing};
use crate::refusal::{Refusal, Result};
use crate::store::FileReaders;
use crate::token::Token;
use crate::witness::{Shown, Witness};

mod category;
mod consume;
mod decide;
mod held;
mod page;
mod projection;
mod repair;
mod shelves;
mod snapshot;

use category::Categories;
pub(crate) use consume::{CONSUMER, consumer};
pub use decide::{LISTING, listing_region};
pub(crate) use held::Kept;
pub use page::{LISTED, Line, ListingKey, ListingPage, ProductKey, ProductPage, Sort};
pub(crate) use repair::Repairer;
pub use repair::Repairs;
use repair::{Counts, Taken};
use shelves::Shelves;
pub use shelves::{Levels, Shelf};

/// The view of product pages.
pub const PRODUCT_DETAIL: &str = "product_detail";
/// The view of listings.
pub const CATEGORY_LISTING: &str = "category_listing";

/// How often and how long the read model is waited for. After that the view says what it then knows of the answer.
const PATIENCE: u32 = 20;
const STEP: Duration = Duration::from_millis(2);

/// How one view does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewStats {
    /// Its name.
    pub name: &'static str,
    /// Its promise: how much an answer served as good may have missed.
    pub bound: Duration,
    /// How much it may have missed at this moment; `None` before the first marks.
    pub knowledge_age: Option<Duration>,
    /// How many entries it holds.
    pub entries: usize,
    /// Its running totals.
    pub counts: ViewCounts,
}

impl ViewStats {
    fn of<K, V>(view: &View<K, V>, name: &'static str) -> Self
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        let (bound, knowledge_age) = (view.bound(), view.knowledge_age());
        Self { name, bound, knowledge_age, entries: view.entries(), counts: view.counts() }
    }
}

/// The contexts that own what is shown.
#[derive(Clone)]
pub(crate) struct Owners {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) pricing: Arc<Pricing>,
    pub(crate) inventory: Arc<Inventory>,
}

/// How the Experience API caches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caching {
    pub(crate) pages: usize,
    pub(crate) bound: Duration,
    pub(crate) readers: usize,
}

/// The context.
pub struct Experience {
    sources: Sources,
    categories: Arc<Categories>,
    by_popularity: Vec<Sku>,
    repairs: Arc<Counts>,
    products: View<ProductKey, ProductPage>,
    listings: View<ListingKey, ListingPage>,
}

impl Experience {
    /// Opens the read model; one that is new begins with the owners' published snapshots.
    pub(crate) async fn open(
        dir: &Path,
        owners: Owners,
        fence: &Arc<Fence>,
        topics: &[Topic],
        partitions: &[Partition],
        caching: Caching,
        levels: Option<Levels>,
    ) -> Result<Self> {
        let path = dir.join("experience.db");
        let shelves =
            levels.map(|levels| Shelves::new(levels, &owners, fence, topics, caching)).transpose()?;
        if projection::is_empty(&path)? {
            projection::bootstrap(&path, &snapshot::take(fence.clock(), &owners).await?)?;
        }
        let projection =
            SqliteProjection::open(&path, CATEGORY_LISTING, projection::SCHEMA, Box::new(projection::apply))?;
        let readers = FileReaders::open(&path, caching.readers)?;
        let (known, taken) = readers.read(|db| Ok((projection::known(db)?, projection::taken(db)?))).await?;
        let by_popularity = known.iter().map(|known| known.sku.clone()).collect();
        let categories = Categories::new(known.into_iter().map(|k| (k.sku, k.category, k.version)));
        let truth = Truth::Push(caching.bound);
        let products = View::builder(PRODUCT_DETAIL, fence).truth(truth).sources(topics);
        let listings = View::builder(CATEGORY_LISTING, fence).truth(truth).sources(topics);
        let partitions = partitions.to_vec();
        Ok(Self {
            sources: Sources {
                owners,
                shelves,
                clock: fence.clock().clone(),
                readers,
                projection,
                partitions,
                taken: Taken::at(taken),
            },
            repairs: Arc::default(),
            categories: Arc::new(categories),
            by_popularity,
            products: products.capacity(caching.pages).build()?,
            listings: listings.capacity(caching.pages).build()?,
        })
    }

    /// A product page; a value of `None` if there is no such product.
    pub async fn product(&self, key: &ProductKey) -> Result<Cached<ProductPage>> {
        Ok(self.products.get(key, |fill| self.sources.product(key, fill)).await?)
    }

    /// As [`Experience::product`], and at least as new as what a write answered.
    pub async fn product_at_least(&self, key: &ProductKey, token: &Token) -> Result<Cached<ProductPage>> {
        let offer = offer_id(&key.sku, key.market);
        let shown = match token.entity.kind() {
            CONTENT => token.entity.id() == key.sku.as_str(),
            PRICE | STOCK => token.entity.id() == offer,
            _ => false,
        };
        if !shown {
            let what = format!("the page {key} does not show {}", token.entity);
            return Err(Refusal::invalid("TOKEN_INVALID", what));
        }
        let token = (&token.entity, Stamp::of(token.version));
        Ok(self.products.get_at_least(key, token, |fill| self.sources.product(key, fill)).await?)
    }

    /// A listing.
    pub async fn listing(&self, key: &ListingKey) -> Result<Cached<ListingPage>> {
        Ok(self.listings.get(key, |fill| self.sources.listing(key, fill)).await?)
    }

    /// What the read model holds.
    pub(crate) async fn modelled(&self) -> Result<Vec<Shown>> {
        self.sources.readers.read(projection::held).await
    }

    /// All products, most popular first, as of the start.
    #[must_use]
    pub fn by_popularity(&self) -> &[Sku] {
        &self.by_popularity
    }

    /// How each view does.
    #[must_use]
    pub fn stats(&self) -> [ViewStats; 2] {
        [ViewStats::of(&self.products, PRODUCT_DETAIL), ViewStats::of(&self.listings, CATEGORY_LISTING)]
    }

    /// What the views count that share a level with other copies; none without one.
    #[must_use]
    pub fn shared(&self) -> Vec<(&'static str, ViewCounts)> {
        self.sources.shelves.as_ref().map_or_else(Vec::new, |shelves| shelves.counts().into())
    }

    /// Up to where the read model has taken each partition in, and so where its consumer goes on.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        let Sources { partitions, projection, .. } = &self.sources;
        let next = |partition: &Partition| projection.position(partition).unwrap_or(Offset(0));
        partitions.iter().map(|p| Position { partition: p.clone(), offset: next(p) }).collect()
    }

    /// What repairs the read model behind listings after a gap. An owner shows what it has published within this time.
    pub(crate) fn repairer(
        &self,
        fence: &Arc<Fence>,
        witness: Arc<dyn Witness>,
        visible_within: Duration,
    ) -> Repairer {
        let Sources { owners, clock, readers, projection, taken, .. } = &self.sources;
        Repairer {
            owners: owners.clone(),
            projection: projection.clone(),
            readers: readers.clone(),
            categories: self.categories.clone(),
            taken: taken.clone(),
            counts: self.repairs.clone(),
            clock: clock.clone(),
            fence: fence.clone(),
            witness,
            visible_within,
        }
    }

    /// What became of gaps in the read model behind listings.
    #[must_use]
    pub fn repairs(&self) -> Repairs {
        self.repairs.with(self.sources.projection.gap().is_some())
    }

    /// The source time up to which listings have taken everything in.
    #[must_use]
    pub fn caught_up(&self) -> Time {
        self.sources.caught_up()
    }
}

/// What answers are loaded from.
struct Sources {
    owners: Owners,
    /// What is asked before the owners are, if copies share something.
    shelves: Option<Shelves>,
    clock: Clock,
    readers: FileReaders,
    projection: Arc<SqliteProjection>,
    partitions: Vec<Partition>,
    taken: Taken,
}

impl Sources {
    fn caught_up(&self) -> Time {
        // A partition that nothing has come from yet says nothing: what it holds may be older than any other's mark.
        let heard_all = self.partitions.iter().all(|partition| self.projection.position(partition).is_some());
        let marked = self.projection.caught_up().filter(|_| heard_all);
        let taken = self.taken.time();
        marked.map_or(taken, |time| time.max(taken))
    }

    async fn product(&self, key: &ProductKey, fill: Fill) -> Result<Loaded<ProductPage>, BoxError> {
        let Owners { catalog, pricing, inventory } = &self.owners;
        let now = self.clock.wall();
        let shared = match &self.shelves {
            Some(shelves) => shelves.parts(key, &fill, now).await?,
            None => None,
        };
        let (content, price, stock) = match shared {
            Some((content, price, stock)) => (Some(content), Some(price), Some(stock)),
            None => tokio::try_join!(
                catalog.content(&key.sku),
                pricing.price(&key.sku, key.market),
                inventory.stock(&key.sku, key.market),
            )?,
        };
        let offer = offer_id(&key.sku, key.market);
        let (Some(content), Some(price), Some(stock)) = (content, price, stock) else {
            fill.depends_unversioned(CONTENT, key.sku.as_str());
            fill.depends_unversioned(PRICE, &offer);
            fill.depends_unversioned(STOCK, &offer);
            return Ok(Loaded::absent());
        };
        fill.depends(CONTENT, key.sku.as_str(), content.version);
        fill.depends(PRICE, &offer, price.version);
        fill.depends(STOCK, &offer, stock.version);
        if let Some(boundary) = price.boundary {
            fill.valid_until(boundary);
        }
        let page = ProductPage::assemble(key, content, price, &stock);
        Ok(Loaded::new(page.version(), page))
    }

    async fn listing(&self, key: &ListingKey, fill: Fill) -> Result<Loaded<ListingPage>, BoxError> {
        // Asked before the rows are read: they may be newer than this, never older.
        fill.as_of(self.caught_up());
        // The consumer applies each batch to the read model before it applies it to the fence.
        fill.in_step();
        fill.depends_on_region(LISTING, &format!("{}/{}", key.category, key.market));
        let lines = self.lines_in_step(key, &fill).await?;
        for line in &lines {
            fill.depends(CONTENT, line.sku.as_str(), line.content_version);
            fill.depends(PRICE, &offer_id(&line.sku, key.market), line.price_version);
        }
        let (category, region, sort) = (key.category, key.market, key.sort);
        Ok(Loaded::unversioned(ListingPage { category, region, sort, lines }))
    }

    /// The read model lags a little. If a line is older than what is known here (from a page that was loaded from the
    /// owner, say), the news is on its way: it is waited for, so that a listing is not behind the page beside it.
    async fn lines_in_step(&self, key: &ListingKey, fill: &Fill) -> Result<Vec<Line>> {
        let below = |kind: &str, id: &str, version: Version| {
            fill.floor(kind, id).is_some_and(|floor| Stamp::of(version) < floor)
        };
        let mut patience = PATIENCE;
        loop {
            let wanted = key.clone();
            let lines = self.readers.read(move |db| projection::lines(db, &wanted)).await?;
            let behind = lines.iter().any(|line| {
                below(CONTENT, line.sku.as_str(), line.content_version)
                    || below(PRICE, &offer_id(&line.sku, key.market), line.price_version)
            });
            if !behind || patience == 0 {
                return Ok(lines);
            }
            patience -= 1;
            tokio::time::sleep(STEP).await;
        }
    }
}
