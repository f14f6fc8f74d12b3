//! A data directory: what is in it, who holds it, and why it may be refused.
//!
//! ```text
//! format        "tidings 1": this is ours, and in which version
//! lock          held (flock) by the one process that runs the platform here
//! running.json  where that process answers; worth nothing unless the lock is held
//! log.db        the log
//! catalog.db pricing.db inventory.db checkout.db experience.db   the retail contexts, each its own
//! publish.db    the outbox of what was handed in with `tidings publish`
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings_core::{Code, Error, Result};

/// The version of the layout that this program writes and understands.
const FORMAT: u32 = 1;
/// The first word in the file `format`.
const MARK: &str = "tidings";
/// How temporary directories of `tidings dev` begin.
pub(crate) const TEMPORARY: &str = "tidings-dev-";

/// A directory known to be ours.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

/// The one process that runs the platform in a directory.
#[derive(Debug)]
pub(crate) struct Held {
    dir: DataDir,
    _lock: File,
}

/// Where the running process answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunningAt {
    /// `http://host:port`.
    pub(crate) address: String,
    /// Its process.
    pub(crate) pid: u32,
}

impl DataDir {
    /// An existing directory of ours.
    ///
    /// Errors: [`Code::STORE_UNKNOWN`] if it is not ours, [`Code::STORE_TOO_NEW`], [`Code::FILE_UNREADABLE`].
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(unknown(path, "there is no such directory"));
        }
        if Self::is_new(path)? {
            return Err(unknown(path, "this directory is empty"));
        }
        Self::checked(path)
    }

    /// As [`DataDir::open`], and made if it is missing or empty.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if !path.exists() {
            fs::create_dir_all(path).map_err(|e| io_fault(path, "the data directory cannot be made", e))?;
        }
        if Self::is_new(path)? {
            // Under another name first, so that a crash in between leaves a directory that is still new.
            let made = path.join(format!("format.new.{}", std::process::id()));
            let named = path.join("format");
            let write = || -> std::io::Result<()> {
                let mut file = File::create(&made)?;
                writeln!(file, "{MARK} {FORMAT}")?;
                file.sync_all()?;
                fs::rename(&made, &named)
            };
            write().map_err(|e| io_fault(path, "the data directory cannot be written", e))?;
        }
        Self::checked(path)
    }

    fn checked(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path.join("format")) {
            Ok(text) => text,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
                return Err(unknown(path, "this is no data directory of Tidings"));
            }
            Err(e) => return Err(io_fault(path, "its file \"format\" cannot be read", e)),
        };
        let version = text.trim().strip_prefix(MARK).and_then(|version| version.trim().parse::<u32>().ok());
        match version {
            Some(1..=FORMAT) => Ok(Self(path.to_owned())),
            Some(newer @ 2..) => {
                let what = format!("this data directory has format {newer}; this program knows {FORMAT}");
                Err(Error::new(Code::STORE_TOO_NEW, what).at(path.display()))
            }
            _ => Err(unknown(path, "this is no data directory of Tidings")),
        }
    }

    fn is_new(path: &Path) -> Result<bool> {
        if !path.is_dir() {
            return Err(unknown(path, "this is not a directory"));
        }
        let entries = fs::read_dir(path).map_err(|e| io_fault(path, "the directory cannot be read", e))?;
        for entry in entries {
            let entry = entry.map_err(|e| io_fault(path, "the directory cannot be read", e))?;
            // "lost+found" is what a fresh file system has.
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !matches!(&*name, "lock" | "lost+found") && !name.starts_with("format.new.") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Becomes the one process that runs the platform here, until the answer is dropped or the process ends.
    ///
    /// Errors: [`Code::STORE_LOCKED`], [`Code::READ_ONLY`], [`Code::DISK_FULL`].
    pub(crate) fn hold(&self) -> Result<Held> {
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(self.file("lock"));
        let lock = open.map_err(|e| io_fault(&self.0, "the data directory cannot be written", e))?;
        match patiently(|| lock.try_lock()) {
            Ok(()) => Ok(Held { dir: self.clone(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let by = self
                    .read_running()
                    .map_or_else(String::new, |r| format!(" (process {}, {})", r.pid, r.address));
                let what = format!("the data directory is in use by another process{by}");
                Err(Error::new(Code::STORE_LOCKED, what).at(self.0.display()))
            }
            Err(TryLockError::Error(e)) => Err(io_fault(&self.0, "the data directory cannot be locked", e)),
        }
    }

    /// Where the process that runs the platform here answers; `None` if there is none, whatever `running.json` says.
    pub(crate) fn running(&self) -> Option<RunningAt> {
        let lock = File::open(self.file("lock")).ok()?;
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => self.read_running(),
            // The lock is let go with the file.
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }

    fn read_running(&self) -> Option<RunningAt> {
        serde_json::from_slice(&fs::read(self.file("running.json")).ok()?).ok()
    }

    /// Why nothing can be written here, if so. SQLite says the same of a file that is missing and of one that it may
    /// not write.
    pub(crate) fn check_writable(&self) -> Result<()> {
        let probe = self.file(&format!("probe-{}", std::process::id()));
        File::create(&probe)
            .and_then(|_| fs::remove_file(&probe))
            .map_err(|e| io_fault(&self.0, "the data directory cannot be written", e))
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The directory that a command is about: the one given, else that of the one running `tidings dev`.
    pub(crate) fn find(given: Option<&Path>) -> Result<Self> {
        if let Some(path) = given {
            return Self::open(path);
        }
        let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(TEMPORARY));
        // Anybody may make a directory of that name there, and a publisher would tell it everything.
        let user = user();
        let own = |entry: &fs::DirEntry| {
            entry.metadata().is_ok_and(|meta| meta.is_dir() && Some(meta.uid()) == user)
        };
        let running: Vec<_> = named
            .filter(own)
            .filter_map(|entry| Self::open(&entry.path()).ok())
            .filter(|dir| dir.running().is_some())
            .collect();
        match <[Self; 1]>::try_from(running) {
            Ok([dir]) => Ok(dir),
            Err(running) => {
                let what = match running.len() {
                    0 => "no data directory was given, and no tidings dev runs without one".to_owned(),
                    n => format!("no data directory was given, and {n} tidings dev run without one"),
                };
                Err(Error::new(Code::SETTING_INVALID, format!("{what}; give one with --data DIR")))
            }
        }
    }
}

impl Held {
    /// Tells other processes where this one answers.
    pub(crate) fn announce(&self, running: &RunningAt) -> Result<()> {
        let text = crate::out::to_json(running)?;
        let (made, named) = (self.dir.file("running.json.new"), self.dir.file("running.json"));
        fs::write(&made, text)
            .and_then(|()| fs::rename(&made, &named))
            .map_err(|e| io_fault(self.dir.path(), "the data directory cannot be written", e))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // If it stays, it is recognised: the lock is gone.
        let _ = fs::remove_file(self.dir.file("running.json"));
    }
}

/// Who this process is, to the file system; `None` if that cannot be told.
fn user() -> Option<u32> {
    tempfile::tempfile().and_then(|file| file.metadata()).ok().map(|meta| meta.uid())
}

/// Somebody who only asks whether the lock is held holds it for a moment.
fn patiently(mut lock: impl FnMut() -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    for _ in 0..10 {
        match lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
    lock()
}

fn unknown(path: &Path, what: &str) -> Error {
    Error::new(Code::STORE_UNKNOWN, what).at(path.display())
}

/// A failure of the file system as an instruction.
pub(crate) fn io_fault(path: &Path, what: &str, error: std::io::Error) -> Error {
    let code = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Code::READ_ONLY,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Code::DISK_FULL,
        _ => Code::FILE_UNREADABLE,
    };
    Error::new(code, what).because(error).at(path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_becomes_ours_and_others_stay_as_they_are() {
        let root = tempfile::tempdir().unwrap();
        let check = |name: &str, files: &[(&str, &str)], opened: Option<Code>, created: Option<Code>| {
            let path = root.path().join(name);
            fs::create_dir(&path).unwrap();
            files.iter().for_each(|(file, text)| fs::write(path.join(file), text).unwrap());
            assert_eq!(DataDir::open(&path).err().map(|e| e.code()), opened, "open {name}");
            assert_eq!(DataDir::create(&path).err().map(|e| e.code()), created, "create {name}");
        };
        check("empty", &[], Some(Code::STORE_UNKNOWN), None);
        check("crashed", &[("format.new.7", ""), ("lock", "")], Some(Code::STORE_UNKNOWN), None);
        check("ours", &[("format", "tidings 1\n")], None, None);
        check("newer", &[("format", "tidings 2\n")], Some(Code::STORE_TOO_NEW), Some(Code::STORE_TOO_NEW));
        for text in ["", "tidings", "tidings 0", "tidings one", "\u{0}"] {
            check(
                &format!("foreign {text:?}").replace('\\', ""),
                &[("format", text)],
                Some(Code::STORE_UNKNOWN),
                Some(Code::STORE_UNKNOWN),
            );
        }
        check("photos", &[("cat.jpg", "")], Some(Code::STORE_UNKNOWN), Some(Code::STORE_UNKNOWN));
    }

    #[test]
    fn one_process_holds_it_and_a_stale_address_is_recognised() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::create(root.path()).unwrap();
        let held = dir.hold().unwrap();
        held.announce(&RunningAt { address: "http://127.0.0.1:1".into(), pid: 7 }).unwrap();
        assert_eq!(dir.running().map(|r| r.pid), Some(7));
        let refused = dir.hold().unwrap_err();
        assert_eq!(refused.code(), Code::STORE_LOCKED);
        assert!(refused.to_string().contains("process 7"), "{refused}");
        let stale = fs::read(dir.file("running.json")).unwrap();
        drop(held);
        fs::write(dir.file("running.json"), stale).unwrap();
        assert!(dir.running().is_none(), "the file lies");
        assert!(dir.hold().is_ok());
    }
}
