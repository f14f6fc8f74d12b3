//! The parts of `tidings dev`, started in the order of the flow and stopped in the same order, so that each finishes
//! what the one before it left.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use retail::load::{Load, LoadTotals, Loading};
use retail::platform::Left;
use retail::{Parts, Platform, Sku, Witness};
use tidings::{Clock, Consumer, DomainEvent, Relay, Running, Start};
use tidings_core::port::{Batch, Boxed, Log, Outbox, Parking, Retention, Store};
use tidings_core::{Code, Decision, Error, Event, Result, Topic};
use tidings_sqlite::SqliteLog;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::client::Clients;
use super::compared::Compared;
use super::console::{Console, Estate};
use super::history::HistoryFile;
use super::recorder::{Beginning, COPY, Judging, Recorder};
use super::report::Ended;
use super::{Settings, baseline, http};
use crate::data_dir::DataDir;
use crate::published::{self, PublishedOutbox};
use crate::survey;

/// Reads through the library for each change.
pub(crate) const READS_PER_CHANGE: u32 = 20;
/// How long the log and the outboxes keep what has been read, and how much of it the log keeps at most.
const KEEP: Duration = Duration::from_secs(3600);
const KEEP_BYTES: u64 = 1 << 30;
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether a driver has ended.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Everything at work.
pub(crate) struct Wired {
    pub(crate) platform: Arc<Platform>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) console: Arc<Console>,
    pub(crate) began: Instant,
    pub(crate) seed: u64,
    pub(crate) load: u32,
    pub(crate) resumed: u64,
    dir: DataDir,
    log: Arc<SqliteLog>,
    judging: Judging,
    loading: Option<Loading>,
    clients: Option<Clients>,
    server: http::Server,
    published: Published,
    tidying: JoinHandle<()>,
}

/// What carries and takes in the events of `tidings publish`.
struct Published {
    relay: Running,
    consumer: Running,
}

impl Wired {
    /// Starts everything on what is in the directory.
    pub(crate) async fn start(
        settings: &Settings,
        dir: &DataDir,
        listener: TcpListener,
        address: &str,
        history: Option<HistoryFile>,
    ) -> Result<Self> {
        let retail = retail::Settings {
            seed: settings.seed,
            skus: usize::try_from(settings.products).unwrap_or(usize::MAX),
            ..retail::Settings::default()
        };
        let log = SqliteLog::open(dir.file("log.db"))?;
        let (known, resumed) = baseline::known(dir, &log).await?;
        let writing = history.map(HistoryFile::begin).transpose()?;
        let (recorder, judging) =
            Recorder::start(Beginning { bound: retail.bound, known, writing, others: Vec::new() })?;
        let parts = Parts {
            witness: recorder.clone(),
            observer: recorder.clone(),
            clock: Clock::system(),
            levels: None,
        };
        let platform = Platform::start(dir.path(), retail, log.clone(), parts).await;
        let platform = Arc::new(platform.map_err(|e| e.at(dir.path().display()))?);
        let published = Published::start(dir, &log).await?;
        let console = Console::new(
            Estate::Files(dir.clone(), log.clone()),
            platform.clone(),
            recorder.clone(),
            settings.load,
        );
        let server = http::Server::start(listener, platform.clone(), console.clone());
        let (loading, clients) = if settings.load == 0 {
            (None, None)
        } else {
            let load = Load {
                changes_per_s: settings.load,
                reads_per_change: READS_PER_CHANGE,
                seed: settings.seed,
            };
            let host = address.trim_start_matches("http://");
            let clients =
                Clients::start(host, platform.clone(), recorder.clone(), retail.bound, settings.seed);
            (Some(load.spawn(platform.clone())), Some(clients))
        };
        let tidying = tokio::spawn(tidy(dir.clone(), log.clone()));
        let (began, seed, load, dir) = (Instant::now(), settings.seed, settings.load, dir.clone());
        Ok(Self {
            platform,
            recorder,
            console,
            began,
            seed,
            load,
            resumed,
            dir,
            log,
            judging,
            loading,
            clients,
            server,
            published,
            tidying,
        })
    }

    /// A product that many ask for.
    pub(crate) fn popular_sku(&self) -> &str {
        self.platform.experience().by_popularity().first().map_or("SKU-00001", Sku::as_str)
    }

    /// Resolves if a relay or consumer ends without being asked, or if the history cannot be written any more, with the
    /// reason.
    pub(crate) async fn failed(&self) -> Error {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(error) = self.platform.failure().await {
                return error.at("a driver has ended");
            }
            if let Some(error) = self.recorder.unwritten() {
                return error;
            }
            if self.published.relay.is_finished() || self.published.consumer.is_finished() {
                return Error::new(
                    Code::DEFECT,
                    "the relay or the consumer of published events ended by itself",
                );
            }
        }
    }

    /// Stops everything, and says what came of it. What is not done within `at_most` is left for the next start.
    pub(crate) async fn stop(mut self, at_most: Duration) -> Result<Ended> {
        let ran = self.began.elapsed();
        let deadline = Instant::now() + at_most;
        let (load, http_reads, http_failed) = self.stop_load(deadline).await?;
        let Self { platform, recorder, console, server, published, judging, dir, log, tidying, .. } = self;
        tidying.abort();
        console.close();
        server.stop(deadline).await;
        let left = tokio::time::timeout_at(deadline, async {
            let left = platform.stop(at_most).await?;
            published.relay.stop(at_most).await?;
            published.consumer.stop(at_most).await?;
            Ok::<Left, Error>(left)
        });
        let (left, failure) = match left.await {
            Ok(Ok(left)) => (left, None),
            Ok(Err(error)) => (count_left(&dir, &log).await?, Some(error)),
            Err(_) => {
                let late =
                    Error::new(Code::STOPPING, format!("not everything was drained within {at_most:?}"));
                (count_left(&dir, &log).await?, Some(late))
            }
        };
        let stats = platform.stats();
        let compared = if failure.is_none() && left == Left::default() {
            compare_ends(&platform, &recorder, &log).await?
        } else {
            Compared::default()
        };
        drop(recorder);
        let found = judging.finish().await?;
        let found_parked = survey::Survey::take(&dir, Some(&log)).await?.parked_total;
        Ok(Ended {
            ran,
            seed: self.seed,
            load: self.load,
            resumed: self.resumed,
            totals: load,
            http_reads,
            http_failed,
            stats,
            left,
            parked_total: found_parked,
            found,
            compared,
            copies: Vec::new(),
            drawn: None,
            failure,
        })
    }
}

/// Everything is drained: what the copies hold now is what was committed last. What was set aside is missing there,
/// and is known to be.
async fn compare_ends(platform: &Platform, recorder: &Recorder, log: &SqliteLog) -> Result<Compared> {
    let upto = recorder.now_ns();
    let (parked, _) = log.parked(COPY, baseline::MOST_PARKED).await?;
    let parked: HashSet<_> = parked.into_iter().map(|parked| parked.event.entity.clone()).collect();
    let held = platform.storefront().holdings().await;
    let mut held = held.map_err(|e| Error::new(Code::DEFECT, "the copies cannot be compared").because(e))?;
    held.modelled.retain(|held| !parked.contains(&held.entity));
    held.cached.retain(|held| !parked.contains(&held.entity));
    Ok(tokio::task::block_in_place(|| recorder.held(held, upto)))
}

/// What a stop that did not come to its end left, by the files.
async fn count_left(dir: &DataDir, log: &SqliteLog) -> Result<Left> {
    let survey = survey::Survey::take(dir, Some(log)).await?;
    Ok(Left {
        unpublished: survey.outboxes.iter().map(|outbox| outbox.waiting).sum(),
        unapplied: survey.groups.iter().map(|group| group.events).sum(),
    })
}

impl Published {
    async fn start(dir: &DataDir, log: &Arc<SqliteLog>) -> Result<Self> {
        let topic = Topic::new(published::TOPIC)?;
        log.partitions(&topic).await?;
        let outbox: Arc<dyn Outbox> = PublishedOutbox::open(dir)?;
        let relay = Relay::new(topic.clone(), outbox, log.clone()).spawn();
        let consumer = Consumer::builder(published::TOPIC, log.clone())
            .topics([&topic])
            .start(Start::Group)
            .on_type(
                retail::catalog::ProductContentUpdated::TYPE,
                readable::<retail::catalog::ProductContentUpdated>,
            )
            .on_type(retail::pricing::BasePriceChanged::TYPE, readable::<retail::pricing::BasePriceChanged>)
            .on_type(
                retail::pricing::PromotionScheduled::TYPE,
                readable::<retail::pricing::PromotionScheduled>,
            )
            .on_type(
                retail::pricing::PromotionActivated::TYPE,
                readable::<retail::pricing::PromotionActivated>,
            )
            .on_type(retail::pricing::PromotionExpired::TYPE, readable::<retail::pricing::PromotionExpired>)
            .on_type(
                retail::inventory::AvailableToSellAdjusted::TYPE,
                readable::<retail::inventory::AvailableToSellAdjusted>,
            )
            .store(Arc::new(NothingHeld))
            .build()?
            .spawn();
        Ok(Self { relay, consumer })
    }
}

/// What is published by hand is read as what it says it is, and parked if it cannot be. It touches no view: what a view
/// shows is told by the context that owns it, whose versions these are not.
fn readable<E: DomainEvent>(event: &Event) -> Result<Vec<Decision>> {
    E::from_event(event)?;
    Ok(vec![Decision::ignore("no view here depends on what is published by hand")])
}

/// The copy of a consumer that keeps none.
struct NothingHeld;

impl Store for NothingHeld {
    fn apply<'a>(&'a self, _: Batch<'a>) -> Boxed<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn open_epoch<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Removes now and then what everybody has read long ago.
async fn tidy(dir: DataDir, log: Arc<SqliteLog>) {
    let retention = Retention { age: Some(KEEP), bytes: Some(KEEP_BYTES) };
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        let mut failures: BTreeMap<String, Error> = BTreeMap::new();
        if let Err(error) = log.retain(retention).await {
            failures.insert("log.db".to_owned(), error);
        }
        for (context, file) in survey::OUTBOXES {
            let pruned = match survey::open_outbox(&dir, context, file) {
                Ok(Some(outbox)) => outbox.prune(KEEP).await.map(drop),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = pruned {
                failures.insert(file.to_owned(), error);
            }
        }
        for (file, error) in failures {
            eprintln!("tidings: {}", error.at(format!("tidying {file}")));
        }
    }
}

impl Wired {
    async fn stop_load(&mut self, deadline: Instant) -> Result<(LoadTotals, u64, u64)> {
        let loading = self.loading.take();
        let mut clients = self.clients.take();
        let stopping = async {
            if let Some(clients) = &mut clients {
                clients.stop().await;
            }
            match loading {
                Some(loading) => loading.stop().await,
                None => Ok(LoadTotals::default()),
            }
        };
        let load = tokio::time::timeout_at(deadline, stopping).await;
        let load = load.map_err(|_| Error::new(Code::STOPPING, "the load did not end in time"))??;
        let (reads, failed) = clients.map_or((0, 0), |clients| clients.totals());
        Ok((load, reads, failed))
    }
}
