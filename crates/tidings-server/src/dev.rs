//! `tidings dev`: everything in one process, and a checker beside it that judges the run by what was seen.
//!
//! - `wiring`: the parts, started in the order of the flow and stopped in the same order;
//! - `recorder`: what happened, on its way to the history checker;
//! - `history`: the file that all of it is written to, if one is asked for;
//! - `baseline`: what was there before the run;
//! - `client`: readers over real HTTP;
//! - `http`, `console`: what can be seen from outside;
//! - `distributed`: the same on PostgreSQL, Kafka and Redis, in several processes;
//! - `report`: what is said at the end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tempfile::TempDir;
use tidings_core::{Code, Error, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::data_dir::{DataDir, Held, RunningAt, TEMPORARY, io_fault};

mod baseline;
mod client;
mod clock;
mod compared;
mod console;
mod distributed;
mod history;
mod http;
mod progress;
mod recorder;
mod report;
mod wiring;

use distributed::Spread;
pub(crate) use distributed::{Given, Wish, run_copy};
use history::HistoryFile;
use progress::Progress;
use wiring::Wired;

/// What `tidings dev` is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Changes per second; 0 for none, and then no reads either.
    pub(crate) load: u32,
    /// How long to run; `None` until it is told to stop.
    pub(crate) lasting: Option<Duration>,
    /// The seed of a new catalogue and of the load.
    pub(crate) seed: u64,
    /// Where the report goes.
    pub(crate) report: Option<PathBuf>,
    /// Where the history goes, record by record.
    pub(crate) history: Option<PathBuf>,
    /// The directory to keep everything in; `None` is a temporary one.
    pub(crate) data: Option<PathBuf>,
    /// The port to listen on; 0 for any.
    pub(crate) port: u16,
    /// How many products a new catalogue has.
    pub(crate) products: u32,
    /// On servers and in several processes, if that is asked for.
    pub(crate) distributed: Option<Wish>,
}

/// How long a stop waits for what is under way.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs until the time is over or somebody asks to stop.
pub(crate) async fn run(settings: Settings) -> Result<ExitCode> {
    // Whatever could be refused is asked for before anything is started.
    let listener = listen(settings.port).await?;
    if let Some(path) = &settings.report {
        let open = std::fs::OpenOptions::new().create(true).append(true).open(path);
        open.map_err(|e| io_fault(path, "the report cannot be written", e))?;
    }
    let history = settings.history.as_deref().map(HistoryFile::open).transpose()?;
    let place = Place::open(&settings)?;
    match run_in(&settings, listener, place.dir()?, history).await {
        Ok(verdict) => {
            if verdict.is_clean() {
                place.leave();
                Ok(ExitCode::SUCCESS)
            } else {
                place.keep();
                Ok(ExitCode::FAILURE)
            }
        }
        Err(error) => {
            place.keep();
            Err(error)
        }
    }
}

async fn run_in(
    settings: &Settings,
    listener: TcpListener,
    dir: DataDir,
    history: Option<HistoryFile>,
) -> Result<report::Ended> {
    let held = dir.hold()?;
    let mut asked = Asked::listen()?;
    let local = listener.local_addr();
    let address = local.map_err(|e| Error::new(Code::DEFECT, "the address is not known").because(e))?;
    let address = format!("http://{address}");
    eprintln!("tidings: opening {}", dir.path().display());
    if let Some(wish) = &settings.distributed {
        return run_distributed(settings, wish, &dir, listener, &address, history, asked, held).await;
    }
    let wired = Wired::start(settings, &dir, listener, &address, history).await?;
    held.announce(&RunningAt { address: address.clone(), pid: std::process::id() })?;
    greet(settings, wired.popular_sku(), settings.load * wiring::READS_PER_CHANGE, &address)?;
    let mut progress = Progress::new(settings.lasting);
    let failed = tokio::select! {
        () = over(settings.lasting) => None,
        () = asked.next() => None,
        () = progress.show(&wired.platform, &wired.recorder, wired.began) => None,
        error = wired.failed() => Some(error),
    };
    progress.clear();
    if let Some(error) = &failed {
        eprintln!("tidings: stopping: {error}");
    }
    let stopping = wired.stop(DRAIN);
    let ended = tokio::select! {
        ended = stopping => ended?,
        () = asked.next() => {
            return Err(Error::new(Code::STOPPING, "stopped at once, as asked for a second time"));
        }
    };
    ended.tell(settings)?;
    drop(held);
    match failed {
        // That it could not be written has been said with the rest.
        Some(error) if ended.found.unwritten.is_none() => Err(error),
        _ => Ok(ended),
    }
}

/// The same on servers, in several processes.
#[expect(clippy::too_many_arguments, reason = "everything that was asked for before anything is started")]
async fn run_distributed(
    settings: &Settings,
    wish: &Wish,
    dir: &DataDir,
    listener: TcpListener,
    address: &str,
    history: Option<HistoryFile>,
    mut asked: Asked,
    held: Held,
) -> Result<report::Ended> {
    let spread = tokio::select! {
        started = Spread::start(settings, wish, dir, listener, address, history) => started?,
        () = asked.next() => return Err(Error::new(Code::STOPPING, "stopped before everything had started")),
    };
    held.announce(&RunningAt { address: address.to_owned(), pid: std::process::id() })?;
    let popular = spread.platform.experience().by_popularity().first();
    greet(
        settings,
        popular.map_or("SKU-00001", |sku| sku.as_str()),
        wish.copies * distributed::READS_PER_S,
        address,
    )?;
    let mut progress = Progress::new(settings.lasting);
    let failed = tokio::select! {
        () = over(settings.lasting) => None,
        () = asked.next() => None,
        () = progress.show(&spread.platform, &spread.recorder, spread.began) => None,
        error = spread.failed() => Some(error),
    };
    progress.clear();
    if let Some(error) = &failed {
        eprintln!("tidings: stopping: {error}");
    }
    let ended = tokio::select! {
        ended = Box::pin(spread.stop()) => ended?,
        () = asked.next() => {
            return Err(Error::new(Code::STOPPING, "stopped at once, as asked for a second time"));
        }
    };
    ended.tell(settings)?;
    match failed {
        Some(error) if ended.found.unwritten.is_none() => Err(error),
        _ => Ok(ended),
    }
}

async fn over(lasting: Option<Duration>) {
    match lasting {
        Some(lasting) => tokio::time::sleep(lasting).await,
        None => std::future::pending().await,
    }
}

async fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            Error::new(Code::PORT_IN_USE, format!("another program listens on 127.0.0.1:{port}"))
        }
        _ => Error::new(Code::SETTING_INVALID, format!("cannot listen on 127.0.0.1:{port}")).because(e),
    })
}

fn greet(settings: &Settings, sku: &str, reads_per_s: u32, address: &str) -> Result<()> {
    let load = match settings.load {
        0 => "no load".to_owned(),
        n => format!("{n} changes/s, {} reads/s, 200 reads/s over HTTP", reads_per_s),
    };
    let until = match settings.lasting {
        Some(lasting) => format!("ends by itself after {}", crate::units::duration(lasting)),
        None => "Ctrl-C stops".to_owned(),
    };
    let text = format!(
        "console   {address}/\nstatus    {address}/status\nload      {load}; {until}\n\
         try       curl -s '{address}/products/{sku}?region=eu'\n          \
         curl -s -X PUT '{address}/prices/{sku}' -H 'content-type: application/json' -d '{{\"region\":\"eu\",\"amount_cents\":1999}}'\n"
    );
    crate::out::write(text.as_bytes()).map(drop)
}

/// Ctrl-C, or what a supervisor sends.
struct Asked {
    interrupt: Signal,
    terminate: Signal,
}

impl Asked {
    fn listen() -> Result<Self> {
        let failed = |e| Error::new(Code::DEFECT, "signals cannot be heard").because(e);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Where everything is kept.
enum Place {
    Given(PathBuf),
    Temporary(TempDir),
}

impl Place {
    fn open(settings: &Settings) -> Result<Self> {
        match &settings.data {
            Some(path) => Ok(Self::Given(path.clone())),
            None => {
                let made = tempfile::Builder::new().prefix(TEMPORARY).tempdir();
                let failed = |e| io_fault(&std::env::temp_dir(), "no temporary directory can be made", e);
                made.map(Self::Temporary).map_err(failed)
            }
        }
    }

    fn dir(&self) -> Result<DataDir> {
        DataDir::create(match self {
            Self::Given(path) => path,
            Self::Temporary(made) => made.path(),
        })
    }

    fn leave(self) {
        if let Self::Temporary(made) = self {
            let path = made.path().to_owned();
            if let Err(e) = made.close() {
                eprintln!("tidings: {}", io_fault(&path, "the temporary directory stays", e));
            }
        }
    }

    fn keep(self) {
        if let Self::Temporary(made) = self {
            eprintln!("tidings: everything is kept in {}", made.keep().display());
        }
    }
}
