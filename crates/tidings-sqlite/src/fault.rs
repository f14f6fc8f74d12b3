//! What a failure of SQLite asks for.

use rusqlite::ffi;
use rusqlite::{Error as Sqlite, ErrorCode};
use tidings_core::{Code, Error};

/// The failure as an instruction. Use it for SQLite errors inside a projection, too.
///
/// Errors raised by the outbox's trigger carry their code at the end of their text, `[TD1007]`; it is kept.
#[must_use]
pub fn fault(error: Sqlite) -> Error {
    let (code, what) = match &error {
        Sqlite::SqliteFailure(failure, text) => {
            let text = text.as_deref().unwrap_or_default();
            if let Some(raised) = raised(text) {
                return raised;
            }
            classify(failure, text)
        }
        _ => (Code::DEFECT, "SQLite was used wrongly"),
    };
    Error::new(code, what).because(error)
}

/// As [`fault`], with the place in front.
pub(crate) fn fault_at(place: impl std::fmt::Display) -> impl FnOnce(Sqlite) -> Error {
    move |error| fault(error).at(place)
}

fn classify(failure: &ffi::Error, text: &str) -> (Code, &'static str) {
    match (failure.code, failure.extended_code) {
        (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => (Code::DISK_FULL, "the disk is full"),
        (_, ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS)
        | (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => {
            (Code::STORE_CORRUPT, "the database file is damaged")
        }
        (ErrorCode::ReadOnly | ErrorCode::PermissionDenied, _) => {
            (Code::READ_ONLY, "the database cannot be written")
        }
        (ErrorCode::CannotOpen, _) => (Code::FILE_UNREADABLE, "the database file cannot be opened"),
        // A failed read, write or sync is not retried blindly by SQLite, and nothing of the transaction stays.
        (ErrorCode::SystemIoFailure, _) => (Code::DISK_FAILED, "the disk failed"),
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => (Code::BUSY, "the database is locked"),
        (ErrorCode::OutOfMemory, _) => (Code::OVERLOADED, "SQLite is out of memory"),
        (ErrorCode::TooBig, _) => (Code::OVERSIZED, "the value is too large for SQLite"),
        (_, ffi::SQLITE_ERROR) if text.starts_with("no such table: tidings_") => {
            (Code::OUTBOX_MISSING, "this database has no outbox")
        }
        (_, ffi::SQLITE_ERROR) if text.contains("unsafe use of virtual table") => (
            Code::SETTING_INVALID,
            "the outbox needs PRAGMA trusted_schema=ON on the connection that writes it",
        ),
        _ => (Code::DEFECT, "SQLite refused a statement"),
    }
}

/// A refusal of the outbox's trigger, `what; remedy [TDnnnn]`.
fn raised(text: &str) -> Option<Error> {
    let (message, id) = text.strip_suffix(']')?.rsplit_once(" [")?;
    let code = Code::ALL.iter().find(|code| code.id() == id)?;
    let what = message.split_once("; ").map_or(message, |(what, _)| what);
    Some(Error::new(*code, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_asks_for_one_thing() {
        let cases = [
            (ffi::SQLITE_FULL, "", Code::DISK_FULL),
            (ffi::SQLITE_IOERR_SHMSIZE, "", Code::DISK_FULL),
            (ffi::SQLITE_READONLY_DIRECTORY, "", Code::READ_ONLY),
            (ffi::SQLITE_CORRUPT, "", Code::STORE_CORRUPT),
            (ffi::SQLITE_NOTADB, "", Code::STORE_CORRUPT),
            (ffi::SQLITE_IOERR_SHORT_READ, "", Code::STORE_CORRUPT),
            (ffi::SQLITE_IOERR_FSYNC, "", Code::DISK_FAILED),
            (ffi::SQLITE_CANTOPEN, "", Code::FILE_UNREADABLE),
            (ffi::SQLITE_BUSY_SNAPSHOT, "", Code::BUSY),
            (ffi::SQLITE_TOOBIG, "", Code::OVERSIZED),
            (ffi::SQLITE_ERROR, "no such table: tidings_publish", Code::OUTBOX_MISSING),
            (ffi::SQLITE_ERROR, "no such table: price", Code::DEFECT),
            (ffi::SQLITE_CONSTRAINT_TRIGGER, "it is old; leave it out [TD1007]", Code::VERSION_REGRESSED),
            (ffi::SQLITE_CONSTRAINT_TRIGGER, "the user's own [TD0000]", Code::DEFECT),
        ];
        for (number, text, expected) in cases {
            let error = fault(Sqlite::SqliteFailure(ffi::Error::new(number), Some(text.to_owned())));
            assert_eq!(error.code(), expected, "{number} {text}");
        }
    }

    #[test]
    fn a_refusal_says_its_remedy_once() {
        let error = raised("the version is old; leave it out [TD1007]").unwrap();
        assert_eq!(error.to_string(), format!("the version is old; {} [TD1007]", error.code().remedy()));
    }
}
