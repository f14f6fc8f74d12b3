//! Where PostgreSQL, Kafka and Redis are: as given, or as `cargo xtask services` has them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tidings_core::{Code, Error, Result};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// How long servers may take to start; the first time they are fetched.
const PATIENCE: Duration = Duration::from_secs(600);

/// The addresses that were given on the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub(crate) postgres: Option<String>,
    pub(crate) kafka: Option<String>,
    pub(crate) redis: Option<String>,
}

/// Where the servers are, and those that were started for this run.
pub(crate) struct Servers {
    pub(crate) postgres: String,
    pub(crate) kafka: String,
    pub(crate) redis: String,
    started: Option<Child>,
}

impl Servers {
    /// Finds them: what is given, else what the environment says, else those of a running `cargo xtask services`, else
    /// ones that it starts now.
    pub(crate) async fn find(given: Given) -> Result<Self> {
        let or = |given: Option<String>, name| given.or_else(|| variable(name));
        let (postgres, kafka, redis) = (
            or(given.postgres, "TIDINGS_POSTGRES"),
            or(given.kafka, "TIDINGS_KAFKA"),
            or(given.redis, "TIDINGS_REDIS"),
        );
        if let (Some(postgres), Some(kafka), Some(redis)) = (&postgres, &kafka, &redis) {
            let (postgres, kafka, redis) = (postgres.clone(), kafka.clone(), redis.clone());
            return Ok(Self { postgres, kafka, redis, started: None });
        }
        let Some(workspace) = workspace() else {
            let what = "the distributed set-up needs servers: give --postgres, --kafka and --redis, or set \
                        TIDINGS_POSTGRES, TIDINGS_KAFKA and TIDINGS_REDIS";
            return Err(Error::new(Code::SETTING_INVALID, what));
        };
        let (found, started) = match running(&workspace) {
            Some(found) => (found, None),
            None => {
                let (found, started) = start(&workspace).await?;
                (found, Some(started))
            }
        };
        let of = |given: Option<String>, name: &str| {
            let missing =
                || Error::new(Code::SETTING_INVALID, format!("`cargo xtask services` runs without {name}"));
            given.or_else(|| found.get(name).cloned()).ok_or_else(missing)
        };
        Ok(Self {
            postgres: of(postgres, "TIDINGS_TEST_POSTGRES")?,
            kafka: of(kafka, "TIDINGS_TEST_KAFKA")?,
            redis: of(redis, "TIDINGS_TEST_REDIS")?,
            started,
        })
    }

    /// Whether they were started for this run, and end with it.
    pub(crate) fn are_ours(&self) -> bool {
        self.started.is_some()
    }

    /// Stops what was started for this run.
    pub(crate) async fn stop(self) {
        if let Some(mut started) = self.started {
            super::children::ask_to_end(&started);
            let _ = tokio::time::timeout(Duration::from_secs(30), started.wait()).await;
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The workspace that cargo runs this program from, if it does.
fn workspace() -> Option<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")?;
    let root = Path::new(&manifest).join("../..");
    root.join("xtask").is_dir().then_some(root)
}

#[derive(Deserialize)]
struct Running {
    pid: u32,
    addresses: BTreeMap<String, String>,
}

/// What `cargo xtask services` wrote down, if it still runs.
fn running(workspace: &Path) -> Option<BTreeMap<String, String>> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let text = std::fs::read_to_string(workspace.join(target).join("services.json")).ok()?;
    let running: Running = serde_json::from_str(&text).ok()?;
    Path::new("/proc").join(running.pid.to_string()).exists().then_some(running.addresses)
}

async fn start(workspace: &Path) -> Result<(BTreeMap<String, String>, Child)> {
    eprintln!("tidings: starting PostgreSQL, Kafka and Redis (cargo xtask services)");
    let failed = |e| Error::new(Code::SETTING_INVALID, "`cargo xtask services` cannot be started").because(e);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut started = Command::new(cargo)
        .args(["xtask", "services", "--only", "postgres,kafka,redis", "--json"])
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        // A Ctrl-C is for this process, which stops the servers last.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let mut output = started.stdout.take();
    let mut text = Vec::new();
    let read = async {
        let Some(output) = &mut output else { return None };
        let mut some = [0; 4096];
        loop {
            let count = output.read(&mut some).await.ok().filter(|count| *count > 0)?;
            text.extend_from_slice(some.get(..count)?);
            if let Ok(addresses) = serde_json::from_slice(&text) {
                return Some(addresses);
            }
        }
    };
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Some(addresses)) => Ok((addresses, started)),
        Ok(None) => {
            Err(Error::new(Code::SETTING_INVALID, "`cargo xtask services` ended; what it says stands above"))
        }
        Err(_) => {
            let what = format!("`cargo xtask services` was not ready within {PATIENCE:?}");
            Err(Error::new(Code::SETTING_INVALID, what))
        }
    }
}
