//! Apache Kafka: one node that is broker and controller, run from its Maven artifacts by the Java that is here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::home::Home;
use crate::{attempt, port};

mod archive;
mod java;
mod libraries;
mod probe;
mod records;
mod wire;

/// What every broker is started with; a caller's settings come after these. `{port}`, `{controller}` and `{data}` stand
/// for what differs from start to start.
const SETTINGS: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.quorum.voters", "1@127.0.0.1:{controller}"),
    ("controller.listener.names", "CONTROLLER"),
    ("listeners", "PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
    ("log.dirs", "{data}"),
    ("auto.create.topics.enable", "false"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    // A broker that was killed is let in again only when its last session has ended.
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("log.cleaner.dedupe.buffer.size", "16777216"),
];

/// What the server says when every part of it is up.
const STARTED: &str = "Kafka Server started";

/// A Kafka broker of one's own, in a temporary directory, killed when this is dropped.
#[derive(Debug)]
pub struct Kafka {
    home: Home,
    port: u16,
    is_encrypted: bool,
    options: Vec<String>,
}

impl Kafka {
    /// Starts one on which topics have to be created; `settings` come on top of that. In their values `{port}` stands for
    /// the clients' port, `{controller}` for the controller's, and `{data}` for the directory of its log.
    ///
    /// # Errors
    ///
    /// Java 17 or Kafka itself is not here and cannot be fetched, or the broker does not answer: with the end of its log.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_in(&std::env::temp_dir(), settings)
    }

    /// The same with its directory inside this one, say on a disk of its own.
    ///
    /// # Errors
    ///
    /// As [`Kafka::start`].
    pub fn start_in(directory: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        if let Err(error) = archive::make() {
            eprintln!("Kafka will start more slowly: {error:#}");
        }
        let option = archive::path().ok().and_then(|path| archive::option(&path));
        Self::start_with(directory, settings, &option.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its directory, with its log and its settings.
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    /// Whether it runs: it may have ended by itself.
    pub fn runs(&mut self) -> bool {
        self.home.runs()
    }

    /// Where clients connect: `host:port`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.home.pid()
    }

    /// What the server has logged since it was last started: warnings and errors.
    pub fn log(&self) -> String {
        self.home.log()
    }

    /// A clean stop.
    ///
    /// # Errors
    ///
    /// It did not stop within 30 seconds, and was killed.
    pub fn stop(&mut self) -> Result<()> {
        self.home.stop("TERM")
    }

    /// A stop in which nothing more is written: here, the same as [`Kafka::kill`].
    ///
    /// # Errors
    ///
    /// It does not die.
    pub fn stop_immediately(&mut self) -> Result<()> {
        self.kill()
    }

    /// Kills it.
    ///
    /// # Errors
    ///
    /// It does not die.
    pub fn kill(&mut self) -> Result<()> {
        self.home.kill()
    }

    /// Stops it where it is; its connections stay open.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn pause(&self) -> Result<()> {
        self.home.pause()
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn resume(&self) -> Result<()> {
        self.home.resume()
    }

    /// Starts it again on the same data and port, if need be after a clean stop.
    ///
    /// # Errors
    ///
    /// As [`Kafka::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.run()
    }

    fn start_with(directory: &Path, settings: &[(&str, &str)], options: &[&str]) -> Result<Self> {
        attempt::at_free_ports(|| {
            let mut server = Self::prepare(directory, settings)?;
            server.options.extend(options.iter().map(|option| (*option).to_owned()));
            server.format()?;
            server.run()?;
            Ok(server)
        })
    }

    fn prepare(directory: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let home = Home::inside(directory, "Kafka", "KILL")?;
        let (port, controller) = (port::free()?, port::free()?);
        let data = home.path().join("data").display().to_string();
        let mut properties = std::collections::BTreeMap::new();
        for (name, value) in SETTINGS.iter().chain(settings) {
            let value = value.replace("{port}", &port.to_string());
            let value = value.replace("{controller}", &controller.to_string()).replace("{data}", &data);
            properties.insert(*name, value);
        }
        let is_encrypted = properties.get("listeners").is_some_and(|listeners| listeners.contains("SSL://"));
        let lines = properties.iter().map(|(name, value)| format!("{name}={value}\n"));
        let server = Self { home, port, is_encrypted, options: vec!["-Xmx512m".to_owned()] };
        std::fs::write(server.properties(), lines.collect::<String>())?;
        Ok(server)
    }

    fn format(&self) -> Result<()> {
        let mut format = java::command("kafka.tools.StorageTool", &["-XX:TieredStopAtLevel=1".to_owned()])?;
        format.args(["format", "-t", &cluster_id(), "-c"]).arg(self.properties());
        let output = format.stdin(Stdio::null()).output().context("cannot start java")?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("Kafka's storage tool failed: {}", String::from_utf8_lossy(&said).trim());
        }
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        let mut kafka = java::command("kafka.Kafka", &self.options)?;
        kafka.arg(self.properties()).current_dir(self.home.path());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let is_encrypted = self.is_encrypted;
        self.home.start(kafka, Duration::from_secs(120), |process| {
            process.log().contains(STARTED) && (is_encrypted || probe::answers(address))
        })
    }

    fn properties(&self) -> PathBuf {
        self.home.path().join("server.properties")
    }
}

/// Sixteen random bytes in base64 that is safe in addresses, without padding: 22 letters, as Kafka wants it.
fn cluster_id() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let random = || RandomState::new().build_hasher().finish();
    let bits = (u128::from(random()) << 64) | u128::from(random());
    // Twenty-one letters of six bits, and one of the two that are left, in its high bits. The first is one of the first 32:
    // after a hyphen, the storage tool would look for an option.
    let mut letters: Vec<_> =
        (0..21).map(|at| (bits >> (122 - 6 * at)) & if at == 0 { 31 } else { 63 }).collect();
    letters.push((bits & 3) << 4);
    let letters = letters.into_iter().filter_map(|index| LETTERS.get(usize::try_from(index).ok()?));
    letters.map(|letter| char::from(*letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids_differ_and_have_sixteen_bytes() {
        let ids: std::collections::BTreeSet<_> = (0..2000).map(|_| cluster_id()).collect();
        assert_eq!(ids.len(), 2000);
        assert!(ids.iter().all(|id| !id.starts_with('-')), "a tool would take it for an option");
        assert!(ids.iter().all(|id| id.len() == 22 && id.ends_with(['A', 'Q', 'g', 'w'])), "{ids:?}");
    }
}
