//! What a failure of PostgreSQL, as sqlx tells it, asks for.

use tidings_core::{Code, Error};

use crate::fault::raised;

/// The failure as an instruction. Refusals of the outbox's own functions carry their code at the end of their text,
/// `[TD1007]`; it is kept.
#[must_use]
pub fn fault(error: sqlx::Error) -> Error {
    let code = match &error {
        sqlx::Error::Database(failure) => {
            if let Some(raised) = raised(failure.message()) {
                return raised;
            }
            classify(failure.code().as_deref().unwrap_or_default(), failure.message())
        }
        sqlx::Error::Io(_) => Code::DATABASE_UNREACHABLE,
        sqlx::Error::Tls(_) => Code::DATABASE_TLS,
        sqlx::Error::PoolTimedOut => Code::BUSY,
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Code::STOPPING,
        _ => Code::DEFECT,
    };
    Error::new(code, describe(code)).because(error)
}

/// By SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>), whose first two characters are its class.
fn classify(state: &str, message: &str) -> Code {
    match state {
        "28000" | "28P01" | "3D000" => Code::DATABASE_LOGIN,
        "42501" => Code::DATABASE_PRIVILEGE,
        "3F000" | "42P01" | "42883" if message.contains("tidings") => Code::OUTBOX_MISSING,
        "25006" => Code::DATABASE_STANDBY,
        "53100" => Code::DISK_FULL,
        "58030" => Code::DISK_FAILED,
        "XX001" | "XX002" => Code::STORE_CORRUPT,
        "22007" | "22008" | "22P02" | "22021" => Code::ATTRIBUTE_INVALID,
        _ => match state.get(..2).unwrap_or_default() {
            "08" | "57" | "53" => Code::DATABASE_UNREACHABLE,
            "40" | "55" | "25" => Code::BUSY,
            _ => Code::DEFECT,
        },
    }
}

/// What happened, as one clause, where the server's own words come in parentheses after it.
fn describe(code: Code) -> &'static str {
    match code {
        Code::DATABASE_UNREACHABLE => "the database does not answer",
        Code::DATABASE_LOGIN => "the database refuses this login",
        Code::DATABASE_PRIVILEGE => "this login may not do that",
        Code::DATABASE_TLS => "the encrypted connection to the database fails",
        Code::DATABASE_STANDBY => "the server is a standby and cannot be written",
        Code::OUTBOX_MISSING => "this database has no outbox",
        Code::ATTRIBUTE_INVALID => "a value is not what the outbox takes",
        Code::DISK_FULL => "the database's disk is full",
        Code::DISK_FAILED => "the database's disk failed",
        Code::STORE_CORRUPT => "the database is damaged",
        Code::BUSY => "the database is busy, or no connection became free",
        Code::STOPPING => "the connection is closed",
        _ => "PostgreSQL refused a statement, or sqlx was used wrongly",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_asks_for_one_thing() {
        for (state, message, expected) in [
            ("28P01", "password authentication failed", Code::DATABASE_LOGIN),
            ("42501", "permission denied for schema tidings", Code::DATABASE_PRIVILEGE),
            ("3F000", "schema \"tidings\" does not exist", Code::OUTBOX_MISSING),
            ("42P01", "relation \"price\" does not exist", Code::DEFECT),
            ("53300", "sorry, too many clients already", Code::DATABASE_UNREACHABLE),
            ("57P01", "terminating connection", Code::DATABASE_UNREACHABLE),
            ("53100", "could not extend file", Code::DISK_FULL),
            ("25006", "cannot execute INSERT in a read-only transaction", Code::DATABASE_STANDBY),
            ("25P02", "current transaction is aborted", Code::BUSY),
            ("40P01", "deadlock detected", Code::BUSY),
            ("XX001", "invalid page", Code::STORE_CORRUPT),
            ("22P02", "invalid input syntax for type json", Code::ATTRIBUTE_INVALID),
        ] {
            assert_eq!(classify(state, message), expected, "{state} {message}");
        }
        assert_eq!(fault(sqlx::Error::PoolClosed).code(), Code::STOPPING);
    }
}
