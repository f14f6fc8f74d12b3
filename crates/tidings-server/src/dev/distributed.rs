//! `tidings dev --distributed`: the same platform on PostgreSQL, Kafka and Redis, in several processes.
//!
//! This process owns the contexts' databases, makes the changes, serves one copy over HTTP, and judges what everybody saw.
//!
//! - `servers`: where PostgreSQL, Kafka and Redis are;
//! - `children`: the other processes, kept running;
//! - `relays`: for each context one that leads and one that stands by;
//! - `copy`: a process that serves one more copy;
//! - `shelves`: what the copies share on Redis;
//! - `drawn`: what each copy had from them;
//! - `wire`: what such a process did and saw, on its way here;
//! - `patience`: how a start rides out slow servers;
//! - `databases`: what is left on servers that were there before.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use retail::load::{Load, LoadTotals, Loading};
use retail::platform::Left;
use retail::storefront::TOPICS;
use retail::{Parts, Place, Platform, Storefront, Witness};
use serde::Serialize;
use tidings::Clock;
use tidings_core::{Code, Error, Result};
use tidings_kafka::{KafkaLog, KafkaSettings};
use tokio::net::TcpListener;
use tokio::process::ChildStdout;
use tokio::time::Instant;

use super::client::Clients;
use super::compared::Compared;
use super::console::{Console, Estate};
use super::history::HistoryFile;
use super::recorder::{Beginning, COPY, Judging, Recorder};
use super::report::{CopyEnded, Ended};
use super::{Settings, http};
use crate::data_dir::DataDir;

mod children;
mod copy;
mod databases;
mod drawn;
mod patience;
mod relays;
mod servers;
mod shelves;
mod wire;

pub(crate) use children::Seen;
pub(crate) use copy::run as run_copy;
pub(crate) use drawn::Drawn;
pub(crate) use servers::Given;

use children::{Children, Running};
use copy::Front;
use drawn::{Levels, Tally};
use patience::{PATIENCE, persist};
use servers::Servers;
use shelves::Keeping;

/// Reads per second through the library at each copy that is a process of its own: what two cores can do beside the
/// changes, the servers and the checker.
pub(super) const READS_PER_S: u32 = 200;
/// How often it is looked whether a driver has ended.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a copy may take to catch up before it is read from all the same.
const WARM_UP: Duration = Duration::from_secs(30);
/// How long a consumer or a relay may take to finish what there is to do.
const DRAIN: Duration = Duration::from_secs(30);

/// What `--distributed` is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) servers: Given,
    /// How many more copies there are, each a process.
    pub(crate) copies: u32,
}

/// Everything at work.
pub(crate) struct Spread {
    pub(crate) platform: Arc<Platform>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) began: Instant,
    seed: u64,
    load: u32,
    judging: Judging,
    loading: Option<Loading>,
    clients: Option<Clients>,
    console: Arc<Console>,
    server: http::Server,
    relays: Vec<Running>,
    copies: Vec<Running>,
    keeping: tokio::sync::Mutex<Keeping>,
    estate: Arc<World>,
    prefix: String,
    servers: Servers,
    dir: PathBuf,
}

/// What can be seen of the processes.
pub(crate) struct World {
    children: Children,
    recorder: Arc<Recorder>,
    platform: Arc<Platform>,
    dir: PathBuf,
}

/// What `/status` says.
#[derive(Serialize)]
pub(crate) struct Status {
    copies: Vec<CopyStatus>,
    processes: Vec<Seen>,
}

#[derive(Serialize)]
struct CopyStatus {
    name: String,
    restarts: u32,
    /// How old the newest mark is that this copy has applied, of the topic that is furthest behind; `null` before the
    /// first of each.
    behind_ms: Option<u64>,
    /// What it had from the shared levels; `null` as long as it has not said.
    shared: Option<SharedStatus>,
}

#[derive(Serialize)]
struct SharedStatus {
    /// How long ago this was counted.
    age_ms: u64,
    levels: Levels,
}

impl World {
    pub(crate) fn status(&self) -> Status {
        let processes = self.children.seen();
        let restarts =
            |name: &str| processes.iter().find(|seen| seen.name == name).map_or(0, |seen| seen.restarts);
        let copies = self.recorder.behind().into_iter().map(|(name, behind)| CopyStatus {
            restarts: restarts(&name),
            behind_ms: behind.map(|behind| u64::try_from(behind.as_millis()).unwrap_or(u64::MAX)),
            shared: self.tally(&name).map(|Tally { at, levels }| SharedStatus {
                age_ms: self.recorder.now_ns().saturating_sub(at) / 1_000_000,
                levels,
            }),
            name: name.to_string(),
        });
        Status { copies: copies.collect(), processes }
    }

    /// What a copy last said that it had from the shared levels.
    fn tally(&self, copy: &str) -> Option<Tally> {
        if copy != COPY {
            return Tally::find(&own_dir(&self.dir, copy));
        }
        let at = self.recorder.now_ns();
        Some(Tally { at, levels: drawn::count(self.platform.storefront()) })
    }
}

impl Spread {
    /// Starts everything anew, under names that nobody has used.
    pub(crate) async fn start(
        settings: &Settings,
        wish: &Wish,
        dir: &DataDir,
        listener: TcpListener,
        address: &str,
        history: Option<HistoryFile>,
    ) -> Result<Self> {
        let servers = Servers::find(wish.servers.clone()).await?;
        let prefix = format!("dev_{:08x}_", rand::random::<u32>());
        eprintln!("tidings: databases and topics of this run begin with {prefix}");
        let retail = retail::Settings {
            seed: settings.seed,
            skus: usize::try_from(settings.products).unwrap_or(usize::MAX),
            ..retail::Settings::default()
        };
        let names: Vec<Arc<str>> = (1..=wish.copies).map(|number| format!("copy-{number}").into()).collect();
        let writing = history.map(HistoryFile::begin).transpose()?;
        let beginning = Beginning { bound: retail.bound, known: None, writing, others: names.clone() };
        let (recorder, judging) = Recorder::start(beginning)?;
        let log = KafkaLog::open(kafka(&servers.kafka, &prefix))?;
        let place = Place::Postgres {
            server: servers.postgres.clone(),
            prefix: prefix.clone(),
            dir: dir.path().to_owned(),
        };
        let (platform, keeping) = bring_up(&servers, &prefix, &place, retail, &log, &recorder).await?;
        let platform = Arc::new(platform);
        let children = Children::new(dir.path());
        let relays = start_relays(&children, &place, &servers.kafka, &prefix)?;
        let front = Front {
            name: String::new(),
            dir: dir.path().to_owned(),
            postgres: servers.postgres.clone(),
            kafka: servers.kafka.clone(),
            redis: servers.redis.clone(),
            prefix: prefix.clone(),
            origin: recorder.clock().origin(),
            sessions: 0,
            load: settings.load,
            seed: settings.seed,
        };
        let copies = start_copies(&children, &front, &names, &recorder)?;
        let estate = Arc::new(World {
            children,
            recorder: recorder.clone(),
            platform: platform.clone(),
            dir: dir.path().to_owned(),
        });
        let console =
            Console::new(Estate::Servers(estate.clone()), platform.clone(), recorder.clone(), settings.load);
        let server = http::Server::start(listener, platform.clone(), console.clone());
        until_it_knows(platform.storefront()).await;
        let (loading, clients) = load(settings, &platform, &recorder, retail.bound, address);
        Ok(Self {
            platform,
            recorder,
            began: Instant::now(),
            seed: settings.seed,
            load: settings.load,
            judging,
            loading,
            clients,
            console,
            server,
            relays,
            copies,
            keeping: tokio::sync::Mutex::new(keeping),
            estate,
            prefix,
            servers,
            dir: dir.path().to_owned(),
        })
    }

    /// Resolves if the consumer here ends without being asked, or if the history cannot be written any more.
    pub(crate) async fn failed(&self) -> Error {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(error) = self.platform.failure().await {
                return error.at("a driver has ended");
            }
            if let Some(error) = self.keeping.lock().await.failure().await {
                return error.at("the group that keeps the shared cache");
            }
            if let Some(error) = self.recorder.unwritten() {
                return error;
            }
        }
    }

    /// Stops everything in the order of the flow, so that each part finishes what the one before it left.
    pub(crate) async fn stop(mut self) -> Result<Ended> {
        let ran = self.began.elapsed();
        let deadline = Instant::now() + DRAIN;
        if let Some(clients) = &mut self.clients {
            clients.stop().await;
        }
        let totals = match self.loading.take() {
            Some(loading) => loading.stop().await?,
            None => LoadTotals::default(),
        };
        let (http_reads, http_failed) = self.clients.take().map_or((0, 0), |clients| clients.totals());
        self.console.close();
        self.server.stop(deadline).await;
        // Until the relays have published everything.
        let mut failure = self.platform.stop_changes(DRAIN).await.err();
        for relay in self.relays {
            // Longer than it takes to give up by itself: what it left behind is counted below.
            failure = failure.or(relay.stop(Instant::now() + DRAIN + DRAIN).await.err());
        }
        // Nobody writes to the log any more: what the relays said last is applied everywhere.
        for copy in self.copies {
            failure = failure.or(copy.stop(Instant::now() + DRAIN + DRAIN).await.err());
        }
        failure = failure.or(self.keeping.into_inner().stop(DRAIN).await.err());
        let last = compare(&self.platform, &self.recorder).await;
        let (left, compared) = last.unwrap_or_else(|error| {
            failure.get_or_insert(error);
            Default::default()
        });
        let mut copies = Vec::new();
        let mut drawn = drawn::total(&drawn::count(self.platform.storefront()));
        let seen = self.estate.children.seen().into_iter();
        for Seen { name, restarts, .. } in seen.filter(|seen| seen.kind == "copy") {
            let compared = Compared::find(&own_dir(&self.dir, &name)).unwrap_or_else(|error| {
                failure.get_or_insert(error);
                Compared::default()
            });
            drawn.add(Tally::find(&own_dir(&self.dir, &name)).unwrap_or_default().total());
            copies.push(CopyEnded { name, restarts, compared });
        }
        let stats = self.platform.stats();
        drop((self.recorder, self.estate, self.console));
        let found = self.judging.finish().await?;
        drop(self.platform);
        if !self.servers.are_ours() {
            databases::remove(&self.servers.postgres, &self.prefix).await;
            eprintln!("tidings: topics and keys that begin with {} stay on Kafka and Redis", self.prefix);
        }
        self.servers.stop().await;
        Ok(Ended {
            ran,
            seed: self.seed,
            load: self.load,
            resumed: 0,
            totals,
            http_reads,
            http_failed,
            parked_total: stats.consumer.parked,
            stats,
            left,
            found,
            compared,
            copies,
            drawn: Some(drawn),
            failure,
        })
    }
}

/// Lets the copy in this process take in the rest, and compares it. What it cached it vouches for until its consumer begins
/// again, which must not be before this.
async fn compare(platform: &Platform, recorder: &Recorder) -> Result<(Left, Compared)> {
    // There is no second attempt, and a fetch that hangs takes its time to be given up.
    platform.stop_consumer(DRAIN + DRAIN).await?;
    let left = platform.left().await?;
    if left != Left::default() {
        return Ok((left, Compared::default()));
    }
    let upto = recorder.now_ns();
    let held = platform.storefront().holdings().await;
    let held = held.map_err(|e| Error::new(Code::DEFECT, "the copies cannot be compared").because(e))?;
    Ok((left, tokio::task::block_in_place(|| recorder.held(held, upto))))
}

/// The owners, the copy in this process, and its part in keeping the shared cache; waits for servers that are slow.
async fn bring_up(
    servers: &Servers,
    prefix: &str,
    place: &Place,
    settings: retail::Settings,
    log: &Arc<KafkaLog>,
    recorder: &Arc<Recorder>,
) -> Result<(Platform, Keeping)> {
    let (witness, observer, clock) = (recorder.clone(), recorder.clone(), Clock::system());
    let parts = Parts { witness, observer, clock, levels: None };
    let deadline = Instant::now() + PATIENCE;
    // The levels ask the databases where they stand: those are there before.
    persist("the databases", deadline, || Platform::prepare(place, settings, &parts)).await?;
    let opened = persist("the shared cache", deadline, || shelves::open(&servers.redis, prefix, place, log));
    let (levels, keeping) = opened.await?;
    let parts = Parts { levels: Some(levels), ..parts };
    let platform = persist("the platform", deadline, || {
        Platform::start(place.clone(), settings, log.clone(), parts.clone())
    });
    Ok((platform.await?, keeping))
}

/// For each context one that leads and one that stands by.
fn start_relays(children: &Children, place: &Place, brokers: &str, prefix: &str) -> Result<Vec<Running>> {
    let mut relays = Vec::new();
    for context in TOPICS {
        let Some(source) = place.database(context)? else { continue };
        for plan in relays::plan(place.dir(), context, &source, brokers, prefix)? {
            relays.push(children.start(plan, Arc::new(listen_to_nothing))?);
        }
    }
    Ok(relays)
}

fn start_copies(
    children: &Children,
    front: &Front,
    names: &[Arc<str>],
    recorder: &Arc<Recorder>,
) -> Result<Vec<Running>> {
    let start = |(number, name): (u64, &Arc<str>)| {
        let theirs = recorder.clone();
        children.start(front.plan(number, name)?, Arc::new(move |stdout| hear(&theirs, stdout)))
    };
    (1..).zip(names).map(start).collect()
}

/// How this run's log is spoken to.
pub(super) fn kafka(brokers: &str, prefix: &str) -> KafkaSettings {
    let mut settings = KafkaSettings::new(brokers);
    settings.prefix = prefix.into();
    settings.topics.create = true;
    settings.topics.partitions = relays::PARTITIONS;
    settings
}

fn load(
    settings: &Settings,
    platform: &Arc<Platform>,
    recorder: &Arc<Recorder>,
    bound: Duration,
    address: &str,
) -> (Option<Loading>, Option<Clients>) {
    if settings.load == 0 {
        return (None, None);
    }
    // The copy in this process is read over HTTP, and by whoever made a change.
    let load = Load { changes_per_s: settings.load, reads_per_change: 0, seed: settings.seed };
    let host = address.trim_start_matches("http://");
    let clients = Clients::start(host, platform.clone(), recorder.clone(), bound, settings.seed);
    (Some(load.spawn(platform.clone())), Some(clients))
}

/// What a copy's process says are records.
fn hear(recorder: &Arc<Recorder>, stdout: ChildStdout) -> tokio::task::JoinHandle<bool> {
    // From now on nothing is judged that it may have something to say about.
    let feed = recorder.feed();
    tokio::task::spawn_blocking(move || {
        let Ok(stdout) = stdout.into_owned_fd() else { return false };
        let pipe = std::fs::File::from(stdout);
        // Tokio's pipes do not wait for their reader.
        rustix::io::ioctl_fionbio(&pipe, false).is_ok()
            && wire::receive(std::io::BufReader::with_capacity(1 << 16, pipe), &feed)
    })
}

/// What a relay says on its output is where it answers, which is known.
fn listen_to_nothing(mut stdout: ChildStdout) -> tokio::task::JoinHandle<bool> {
    tokio::spawn(async move {
        let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
        true
    })
}

/// Waits until a copy has caught up, for as long as that may take: before, it can only hand every read on to the owners.
async fn until_it_knows(storefront: &Storefront) {
    let deadline = Instant::now() + WARM_UP;
    let knows =
        || storefront.views().iter().all(|view| view.knowledge_age.is_some_and(|age| age < view.bound));
    while !knows() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The directory of one process.
fn own_dir(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}
