//! How much a copy was compared at its end: what it held then went to the checker, and here is how much that was.
//!
//! A process of its own says it in a file, since its records do not tell what was cached from what the read model held.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidings_core::{Code, Error, Result};

use crate::data_dir::io_fault;
use crate::units::count;

const FILE: &str = "compared.json";

/// States, each once; zero if there was no comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compared {
    /// States that the read model held.
    pub(crate) modelled: u64,
    /// States that were cached.
    pub(crate) cached: u64,
    /// States that were cached as parts of pages, by the views that share a level with other copies.
    pub(crate) parts: u64,
    /// Cached answers that were left out, since they may rightly be older.
    pub(crate) unvouched: u64,
}

impl Compared {
    /// To people, in a part of a line.
    pub(crate) fn text(&self) -> String {
        let Self { modelled, cached, parts, unvouched } = *self;
        let parts = match parts {
            0 => String::new(),
            _ => format!(", {} cached as parts", count(parts)),
        };
        let left_out = match unvouched {
            0 => String::new(),
            _ => format!(" ({} cached answers that nobody vouches for left out)", count(unvouched)),
        };
        format!("{} states of the read model and {} cached{parts}{left_out}", count(modelled), count(cached))
    }

    /// To programs, under flat names that begin like this.
    pub(crate) fn add_to(&self, report: &mut Map<String, Value>, prefix: &str) {
        let Self { modelled, cached, parts, unvouched } = *self;
        let all = [("modelled", modelled), ("cached", cached), ("parts", parts), ("unvouched", unvouched)];
        for (what, number) in all {
            report.insert(format!("{prefix}held_{what}"), number.into());
        }
    }

    /// Leaves it for whoever started this process.
    pub(crate) fn leave(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let written = serde_json::to_vec(self).map_err(std::io::Error::other);
        let written = written.and_then(|text| std::fs::write(&path, text));
        written.map_err(|e| io_fault(&path, "how much was compared cannot be written", e))
    }

    /// What a process has left.
    pub(crate) fn find(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text =
            std::fs::read(&path).map_err(|e| io_fault(&path, "how much was compared cannot be read", e))?;
        serde_json::from_slice(&text).map_err(|e| {
            Error::new(Code::DEFECT, "how much was compared is damaged").because(e).at(path.display())
        })
    }

    /// What an earlier run has left says nothing of this one.
    pub(crate) fn forget(dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(io_fault(&path, "what an earlier run left cannot be removed", e))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_run_left_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        Compared::forget(dir.path()).unwrap();
        let compared = Compared { modelled: 3, cached: 2, parts: 4, unvouched: 1 };
        compared.leave(dir.path()).unwrap();
        assert_eq!(Compared::find(dir.path()).unwrap(), compared);
        Compared::forget(dir.path()).unwrap();
        Compared::find(dir.path()).unwrap_err();
    }

    #[test]
    fn what_was_left_out_is_said_only_if_there_is_any() {
        let text = |parts, unvouched| Compared { modelled: 1_200, cached: 30, parts, unvouched }.text();
        assert_eq!(text(0, 0), "1,200 states of the read model and 30 cached");
        let left_out = " (4 cached answers that nobody vouches for left out)";
        assert_eq!(text(0, 4), format!("{}{left_out}", text(0, 0)));
        assert_eq!(text(9, 0), format!("{}, 9 cached as parts", text(0, 0)));
    }
}
