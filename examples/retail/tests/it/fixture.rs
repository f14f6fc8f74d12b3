//! A small platform in a directory of its own.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retail::experience::Levels;
use retail::{Fact, Market, Observed, Parts, Place, Platform, Settings, Sku, Witness};
use tempfile::TempDir;
use tidings::{Clock, Entity, Event, Observer, Outcome, Path, Running, Stamp, Topic};
use tidings_core::port::{self, Log, ReadLimit};
use tidings_core::{Offset, Partition, Position};
use tidings_sqlite::SqliteLog;
use tidings_testkit::history::{self, Applied, Commit, History, Record};
use tidings_testkit::until;
use tokio_postgres::Client;

use crate::databases::Databases;

/// Long enough for a busy machine; nothing waits this long unless it is broken.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);

pub(crate) struct Fixture {
    pub(crate) platform: Arc<Platform>,
    pub(crate) log: Arc<SqliteLog>,
    pub(crate) clock: Clock,
    pub(crate) seen: Arc<Seen>,
    /// Where the contexts are, if not in files, and what relays them.
    databases: Option<Databases>,
    relays: Mutex<Vec<Running>>,
    dir: TempDir,
}

/// Everything that was committed and applied, and the history that a checker judges.
pub(crate) struct Seen {
    pub(crate) history: History,
    pub(crate) committed: Mutex<BTreeSet<(Entity, Stamp)>>,
    pub(crate) applied: Mutex<BTreeSet<(Entity, Stamp)>>,
    pub(crate) baseline: AtomicUsize,
    pub(crate) reads: AtomicUsize,
    bound: Duration,
}

struct Ear(Arc<Seen>);

pub(crate) const COPY: &str = "experience-api";

impl Witness for Ear {
    fn now_ns(&self) -> u64 {
        self.0.history.now()
    }
    fn baseline(&self, entity: Entity, stamp: Stamp) {
        self.0.baseline.fetch_add(1, Ordering::Relaxed);
        self.0.history.record(Record::baseline(entity, stamp));
    }
    fn commit(&self, fact: &Fact, began: u64, ended: u64) {
        let (entity, stamp) = (&fact.entity, fact.stamp);
        let first = self.0.committed.lock().unwrap().insert((entity.clone(), stamp));
        assert!(first, "{entity}:{stamp} twice");
        let entity = entity.clone();
        let commit = Commit::of(entity, stamp, began, Some(ended));
        self.0.history.record(Record::Commit(Commit { digest: Some(fact.digest), ..commit }));
    }
    fn read(&self, read: Observed) {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        self.0.history.record(Record::Read(history::Read {
            copy: COPY.into(),
            session: read.session,
            view: read.view.into(),
            key: read.key.into(),
            shows: read.shows.into_iter().map(shown).collect(),
            token: read.token,
            began: read.began_ns,
            ended: read.ended_ns,
            freshness: read.certificate.freshness,
            path: read.certificate.path,
            bound: Some(self.0.bound),
        }));
    }
    fn repaired(&self, taken: Vec<retail::Shown>) {
        for shown in taken {
            let (entity, stamp, at) = (shown.entity, shown.stamp.unwrap(), self.0.history.now());
            self.0.applied.lock().unwrap().insert((entity.clone(), stamp));
            let applied = Applied { copy: COPY.into(), entity, stamp, outcome: Outcome::Applied, at };
            self.0.history.record(Record::Applied(applied));
        }
    }
}

pub(crate) fn shown(shown: retail::Shown) -> history::Shown {
    let at = |stamp| history::State::At { stamp, digest: shown.digest, in_force: None };
    history::Shown { entity: shown.entity, state: shown.stamp.map_or(history::State::Absent, at) }
}

impl Observer for Ear {
    fn outcomes(&self, outcomes: &[(Arc<Event>, Outcome)]) {
        for (event, outcome) in outcomes {
            let (entity, stamp, at) = (event.entity.clone(), event.stamp, self.0.history.now());
            self.0.applied.lock().unwrap().insert((entity.clone(), stamp));
            let applied = Applied { copy: COPY.into(), entity, stamp, outcome: *outcome, at };
            self.0.history.record(Record::Applied(applied));
        }
    }
    fn gap(&self, _: &Partition, _: &str) {
        self.0.history.record(Record::Epoch { copy: COPY.into(), at: self.0.history.now() });
    }
}

/// Ten products in each category, and a bound that no pause of a busy machine exceeds: what is cached stays cached
/// until there is news of it.
pub(crate) fn settings() -> Settings {
    Settings { seed: 7, skus: 400, pages: 2_000, bound: Duration::from_secs(60), ..Settings::default() }
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_with(settings()).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        Self::start_in(dir, None, settings, None).await.unwrap()
    }

    /// Over levels that copies share.
    pub(crate) async fn start_over(levels: Levels) -> Self {
        let dir = TempDir::new().unwrap();
        Self::start_in(dir, None, settings(), Some(levels)).await.unwrap()
    }

    /// With its contexts on PostgreSQL; `None` if only what needs no server is to be tested.
    pub(crate) async fn on_postgres(settings: Settings) -> Option<Self> {
        Some(Self::on_databases(Databases::new()?, settings).await)
    }

    pub(crate) async fn on_databases(databases: Databases, settings: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        Self::start_in(dir, Some(databases), settings, None).await.unwrap()
    }

    async fn start_in(
        dir: TempDir,
        databases: Option<Databases>,
        settings: Settings,
        levels: Option<Levels>,
    ) -> tidings::Result<Self> {
        let log = SqliteLog::open(dir.path().join("log.db"))?;
        let clock = Clock::system();
        let seen = Arc::new(Seen {
            history: History::begin(),
            committed: Mutex::default(),
            applied: Mutex::default(),
            baseline: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            bound: settings.bound,
        });
        seen.history.record(Record::Subscribed { copy: COPY.into(), kind: None, from: 0 });
        let ear = Arc::new(Ear(seen.clone()));
        let parts = Parts { witness: ear.clone(), observer: ear, clock: clock.clone(), levels };
        let place = place(&dir, databases.as_ref());
        let platform = Arc::new(Platform::start(place, settings, log.clone(), parts).await?);
        let relays = match &databases {
            Some(databases) => databases.relays(&(log.clone() as Arc<dyn Log>)).await,
            None => Vec::new(),
        };
        let relays = Mutex::new(relays);
        let shop = Self { platform, log, clock, seen, databases, relays, dir };
        // What is cached before the consumer begins is checked again once it does.
        until("the consumer has heard every context", async || {
            shop.platform.stats().contexts.iter().all(|context| context.caught_up.is_some()).then_some(())
        })
        .await;
        Ok(shop)
    }

    /// Where its contexts are.
    pub(crate) fn place(&self) -> Place {
        place(&self.dir, self.databases.as_ref())
    }

    /// A session of one's own with a context's database.
    pub(crate) async fn database(&self, context: &str) -> Client {
        self.databases.as_ref().unwrap().address(context).connect("test", "").await.unwrap()
    }

    /// Ends the sessions of this name on Pricing's database.
    pub(crate) async fn end_sessions(&self, application: &str) {
        let client = self.database("pricing").await;
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = $1";
        let ended: i64 = client.query_one(end, &[&application]).await.unwrap().get(0);
        assert!(ended > 0);
    }

    /// Stops, with nothing left. Its relays before its copy: a mark that nobody hears any more would count as left.
    pub(crate) async fn stop(&self) {
        self.platform.stop_changes(DRAIN).await.unwrap();
        self.stop_relays().await;
        assert_eq!(self.platform.stop(DRAIN).await.unwrap(), retail::platform::Left::default());
    }

    async fn stop_relays(&self) {
        let relays = std::mem::take(&mut *self.relays.lock().unwrap());
        for relay in relays {
            relay.stop(DRAIN).await.unwrap();
        }
    }

    /// Stops, and starts again on the same files.
    pub(crate) async fn restart(self) -> Self {
        self.reopen_after(|_| {}).await.unwrap()
    }

    /// Stops, lets the files be changed, and starts again.
    pub(crate) async fn reopen_after(self, change: impl FnOnce(&std::path::Path)) -> tidings::Result<Self> {
        self.stop().await;
        self.reopened(change).await
    }

    /// As [`Fixture::reopen_after`], where something cannot be finished.
    pub(crate) async fn reopen_unfinished(self, change: impl FnOnce(&std::path::Path)) -> Self {
        self.platform.stop(Duration::from_secs(3)).await.unwrap();
        self.reopened(change).await.unwrap()
    }

    async fn reopened(self, change: impl FnOnce(&std::path::Path)) -> tidings::Result<Self> {
        self.stop_relays().await;
        let Self { platform, log, dir, databases, .. } = self;
        drop((platform, log));
        change(dir.path());
        Self::start_in(dir, databases, settings(), None).await
    }

    /// A product by its place in the order of popularity.
    pub(crate) fn sku(&self, rank: usize) -> Sku {
        self.platform.experience().by_popularity()[rank].clone()
    }

    /// Reads a page until it is answered from the cache.
    pub(crate) async fn cache_page(&self, sku: &Sku, market: Market) -> retail::ProductPage {
        until("the page is cached", async || {
            let page = self.platform.product(sku, market).await.unwrap();
            (page.certificate().path == Path::L1).then(|| page.value().cloned().unwrap())
        })
        .await
    }

    /// Reads a listing until it is answered from the cache.
    pub(crate) async fn cache_listing(&self, key: &retail::ListingKey) -> retail::ListingPage {
        until("the listing is cached", async || {
            let page = self.platform.listing(key).await.unwrap();
            (page.certificate().path == Path::L1).then(|| page.value().cloned().unwrap())
        })
        .await
    }

    /// The events of a topic that are in the log now.
    pub(crate) async fn events(&self, topic: &str) -> Vec<Arc<Event>> {
        let partition = Partition { topic: Topic::new(topic).unwrap(), index: 0 };
        let from = Position { partition, offset: Offset(0) };
        let limit = ReadLimit { records: 1_000_000, bytes: 1 << 30 };
        let port::Read::Records(stored) = self.log.read(&from, limit).await.unwrap() else { panic!("a gap") };
        let event = |record| match record {
            port::Record::Event(event) => Some(event),
            _ => None,
        };
        stored.into_iter().filter_map(|stored| event(stored.record)).collect()
    }

    /// Waits until everything committed so far has been applied.
    pub(crate) async fn settle(&self) {
        until("everything committed is applied", async || {
            let committed = self.seen.committed.lock().unwrap().clone();
            committed.is_subset(&self.seen.applied.lock().unwrap()).then_some(())
        })
        .await;
    }
}

fn place(dir: &TempDir, databases: Option<&Databases>) -> Place {
    databases.map_or_else(|| dir.path().into(), |databases| databases.place(dir.path()))
}
