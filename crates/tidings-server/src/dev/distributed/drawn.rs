//! What a copy had from the levels that all copies share, as it says now and then: a level that gives nothing any more breaks
//! no promise, and nobody but these numbers tells.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use retail::Storefront;
use serde::{Deserialize, Serialize};
use tidings_core::Result;
use tidings_testkit::history::Nanos;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::data_dir::io_fault;
use crate::dev::clock::RunClock;

const FILE: &str = "shared.json";
const PART: &str = "shared.part";
/// How often it is said.
const EVERY: Duration = Duration::from_secs(1);

/// Counted up, over all processes that were this copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drawn {
    /// Answers that came from the level.
    pub(crate) l2_hits: u64,
    /// Looks that it did not answer.
    pub(crate) l2_bypasses: u64,
    /// Its answers that were not taken.
    pub(crate) l2_refused: u64,
}

/// By the view that shares the level.
pub(super) type Levels = BTreeMap<String, Drawn>;

/// What a copy says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tally {
    /// When it began to count this, by the history's clock: everything before is in it.
    pub(super) at: Nanos,
    pub(super) levels: Levels,
}

impl Drawn {
    /// Together with others.
    pub(super) fn add(&mut self, other: Self) {
        self.l2_hits += other.l2_hits;
        self.l2_bypasses += other.l2_bypasses;
        self.l2_refused += other.l2_refused;
    }
}

impl Tally {
    /// Over all levels.
    pub(super) fn total(&self) -> Drawn {
        total(&self.levels)
    }

    /// What a copy last said; `None` as long as it has said nothing.
    pub(super) fn find(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()
    }

    /// What an earlier run has left says nothing of this one.
    pub(super) fn forget(dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(io_fault(&path, "what an earlier run left cannot be removed", e))
            }
            _ => Ok(()),
        }
    }

    /// In one piece, or not at all: somebody may read it at any time, and this process may end at any time.
    fn leave(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let text = serde_json::to_vec(self).map_err(std::io::Error::other);
        let part = dir.join(PART);
        let written = text.and_then(|text| std::fs::write(&part, text));
        let written = written.and_then(|()| std::fs::rename(&part, &path));
        written.map_err(|e| io_fault(&path, "what came from the shared level cannot be written", e))
    }

    /// With what an earlier process of this copy had said.
    fn after(mut self, before: &Levels) -> Self {
        for (view, drawn) in before {
            self.levels.entry(view.clone()).or_default().add(*drawn);
        }
        self
    }
}

/// What this process had from each level.
pub(super) fn count(storefront: &Storefront) -> Levels {
    let drawn = |(view, counts): (&str, tidings::ViewCounts)| {
        let tidings::ViewCounts { l2_hits, l2_bypasses, l2_refused, .. } = counts;
        (view.to_owned(), Drawn { l2_hits, l2_bypasses, l2_refused })
    };
    storefront.experience().shared().into_iter().map(drawn).collect()
}

/// Over all of them.
pub(super) fn total(levels: &Levels) -> Drawn {
    let mut total = Drawn::default();
    levels.values().for_each(|drawn| total.add(*drawn));
    total
}

/// Says it from now on.
pub(super) struct Telling {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<()>>,
}

/// Begins to say it in this directory.
pub(super) fn tell(storefront: Arc<Storefront>, dir: PathBuf, clock: RunClock) -> Telling {
    // What an earlier process had after it last said so is lost: too little is counted, never too much.
    let before = Tally::find(&dir).unwrap_or_default().levels;
    let (stop, mut stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        loop {
            let is_last = tokio::time::timeout(EVERY, &mut stopped).await.is_ok();
            let at = clock.now();
            let said = Tally { at, levels: count(&storefront) }.after(&before).leave(&dir);
            // A disk that is full may have room again; what is missing then is only missing for a while.
            if is_last {
                return said;
            }
        }
    });
    Telling { stop, task }
}

impl Telling {
    /// Says it for the last time.
    pub(super) async fn finish(self) -> Result<()> {
        drop(self.stop);
        self.task.await.unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(at: Nanos, l2_hits: u64) -> Tally {
        let drawn = Drawn { l2_hits, l2_bypasses: 1, l2_refused: 2 };
        Tally { at, levels: [("price".to_owned(), drawn)].into() }
    }

    #[test]
    fn what_an_earlier_run_left_is_not_found_and_what_an_earlier_process_said_counts_on() {
        let dir = tempfile::tempdir().unwrap();
        Tally::forget(dir.path()).unwrap();
        assert_eq!(Tally::find(dir.path()), None);
        tally(5, 3).leave(dir.path()).unwrap();
        let before = Tally::find(dir.path()).unwrap();
        assert_eq!(before, tally(5, 3));
        let both = tally(9, 4).after(&before.levels);
        assert_eq!((both.at, both.total()), (9, Drawn { l2_hits: 7, l2_bypasses: 2, l2_refused: 4 }));
        both.leave(dir.path()).unwrap();
        assert_eq!(Tally::find(dir.path()), Some(both));
        Tally::forget(dir.path()).unwrap();
        assert_eq!(Tally::find(dir.path()), None);
    }

    #[test]
    fn what_is_half_written_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        tally(5, 3).leave(dir.path()).unwrap();
        std::fs::write(dir.path().join(PART), b"{").unwrap();
        assert_eq!(Tally::find(dir.path()), Some(tally(5, 3)));
    }
}
