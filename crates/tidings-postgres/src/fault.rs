//! What a failure of PostgreSQL asks for.

use pgwire_replication::PgWireError;
use tidings_core::{Code, Error};
use tokio_postgres::error::SqlState;

/// The failure as an instruction.
///
/// Refusals of the outbox's own functions carry their code at the end of their text, `[TD1007]`; it is kept.
#[must_use]
pub fn fault(error: tokio_postgres::Error) -> Error {
    let Some(told) = error.as_db_error() else {
        let text = error.to_string();
        let code = match text.as_str() {
            t if t.contains("password") || t.contains("authentication") => Code::DATABASE_LOGIN,
            t if t.contains("TLS") => Code::DATABASE_TLS,
            t if t.contains("parameter") || t.contains("deserializing") => Code::DEFECT,
            _ => Code::DATABASE_UNREACHABLE,
        };
        return Error::new(code, describe(code)).because(error);
    };
    if let Some(raised) = raised(told.message()) {
        return raised;
    }
    let code = classify(told.code().code(), told.message());
    Error::new(code, describe(code)).because(told.message().to_owned())
}

/// The failure of a replication session as an instruction.
pub(crate) fn stream_fault(error: PgWireError) -> Error {
    let code = match &error {
        PgWireError::Server(text) => match text.rsplit_once("(SQLSTATE ") {
            Some((message, state)) => classify(state.get(..5).unwrap_or_default(), message),
            None => Code::DATABASE_UNREACHABLE,
        },
        PgWireError::Auth(_) => Code::DATABASE_LOGIN,
        PgWireError::Tls(_) => Code::DATABASE_TLS,
        PgWireError::MessageTooLarge { .. } => Code::OVERSIZED,
        PgWireError::Protocol(_) => Code::DEFECT,
        _ => Code::DATABASE_UNREACHABLE,
    };
    Error::new(code, describe(code)).because(error)
}

fn classify(state: &str, message: &str) -> Code {
    match SqlState::from_code(state) {
        SqlState::INVALID_PASSWORD
        | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        | SqlState::INVALID_CATALOG_NAME => {
            // "no pg_hba.conf entry for replication connection" and a role without LOGIN come here, too.
            Code::DATABASE_LOGIN
        }
        SqlState::INSUFFICIENT_PRIVILEGE => Code::DATABASE_PRIVILEGE,
        SqlState::INVALID_SCHEMA_NAME | SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_FUNCTION
            if message.contains("tidings") =>
        {
            Code::OUTBOX_MISSING
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => Code::DATABASE_STANDBY,
        SqlState::OBJECT_IN_USE => Code::SLOT_IN_USE,
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE if message.contains("wal_level") => Code::WAL_LEVEL,
        // "can no longer get changes from replication slot", "cannot read from logical replication slot"
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE if message.contains("slot") => Code::SLOT_LOST,
        SqlState::UNDEFINED_OBJECT if message.contains("slot") => Code::SLOT_LOST,
        SqlState::UNDEFINED_FILE if message.contains("WAL") => Code::SLOT_LOST,
        SqlState::CONFIGURATION_LIMIT_EXCEEDED => Code::SLOTS_FULL,
        SqlState::DISK_FULL => Code::DISK_FULL,
        SqlState::IO_ERROR => Code::DISK_FAILED,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => Code::STORE_CORRUPT,
        SqlState::INVALID_DATETIME_FORMAT
        | SqlState::DATETIME_FIELD_OVERFLOW
        | SqlState::INVALID_TEXT_REPRESENTATION
        | SqlState::CHARACTER_NOT_IN_REPERTOIRE => Code::ATTRIBUTE_INVALID,
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
        Code::WAL_LEVEL => "the server does not write what logical decoding needs",
        Code::SLOT_IN_USE => "the replication slot is in use",
        Code::SLOT_LOST => "the replication slot is gone",
        Code::SLOTS_FULL => "the server has no replication slot left",
        Code::OVERSIZED => "a row is larger than the limit",
        Code::ATTRIBUTE_INVALID => "a value is not what the outbox takes",
        Code::DISK_FULL => "the database's disk is full",
        Code::DISK_FAILED => "the database's disk failed",
        Code::STORE_CORRUPT => "the database is damaged",
        Code::BUSY => "the database is busy",
        _ => "PostgreSQL refused a statement",
    }
}

/// A refusal by the outbox's functions, `what; remedy [TDnnnn]`.
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
        for (state, message, expected) in [
            ("28P01", "password authentication failed", Code::DATABASE_LOGIN),
            ("3D000", "database does not exist", Code::DATABASE_LOGIN),
            ("42501", "permission denied for schema tidings", Code::DATABASE_PRIVILEGE),
            ("3F000", "schema \"tidings\" does not exist", Code::OUTBOX_MISSING),
            ("42P01", "relation \"price\" does not exist", Code::DEFECT),
            ("55000", "logical decoding requires wal_level >= logical", Code::WAL_LEVEL),
            ("55000", "can no longer get changes from replication slot \"a\"", Code::SLOT_LOST),
            ("55006", "replication slot \"a\" is active for PID 7", Code::SLOT_IN_USE),
            ("42704", "replication slot \"a\" does not exist", Code::SLOT_LOST),
            ("53400", "all replication slots are in use", Code::SLOTS_FULL),
            ("53300", "sorry, too many clients already", Code::DATABASE_UNREACHABLE),
            ("57P01", "terminating connection", Code::DATABASE_UNREACHABLE),
            ("53100", "could not extend file", Code::DISK_FULL),
            ("25006", "cannot execute INSERT in a read-only transaction", Code::DATABASE_STANDBY),
            ("40001", "could not serialize access", Code::BUSY),
            ("XX001", "invalid page", Code::STORE_CORRUPT),
        ] {
            assert_eq!(classify(state, message), expected, "{state} {message}");
        }
    }

    #[test]
    fn the_code_of_a_refusal_is_kept() {
        let error = raised("the version is old; leave it out [TD1007]").unwrap();
        assert_eq!((error.code(), error.what().as_str()), (Code::VERSION_REGRESSED, "the version is old"));
        assert!(raised("the user's own [TD0000]").is_none());
    }
}
