//! The servers that all tests share, and how a test finds them.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{Kafka, Postgres, PostgresPair, Redis, RedisCluster, process};

/// The file, below cargo's target directory, that says where the running servers are.
const FILE: &str = "services.json";

/// The variable that, set to anything but 0, makes tests that need a server return at once.
pub const EMBEDDED: &str = "TIDINGS_TEST_EMBEDDED";

/// The variable that names the file in which such tests say that they were skipped: for a test runner, they have passed.
pub const SKIPPED: &str = "TIDINGS_TEST_SKIPPED";

/// A server that tests can share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// One PostgreSQL with logical decoding.
    Postgres,
    /// A PostgreSQL primary with a synchronous standby.
    PostgresStandby,
    /// One Kafka broker.
    Kafka,
    /// One Redis.
    Redis,
    /// Six Redis nodes that form a cluster.
    RedisCluster,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Postgres, Self::PostgresStandby, Self::Kafka, Self::Redis, Self::RedisCluster];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::PostgresStandby => "postgres-standby",
            Self::Kafka => "kafka",
            Self::Redis => "redis",
            Self::RedisCluster => "redis-cluster",
        }
    }

    /// The environment variable with its address.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "TIDINGS_TEST_POSTGRES",
            Self::PostgresStandby => "TIDINGS_TEST_POSTGRES_STANDBY",
            Self::Kafka => "TIDINGS_TEST_KAFKA",
            Self::Redis => "TIDINGS_TEST_REDIS",
            Self::RedisCluster => "TIDINGS_TEST_REDIS_CLUSTER",
        }
    }
}

/// The address of a shared server: from the environment, else from a running `cargo xtask services`.
///
/// # Errors
///
/// There is none; the text says how to start one.
pub fn address(service: Service) -> Result<String> {
    if let Some(address) = given(service) {
        return Ok(address);
    }
    let running = Addresses::running(&target())?;
    running.and_then(|addresses| addresses.of(service).map(str::to_owned)).with_context(|| {
        format!(
            "{} is not set, and no `cargo xtask services` with {} runs; start one, or run the tests by `cargo xtask test`, \
             or without servers by `cargo xtask test --embedded`",
            service.variable(),
            service.name()
        )
    })
}

/// Whether the test that asks should say that it is skipped, and return.
pub fn embedded_only() -> bool {
    let is_so = std::env::var_os(EMBEDDED).is_some_and(|value| !value.is_empty() && value != "0");
    if let (true, Some(path)) = (is_so, std::env::var_os(SKIPPED)) {
        // The test runner's own report cannot tell; a line that is lost makes a skipped test one that passed.
        if let Err(error) = report(Path::new(&path)) {
            eprintln!("cannot write {}: {error}", path.display());
        }
    }
    is_so
}

/// One line, written at once, so that those of other programs do not come between.
fn report(path: &Path) -> std::io::Result<()> {
    let program = std::env::current_exe()?;
    let program = program.file_name().unwrap_or_default().display();
    let thread = std::thread::current();
    let line = format!("{program}\t{}\n", thread.name().unwrap_or_default());
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

fn given(service: Service) -> Option<String> {
    std::env::var(service.variable()).ok().filter(|address| !address.is_empty())
}

fn target() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => root.join(path),
        None => root.join("target"),
    }
}

/// Where servers are, and the program that keeps them running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    pid: u32,
    addresses: BTreeMap<String, String>,
}

impl Addresses {
    /// What the file below cargo's target directory says, if the program that wrote it still runs and its servers answer.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn running(target: &Path) -> Result<Option<Self>> {
        let path = target.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let read: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged; delete it", path.display()))?;
        // A process id comes round again; that somebody answers as well is no accident.
        let is_live =
            process::is_running(read.pid) && read.addresses.values().all(|address| answers(address));
        Ok(is_live.then_some(read))
    }

    /// The program that keeps them running.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The address of one.
    pub fn of(&self, service: Service) -> Option<&str> {
        self.addresses.get(service.variable()).map(String::as_str)
    }

    /// Environment variables and their values.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.addresses.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Writes the file below cargo's target directory, whole or not at all.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, target: &Path) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(target)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.persist(target.join(FILE)).with_context(|| format!("cannot write {FILE}"))?;
        Ok(())
    }

    /// Removes the file, if it is about this program's servers.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn remove(&self, target: &Path) -> Result<()> {
        let path = target.join(FILE);
        let is_ours = std::fs::read_to_string(&path)
            .is_ok_and(|text| serde_json::from_str::<Self>(&text).is_ok_and(|read| read.pid == self.pid));
        if is_ours {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// Whether somebody listens at the first of these addresses.
fn answers(address: &str) -> bool {
    let first = address.split(',').next().unwrap_or(address);
    let host = first.rsplit(['@', '/']).find(|part| part.contains(':')).unwrap_or(first);
    let mut sockets = host.to_socket_addrs().into_iter().flatten();
    sockets.any(|socket| TcpStream::connect_timeout(&socket, Duration::from_secs(2)).is_ok())
}

/// Servers that this program runs for all tests; they end with it.
#[derive(Debug)]
pub struct Shared {
    /// Held, not used: each ends when it is dropped.
    _servers: Vec<Server>,
    addresses: Addresses,
}

#[derive(Debug)]
enum Server {
    Given(Service, String),
    Postgres(Postgres),
    Pair(PostgresPair),
    Kafka(Kafka),
    Redis(Redis),
    Cluster(RedisCluster),
}

impl Shared {
    /// Starts these side by side. One whose address is given by the environment is used instead.
    ///
    /// # Errors
    ///
    /// What each that does not start says; the others are stopped.
    pub fn start(services: &[Service]) -> Result<Self> {
        Self::start_or_use(services, given)
    }

    /// Starts these side by side, whatever the environment says.
    ///
    /// # Errors
    ///
    /// As [`Shared::start`].
    pub fn start_new(services: &[Service]) -> Result<Self> {
        Self::start_or_use(services, |_| None)
    }

    fn start_or_use(services: &[Service], given: fn(Service) -> Option<String>) -> Result<Self> {
        let start = |service| match given(service) {
            Some(address) => Ok(Server::Given(service, address)),
            None => Server::start(service),
        };
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = services.iter().map(|service| scope.spawn(|| start(*service))).collect();
            starts.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        let (mut servers, mut failures) = (Vec::new(), Vec::new());
        for (service, outcome) in services.iter().zip(outcomes) {
            match outcome {
                Ok(Ok(server)) => servers.push(server),
                Ok(Err(error)) => failures.push(format!("{}: {error:#}", service.name())),
                Err(_) => failures.push(format!("{}: the start panicked", service.name())),
            }
        }
        if !failures.is_empty() {
            bail!("{}", failures.join("\n"));
        }
        let addresses =
            servers.iter().map(|server| (server.service().variable().to_owned(), server.address())).collect();
        Ok(Self { _servers: servers, addresses: Addresses { pid: std::process::id(), addresses } })
    }

    /// Where they are.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }
}

impl Server {
    fn start(service: Service) -> Result<Self> {
        Ok(match service {
            Service::Postgres => Self::Postgres(Postgres::start(&[])?),
            Service::PostgresStandby => Self::Pair(PostgresPair::start(&[])?),
            Service::Kafka => Self::Kafka(Kafka::start(&[])?),
            Service::Redis => Self::Redis(Redis::start(&[])?),
            Service::RedisCluster => Self::Cluster(RedisCluster::start(&[])?),
        })
    }

    fn service(&self) -> Service {
        match self {
            Self::Given(service, _) => *service,
            Self::Postgres(_) => Service::Postgres,
            Self::Pair(_) => Service::PostgresStandby,
            Self::Kafka(_) => Service::Kafka,
            Self::Redis(_) => Service::Redis,
            Self::Cluster(_) => Service::RedisCluster,
        }
    }

    fn address(&self) -> String {
        match self {
            Self::Given(_, address) => address.clone(),
            Self::Postgres(server) => server.url(),
            Self::Pair(pair) => pair.primary.url(),
            Self::Kafka(server) => server.bootstrap(),
            Self::Redis(server) => server.url(),
            Self::Cluster(cluster) => cluster.urls(),
        }
    }
}
