//! PostgreSQL from Debian's package, or from wherever `initdb` and `postgres` are on the path.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::home::Home;
use crate::{attempt, found, port};

mod pair;

pub use pair::PostgresPair;

/// The superuser's password: connections are asked for one, as they are in earnest.
const PASSWORD: &str = "tidings";

/// Where Debian puts each version's programs.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The oldest version that these tests are for.
const OLDEST: u32 = 14;

/// The server refuses to run as root; then it runs as this user, which its package makes.
const USER: &str = "postgres";

/// What every server is started with; a caller's settings come after these.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("wal_level", "logical"),
    ("max_wal_senders", "60"),
    ("max_replication_slots", "50"),
    ("max_connections", "200"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("password_encryption", "scram-sha-256"),
    ("log_min_messages", "warning"),
];

/// A PostgreSQL server of one's own, in a temporary directory, killed when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    home: Home,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts one with logical decoding on, fsync on and passwords asked for; `settings` come on top of that.
    ///
    /// # Errors
    ///
    /// PostgreSQL is not installed and cannot be, or the server does not answer a query: with the end of its log.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_in(&std::env::temp_dir(), settings)
    }

    /// The same with its directory inside this one, say on a disk of its own.
    ///
    /// # Errors
    ///
    /// As [`Postgres::start`].
    pub fn start_in(directory: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let programs = programs()?;
        attempt::at_free_ports(|| {
            let mut server = Self::prepare(directory, programs.clone())?;
            server.make_cluster()?;
            server.configure(settings)?;
            server.run()?;
            Ok(server)
        })
    }

    /// Where the superuser connects: `postgres://user:password@host:port/postgres`.
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// The same by way of another port, at which something hands on to this server.
    pub fn url_through(&self, port: u16) -> String {
        url(port, "postgres")
    }

    /// Whether it runs: it may have ended by itself.
    pub fn runs(&mut self) -> bool {
        self.home.runs()
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The data directory; its files belong to the user that the server runs as.
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The process id of the postmaster, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.home.pid()
    }

    /// What the server has logged since it was last started.
    pub fn log(&self) -> String {
        self.home.log()
    }

    /// Runs a statement as the superuser in `psql`, and returns its rows: unaligned, without headings.
    ///
    /// # Errors
    ///
    /// What PostgreSQL answers.
    pub fn query(&self, sql: &str) -> Result<String> {
        query(&self.programs.join("psql"), &self.url(), sql)
    }

    /// The same in another database.
    ///
    /// # Errors
    ///
    /// What PostgreSQL answers.
    pub fn query_in(&self, database: &str, sql: &str) -> Result<String> {
        query(&self.programs.join("psql"), &url(self.port, database), sql)
    }

    /// A clean stop that disconnects clients: `fast`, in PostgreSQL's words.
    ///
    /// # Errors
    ///
    /// It did not stop within 30 seconds, and was killed.
    pub fn stop(&mut self) -> Result<()> {
        self.home.stop("INT")
    }

    /// A stop without a checkpoint, after which it has to recover: `immediate`, in PostgreSQL's words.
    ///
    /// # Errors
    ///
    /// It did not stop within 30 seconds, and was killed.
    pub fn stop_immediately(&mut self) -> Result<()> {
        self.home.stop("QUIT")
    }

    /// Kills the postmaster and all its children.
    ///
    /// # Errors
    ///
    /// They do not die.
    pub fn kill(&mut self) -> Result<()> {
        self.home.kill()
    }

    /// Stops all its processes where they are; their connections stay open.
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
    /// As [`Postgres::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.run()
    }

    fn prepare(directory: &Path, programs: PathBuf) -> Result<Self> {
        let home = Home::inside(directory, "PostgreSQL", "QUIT")?;
        if found::is_root() {
            give(home.path())?;
        }
        Ok(Self { home, programs, port: port::free()? })
    }

    fn make_cluster(&self) -> Result<()> {
        let secret = self.home.path().join("password");
        std::fs::write(&secret, PASSWORD)?;
        if found::is_root() {
            give(&secret)?;
        }
        let mut initdb = self.program("initdb")?;
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"]);
        initdb.arg(format!("--username={USER}")).arg("--pwfile").arg(&secret).arg("-D").arg(self.data());
        run_tool("initdb", initdb)
    }

    /// In the file and not on the command line, where `ALTER SYSTEM` could not change them.
    fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        let path = self.data().join("postgresql.conf");
        let mut text = std::fs::read_to_string(&path)?;
        let port = self.port.to_string();
        let all =
            SETTINGS.iter().chain(&[("port", port.as_str())]).chain(settings).copied().collect::<Vec<_>>();
        for (name, value) in all {
            text.push_str(&format!("\n{name} = '{}'", value.replace('\'', "''")));
        }
        text.push('\n');
        Ok(std::fs::write(&path, text)?)
    }

    fn run(&mut self) -> Result<()> {
        let mut postgres = self.program("postgres")?;
        postgres.arg("-D").arg(self.data());
        let (psql, url, port) = (self.programs.join("psql"), self.url(), self.port);
        let data = self.data().display().to_string();
        self.home.start(postgres, Duration::from_secs(60), |_| {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
                && query(&psql, &url, "SHOW data_directory").is_ok_and(|answer| answer == data)
        })
    }

    fn program(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.home.path()).env_remove("PGDATA").env("LC_ALL", "C");
        if found::is_root() {
            become_user(&mut command)?;
        }
        Ok(command)
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}")
}

fn query(psql: &Path, url: &str, sql: &str) -> Result<String> {
    let mut psql = Command::new(psql);
    psql.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c", sql, url]);
    psql.env("PGCONNECT_TIMEOUT", "5").stdin(Stdio::null());
    let output = psql.output().context("cannot start psql")?;
    if !output.status.success() {
        bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn run_tool(name: &str, mut command: Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The directory with the programs of the newest version here.
fn programs() -> Result<PathBuf> {
    let directory = found::or_install("PostgreSQL", "postgresql", || {
        let newest = versions().into_iter().max();
        newest.map(|version| Path::new(DEBIAN).join(version.to_string()).join("bin")).or_else(|| {
            let initdb = found::on_path("initdb")?;
            initdb.parent().map(Path::to_owned)
        })
    })?;
    for name in ["initdb", "postgres", "psql", "pg_basebackup"] {
        if !directory.join(name).is_file() {
            bail!("{} has no {name}; install PostgreSQL {OLDEST} or newer", directory.display());
        }
    }
    Ok(directory)
}

fn versions() -> Vec<u32> {
    let entries = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let with_server = entries.filter(|entry| entry.path().join("bin/postgres").is_file());
    let numbers = with_server.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|version| *version >= OLDEST).collect()
}

#[cfg(unix)]
fn give(path: &Path) -> Result<()> {
    let (uid, gid) = (found::id("-u", Some(USER))?, found::id("-g", Some(USER))?);
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).with_context(|| format!("chown {}", path.display()))
}

#[cfg(unix)]
fn become_user(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    command.uid(found::id("-u", Some(USER))?).gid(found::id("-g", Some(USER))?);
    Ok(())
}

#[cfg(not(unix))]
fn give(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn become_user(_: &mut Command) -> Result<()> {
    Ok(())
}
