//! The console: what the platform does and how fresh its answers are, twice a second.
//!
//! One template draws the board; the page is the newest board in a frame, and each further board goes out as one
//! server-sent event, so what a browser without scripts shows is the same, standing still.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use askama::Template;
use retail::Platform;
use tidings_core::{Code, Error, Result};
use tidings_sqlite::SqliteLog;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::distributed::World;
use super::recorder::Recorder;
use crate::data_dir::DataDir;
use crate::survey::{SetAside, Survey};

mod board;
mod series;

use board::Board;
use series::{Sample, Series};

const EVERY: Duration = Duration::from_millis(500);

/// What the platform stands on.
pub(crate) enum Estate {
    /// Files in a directory.
    Files(DataDir, Arc<SqliteLog>),
    /// Servers, and processes beside this one.
    Servers(Arc<World>),
}

/// Draws boards and hands them out.
pub(crate) struct Console {
    estate: Estate,
    platform: Arc<Platform>,
    recorder: Arc<Recorder>,
    load: u32,
    boards: watch::Receiver<Arc<str>>,
    drawing: Mutex<Option<JoinHandle<()>>>,
}

/// What is set aside.
#[derive(Default)]
struct Parked {
    total: u64,
    /// The first few, with their reasons.
    shown: Vec<SetAside>,
}

#[derive(Template)]
#[template(path = "console.html")]
struct Page<'a> {
    board: &'a str,
}

impl Console {
    /// Starts drawing.
    pub(crate) fn new(
        estate: Estate,
        platform: Arc<Platform>,
        recorder: Arc<Recorder>,
        load: u32,
    ) -> Arc<Self> {
        let (newest, boards) = watch::channel::<Arc<str>>("<p>The first board is being drawn.</p>".into());
        let console = Self { estate, platform, recorder, load, boards, drawing: Mutex::default() };
        let console = Arc::new(console);
        let drawing = tokio::spawn(console.clone().draw(newest));
        *console.drawing.lock().unwrap_or_else(PoisonError::into_inner) = Some(drawing);
        console
    }

    /// The page with the newest board.
    pub(crate) async fn page(&self) -> Result<String> {
        // Right after the start there may be none yet.
        let mut boards = self.boards.clone();
        let first = boards.wait_for(|board| board.contains("data-live"));
        drop(tokio::time::timeout(Duration::from_secs(1), first).await);
        let page = Page { board: &self.boards.borrow() };
        page.render().map_err(|e| Error::new(Code::DEFECT, "the console cannot be drawn").because(e))
    }

    /// Every board from now on.
    pub(crate) fn boards(&self) -> watch::Receiver<Arc<str>> {
        self.boards.clone()
    }

    /// The state of what everything stands on, as JSON.
    pub(crate) async fn status(&self) -> Result<String> {
        match &self.estate {
            Estate::Files(dir, log) => crate::out::to_json(&Survey::take(dir, Some(log)).await?),
            Estate::Servers(world) => crate::out::to_json(&world.status()),
        }
    }

    async fn set_aside(&self) -> Result<Vec<SetAside>> {
        match &self.estate {
            Estate::Files(dir, log) => Ok(Survey::take(dir, Some(log)).await?.parked),
            Estate::Servers(_) => Ok(Vec::new()),
        }
    }

    /// Ends the drawing, and with it every stream of boards.
    pub(crate) fn close(&self) {
        if let Some(drawing) = self.drawing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drawing.abort();
        }
    }

    async fn draw(self: Arc<Self>, newest: watch::Sender<Arc<str>>) {
        let mut series = Series::default();
        let mut parked = Parked::default();
        loop {
            // Why something is parked is looked up only when something new is.
            let total = self.parked_total().await.unwrap_or(parked.total);
            if total != parked.total
                && let Ok(shown) = self.set_aside().await
            {
                parked = Parked { total, shown };
            }
            series.push(Sample::take(&self.platform, &self.recorder));
            if let Some(board) = Board::of(&series, &parked, self.load).and_then(|board| board.render().ok())
            {
                newest.send_replace(board.into());
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn parked_total(&self) -> Result<u64> {
        let by_relays: u64 = self.platform.stats().contexts.iter().map(|context| context.parked).sum();
        let by_groups = match &self.estate {
            Estate::Files(_, log) => log.parked_counts().await?.iter().map(|(_, count)| count).sum(),
            Estate::Servers(_) => self.platform.stats().consumer.parked,
        };
        Ok(by_relays + by_groups)
    }
}
