//! Redis, or Valkey, from Debian's package.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::home::Home;
use crate::{attempt, found, port};

mod cluster;
mod resp;

pub use cluster::RedisCluster;

/// The file that a dump is written to and loaded from.
const DUMP: &str = "dump.rdb";

/// A Redis server of one's own, in a temporary directory, killed when this is dropped.
#[derive(Debug)]
pub struct Redis {
    home: Home,
    port: u16,
    settings: Vec<(String, String)>,
}

impl Redis {
    /// Starts one that keeps nothing on disk: after a restart it is empty. `settings` come on top of that.
    ///
    /// # Errors
    ///
    /// Redis is not installed and cannot be, or the server does not answer: with the end of its log.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_in(&std::env::temp_dir(), settings)
    }

    /// The same with its directory inside this one.
    ///
    /// # Errors
    ///
    /// As [`Redis::start`].
    pub fn start_in(directory: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        attempt::at_free_ports(|| {
            let mut server = Self::prepare(directory, settings)?;
            server.run()?;
            Ok(server)
        })
    }

    /// Where clients connect: `redis://host:port`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.home.pid()
    }

    /// Whether it runs: it may have ended by itself.
    pub fn runs(&mut self) -> bool {
        self.home.runs()
    }

    /// What the server has logged since it was last started.
    pub fn log(&self) -> String {
        self.home.log()
    }

    /// Sends one command and returns its answer as text; numbers and lists too.
    ///
    /// # Errors
    ///
    /// The server is not there, or answers with an error.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        resp::command(self.port, self.password(), words)
    }

    /// A clean stop. It writes a dump only if the settings ask for that.
    ///
    /// # Errors
    ///
    /// It did not stop within 30 seconds, and was killed.
    pub fn stop(&mut self) -> Result<()> {
        self.home.stop("TERM")
    }

    /// A stop in which nothing more is written: here, the same as [`Redis::kill`].
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

    /// Starts it again on the same port, if need be after a clean stop.
    ///
    /// # Errors
    ///
    /// As [`Redis::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.run()
    }

    /// Everything in it, as Redis writes it to disk. The file does not stay, so that a later restart does not load it.
    ///
    /// # Errors
    ///
    /// The server is not there or cannot write.
    pub fn dump(&self) -> Result<Vec<u8>> {
        self.command(&["SAVE"])?;
        let path = self.dump_path();
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        std::fs::remove_file(&path)?;
        Ok(bytes)
    }

    /// Kills it, puts a dump back, and starts it again: what an operator does with an old backup.
    ///
    /// # Errors
    ///
    /// As [`Redis::start`]; or the settings say `appendonly yes`, with which Redis loads no dump.
    pub fn restore(&mut self, dump: &[u8]) -> Result<()> {
        ensure!(self.setting("appendonly") != Some("yes"), "with `appendonly yes` Redis loads no dump");
        self.kill()?;
        std::fs::write(self.dump_path(), dump)?;
        self.run()?;
        Ok(std::fs::remove_file(self.dump_path())?)
    }

    fn prepare(directory: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Ok(Self {
            home: Home::inside(directory, "Redis", "KILL")?,
            port: port::free()?,
            settings: settings.collect(),
        })
    }

    fn run(&mut self) -> Result<()> {
        let mut redis = Command::new(program()?);
        redis.arg("--port").arg(self.port.to_string()).arg("--dir").arg(self.home.path());
        let fixed = ["--bind", "127.0.0.1", "--daemonize", "no", "--save", "", "--appendonly", "no"];
        redis.args(fixed).args(["--dbfilename", DUMP, "--logfile", ""]);
        for (name, value) in &self.settings {
            redis.arg(format!("--{name}")).arg(value);
        }
        redis.current_dir(self.home.path());
        let (port, password) = (self.port, self.password().map(str::to_owned));
        self.home.start(redis, Duration::from_secs(30), |process| {
            let info = resp::command(port, password.as_deref(), &["INFO"]).unwrap_or_default();
            info.contains(&format!("process_id:{}\r\n", process.pid())) && info.contains("loading:0\r\n")
        })
    }

    fn dump_path(&self) -> PathBuf {
        self.home.path().join(DUMP)
    }

    fn password(&self) -> Option<&str> {
        self.setting("requirepass")
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn program() -> Result<PathBuf> {
    found::or_install("Redis", "redis-server", || {
        found::on_path("redis-server").or_else(|| found::on_path("valkey-server"))
    })
}
