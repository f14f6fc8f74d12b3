//! What a failure of the store means, and to whom.

use redis::{ErrorKind, RedisError, ServerErrorKind};
use tidings_core::error::{Code, Error};

/// A failure of the client, told at an address that has no password in it.
pub(crate) fn fault(at: &str, error: &RedisError) -> Error {
    let detail = error.detail().unwrap_or_default();
    let says = |what: &str| error.code() == Some(what) || detail.contains(what);
    let (code, what) = match error.kind() {
        _ if says("WRONGTYPE") => (Code::REDIS_KEY_TYPE, "a key of the shared cache holds another type"),
        _ if says("OOM") => (Code::REDIS_FULL, "the store is full"),
        _ if says("NOPERM") => (Code::REDIS_DENIED, "the store denied a command"),
        _ if says("WRONGPASS") || says("NOAUTH") => (Code::REDIS_LOGIN, "the store refused the login"),
        _ if says("TDNOREPLID") => (Code::REDIS_TOO_OLD, "the server tells no replication id"),
        ErrorKind::AuthenticationFailed => (Code::REDIS_LOGIN, "the store refused the login"),
        ErrorKind::Server(ServerErrorKind::NoPerm) => (Code::REDIS_DENIED, "the store denied a command"),
        _ if is_tls(error) => (Code::REDIS_TLS, "the encrypted connection was refused"),
        ErrorKind::InvalidClientConfig => (Code::SETTING_INVALID, "the store's address cannot be used"),
        ErrorKind::RESP3NotSupported => (Code::REDIS_TOO_OLD, "the server does not speak RESP3"),
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            (Code::REDIS_UNREACHABLE, "the store is a replica now, and takes no writes")
        }
        ErrorKind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown)
        | ErrorKind::ClusterConnectionNotFound => {
            (Code::REDIS_UNREACHABLE, "a part of the cluster does not answer")
        }
        ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::TryAgain) => {
            (Code::REDIS_UNREACHABLE, "the store is not ready")
        }
        // A script that meets an unknown command or option.
        ErrorKind::Server(_) | ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            (Code::REDIS_REFUSED, "the store refused a command")
        }
        _ => (Code::REDIS_UNREACHABLE, "the store does not answer"),
    };
    Error::new(code, what).because(error.clone()).at(at)
}

/// Whether the two could not agree on an encrypted connection. The client keeps only the words of what TLS said.
fn is_tls(error: &RedisError) -> bool {
    const SAID: [&str; 4] =
        ["peer certificate", "InvalidContentType", "received fatal alert", "peer is incompatible"];
    let text = error.to_string();
    error.kind() == ErrorKind::Io && SAID.iter().any(|said| text.contains(said))
}

/// Whether asking again soon would most likely fail as well.
pub(crate) fn is_outage(error: &Error) -> bool {
    error.code() == Code::REDIS_UNREACHABLE
}
