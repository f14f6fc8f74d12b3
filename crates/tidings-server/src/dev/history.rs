//! The file that a run's history is written to.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tidings_core::{Code, Error, Result};
use tidings_testkit::history::{Nanos, Record, Writer};

use crate::data_dir::io_fault;

/// How a history begins.
const HEAD: &[u8] = b"{\"tidings_history\":";

/// A file that may become the history of a run. Until the run begins, what was in it stays.
pub(crate) struct HistoryFile {
    path: PathBuf,
    file: File,
}

/// A history under way.
pub(crate) struct Writing {
    path: PathBuf,
    writer: Writer<File>,
}

impl HistoryFile {
    /// Opens it, or makes it. A history that is there will be replaced, anything else is refused.
    ///
    /// Errors: [`Code::SETTING_INVALID`] if it holds something else, [`Code::READ_ONLY`], [`Code::DISK_FULL`],
    /// [`Code::FILE_UNREADABLE`].
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let unusable = |e| io_fault(path, "the history cannot be written", e);
        let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let mut file = open.map_err(unusable)?;
        if file.metadata().map_err(unusable)?.is_file() {
            let mut head = Vec::new();
            (&mut file).take(HEAD.len() as u64).read_to_end(&mut head).map_err(unusable)?;
            if !head.is_empty() && head != HEAD {
                let what =
                    "this file is no history, and would be overwritten; give another name, or remove it";
                return Err(Error::new(Code::SETTING_INVALID, what).at(path.display()));
            }
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Begins the new history in place of an old one.
    pub(crate) fn begin(self) -> Result<Writing> {
        let Self { path, mut file } = self;
        let emptied = match file.metadata() {
            Ok(meta) if meta.is_file() => {
                file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map(drop)
            }
            other => other.map(drop),
        };
        emptied.map_err(|e| io_fault(&path, "the history cannot be written", e))?;
        let writer = Writer::new(file).map_err(|e| e.at(path.display()))?;
        Ok(Writing { path, writer })
    }
}

impl Writing {
    pub(crate) fn record(&mut self, record: &Record) -> Result<()> {
        self.writer.record(record).map_err(|e| e.at(self.path.display()))
    }

    /// Everything that ended before this has been written.
    pub(crate) fn settled(&mut self, up_to: Nanos) -> Result<()> {
        self.writer.settled(up_to).map_err(|e| e.at(self.path.display()))
    }

    /// Writes the last line, without which a history is not whole.
    pub(crate) fn finish(self) -> Result<()> {
        self.writer.finish().map(drop).map_err(|e| e.at(self.path.display()))
    }
}
