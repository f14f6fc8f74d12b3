//! What a failure of SQLite, as sqlx tells it, asks for.

use tidings_core::{Code, Error};

/// The failure as an instruction. Errors raised by the outbox's trigger carry their code at the end of their text,
/// `[TD1007]`; it is kept.
#[must_use]
pub fn fault(error: sqlx::Error) -> Error {
    let (code, what) = match &error {
        sqlx::Error::Database(failure) => {
            if let Some(raised) = raised(failure.message()) {
                return raised;
            }
            let number = failure.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
            classify(number, failure.message())
        }
        sqlx::Error::Io(_) => (Code::FILE_UNREADABLE, "the database file cannot be read or written"),
        sqlx::Error::PoolTimedOut => (Code::BUSY, "no connection became free"),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => (Code::STOPPING, "the connection is closed"),
        _ => (Code::DEFECT, "sqlx was used wrongly"),
    };
    Error::new(code, what).because(error)
}

/// By SQLite's extended result code (<https://sqlite.org/rescode.html>), whose low byte is the primary one.
fn classify(number: i32, message: &str) -> (Code, &'static str) {
    const IOERR_SHORT_READ: i32 = 522;
    const IOERR_SHMSIZE: i32 = 4874;
    const IOERR_CORRUPTFS: i32 = 8458;
    match (number, number & 0xFF) {
        (_, 13) | (IOERR_SHMSIZE, _) => (Code::DISK_FULL, "the disk is full"),
        (_, 11 | 26) | (IOERR_SHORT_READ | IOERR_CORRUPTFS, _) => {
            (Code::STORE_CORRUPT, "the database file is damaged")
        }
        (_, 3 | 8) => (Code::READ_ONLY, "the database cannot be written"),
        (_, 5 | 6) => (Code::BUSY, "the database is locked"),
        (_, 7) => (Code::OVERLOADED, "SQLite is out of memory"),
        (_, 10) => (Code::DISK_FAILED, "the disk failed"),
        (_, 14) => (Code::FILE_UNREADABLE, "the database file cannot be opened"),
        (_, 18) => (Code::OVERSIZED, "the value is too large for SQLite"),
        (1, _) if message.starts_with("no such table: tidings_") => {
            (Code::OUTBOX_MISSING, "this database has no outbox")
        }
        (1, _) if message.contains("unsafe use of virtual table") => (
            Code::SETTING_INVALID,
            "the outbox needs PRAGMA trusted_schema=ON on the connection that writes it",
        ),
        _ => (Code::DEFECT, "SQLite refused a statement"),
    }
}

/// A refusal by the outbox itself, `what; remedy [TDnnnn]`.
pub(crate) fn raised(text: &str) -> Option<Error> {
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
        for (number, message, expected) in [
            (13, "", Code::DISK_FULL),
            (4874, "", Code::DISK_FULL),
            (1032, "", Code::READ_ONLY),
            (11, "", Code::STORE_CORRUPT),
            (522, "", Code::STORE_CORRUPT),
            (1034, "", Code::DISK_FAILED),
            (517, "", Code::BUSY),
            (1, "no such table: tidings_publish", Code::OUTBOX_MISSING),
            (1, "no such table: price", Code::DEFECT),
            (1811, "the user's own", Code::DEFECT),
        ] {
            assert_eq!(classify(number, message).0, expected, "{number} {message}");
        }
    }

    #[test]
    fn the_code_of_a_refusal_is_kept() {
        let error = raised("the version is old; leave it out [TD1007]").unwrap();
        assert_eq!((error.code(), error.what().as_str()), (Code::VERSION_REGRESSED, "the version is old"));
        assert!(raised("the user's own [TD0000]").is_none());
    }
}
