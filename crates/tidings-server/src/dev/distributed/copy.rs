//! A process that serves one copy of what customers see, reads from it, and tells what it saw.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use retail::load::Load;
use retail::{Parts, Place, Storefront, Witness};
use serde::{Deserialize, Serialize};
use tidings::Clock;
use tidings_core::{Code, Error, Result};
use tidings_kafka::KafkaLog;
use tidings_testkit::history::Record;
use tokio::time::Instant;

use super::children::Plan;
use super::drawn::{self, Tally};
use super::patience::{PATIENCE, persist};
use super::shelves::Keeping;
use super::wire::Pipe;
use super::{READS_PER_S, kafka, own_dir, relays, shelves, until_it_knows};
use crate::dev::Asked;
use crate::dev::clock::RunClock;
use crate::dev::compared::Compared;
use crate::dev::recorder::{Copy, Scribe, Take};

/// Sessions of this process begin at so many times its number.
const SESSIONS: u64 = 1 << 20;
/// How long it takes to apply what is in the log when it is asked to end.
const DRAIN: Duration = Duration::from_secs(30);
/// How often it is looked whether the consumer has ended.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What it is told.
#[derive(Serialize, Deserialize, Clone)]
pub(super) struct Front {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) postgres: String,
    pub(super) kafka: String,
    pub(super) redis: String,
    pub(super) prefix: String,
    /// When the history began.
    pub(super) origin: u64,
    pub(super) sessions: u64,
    pub(super) load: u32,
    pub(super) seed: u64,
}

impl Front {
    /// How it is started.
    pub(super) fn plan(&self, number: u64, name: &str) -> Result<Plan> {
        let dir = own_dir(&self.dir, name);
        std::fs::create_dir_all(&dir)
            .map_err(|e| crate::data_dir::io_fault(&dir, "the directory of a copy cannot be made", e))?;
        Compared::forget(&dir)?;
        Tally::forget(&dir)?;
        let (sessions, seed) = (number * SESSIONS, self.seed.wrapping_add(number));
        let front = Self { name: name.to_owned(), dir, sessions, seed, ..self.clone() };
        let text = serde_json::to_string_pretty(&front)
            .map_err(|e| Error::new(Code::DEFECT, "a copy's settings cannot be written").because(e))?;
        let path = self.dir.join(format!("{name}.json"));
        relays::write_private(&path, &text)?;
        let arguments = vec![OsString::from("dev-copy"), path.into_os_string()];
        Ok(Plan { name: name.to_owned(), kind: "copy", arguments, at: None })
    }
}

/// Serves and reads until it is asked to end, or whoever started it is gone.
pub(crate) async fn run(path: &Path) -> Result<ExitCode> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| crate::data_dir::io_fault(path, "the settings of a copy cannot be read", e))?;
    let front: Front = serde_json::from_str(&text).map_err(|e| {
        Error::new(Code::SETTING_INVALID, "the settings of a copy are damaged").because(e).at(path.display())
    })?;
    let mut asked = Asked::listen()?;
    end_with_parent();
    let clock = RunClock::since(front.origin);
    let (pipe, sender) = Pipe::open(std::io::stdout(), clock)?;
    let settings = retail::Settings::default();
    let copy = Copy {
        name: front.name.as_str().into(),
        bound: settings.bound,
        knows: true,
        sessions: front.sessions,
    };
    let name = copy.name.clone();
    let scribe = Arc::new(Scribe::new(pipe, copy, clock));
    // What its cache held before is gone, and what it was told before may not have been told on.
    scribe.to().take(Record::Epoch { copy: name, at: clock.now() });
    // Asked meanwhile, it ends afterwards: whatever was published it has to account for.
    let (storefront, mut keeping) = start(&front, settings, &scribe).await?;
    let storefront = Arc::new(storefront);
    told_before(&storefront, &scribe).await?;
    let telling = drawn::tell(storefront.clone(), front.dir.clone(), clock);
    let load = Load { changes_per_s: READS_PER_S, reads_per_change: 1, seed: front.seed };
    until_it_knows(&storefront).await;
    let loading = (front.load > 0).then(|| load.spawn_reads(storefront.clone()));
    let failed = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(error) = storefront.failure().await {
                return error;
            }
            if let Some(error) = keeping.failure().await {
                return error.at("the group that keeps the shared cache");
            }
            // Nobody would hear what is shown from here on.
            if sender.has_failed() {
                return Error::new(Code::DEFECT, "what this copy does is not told any more");
            }
        }
    };
    tokio::select! {
        () = asked.next() => {}
        error = failed => return Err(error),
    }
    if let Some(loading) = loading {
        loading.stop().await?;
    }
    let drawn = telling.finish().await;
    let compared = match compare(&storefront, &scribe).await {
        Ok(compared) => compared.leave(&front.dir),
        Err(error) => Err(error),
    };
    let kept = keeping.stop(DRAIN).await;
    // What it saw is told whatever came of the rest; that it failed, its exit says.
    tokio::task::block_in_place(|| sender.finish())?;
    compared.and(kept).and(drawn)?;
    Ok(ExitCode::SUCCESS)
}

/// Takes in what is left, and tells what is held then.
async fn compare(storefront: &Storefront, scribe: &Scribe<Pipe>) -> Result<Compared> {
    // Everything was published before this process was asked.
    let upto = scribe.now_ns();
    storefront.stop_consumer(DRAIN).await?;
    let unapplied = storefront.unapplied().await?;
    if unapplied > 0 {
        return Err(Error::new(Code::STOPPING, format!("{unapplied} records were not applied in time")));
    }
    let held = storefront.holdings().await;
    let held = held.map_err(|e| Error::new(Code::DEFECT, "the copy cannot be compared").because(e))?;
    Ok(tokio::task::block_in_place(|| scribe.held(held, upto)))
}

async fn start(
    front: &Front,
    settings: retail::Settings,
    scribe: &Arc<Scribe<Pipe>>,
) -> Result<(Storefront, Keeping)> {
    let log = KafkaLog::open(kafka(&front.kafka, &front.prefix))?;
    let place = Place::Postgres {
        server: front.postgres.clone(),
        prefix: front.prefix.clone(),
        dir: front.dir.clone(),
    };
    let deadline = Instant::now() + PATIENCE;
    let opened =
        persist("the shared cache", deadline, || shelves::open(&front.redis, &front.prefix, &place, &log));
    let (levels, keeping) = opened.await?;
    let (witness, observer, clock) = (scribe.clone(), scribe.clone(), Clock::system());
    let parts = Parts { witness, observer, clock, levels: Some(levels) };
    let storefront = persist("the copy", deadline, || {
        Storefront::start(&place, settings, log.clone(), parts.clone(), &front.name)
    });
    Ok((storefront.await?, keeping))
}

/// A read model that was there before says what it holds: what an earlier process applied, it may not have told.
async fn told_before(storefront: &Storefront, scribe: &Scribe<Pipe>) -> Result<()> {
    let held = storefront.held().await;
    let held = held.map_err(|e| Error::new(Code::DEFECT, "the read model cannot be read").because(e))?;
    // What it has from before is in it, as what is taken after a gap is.
    tokio::task::block_in_place(|| scribe.repaired(held));
    Ok(())
}

/// Ends this process at once when the one that started it is gone: nobody hears it any more.
fn end_with_parent() {
    std::thread::spawn(|| {
        let mut nothing = [0; 16];
        while std::io::stdin().read(&mut nothing).is_ok_and(|count| count > 0) {}
        std::process::exit(1);
    });
}
