//! Where the contexts keep their state.

use std::path::{Path, PathBuf};

use tidings_core::{Code, Error, Result};

/// Where the contexts keep their state.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// A file for each, on SQLite, in this directory.
    Files(PathBuf),
    /// A database for each, on PostgreSQL. What a process holds for itself, the read model behind listings, is a file.
    Postgres {
        /// The address of the server, `postgresql://user:password@host:port`, as a user who may make databases, or of
        /// the databases' owner if they are there.
        server: String,
        /// What stands before the name of each database: nothing, or lower-case letters, digits and underscores.
        prefix: String,
        /// The directory of this process; no two share one.
        dir: PathBuf,
    },
}

impl Place {
    /// The directory for files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        match self {
            Self::Files(dir) | Self::Postgres { dir, .. } => dir,
        }
    }

    /// The address of a context's database; `None` if it has a file instead.
    ///
    /// Errors: [`Code::SETTING_INVALID`].
    pub fn database(&self, context: &str) -> Result<Option<String>> {
        let Self::Postgres { server, prefix, .. } = self else { return Ok(None) };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !prefix.bytes().all(plain) || prefix.len() > 40 {
            let what =
                "the prefix of the databases is not up to 40 lower-case letters, digits and underscores";
            return Err(Error::new(Code::SETTING_INVALID, what));
        }
        with_database(server, &format!("{prefix}{context}")).map(Some)
    }
}

impl From<&Path> for Place {
    fn from(dir: &Path) -> Self {
        Self::Files(dir.into())
    }
}

/// The server's address, with this database in the place of its own.
pub(crate) fn with_database(server: &str, name: &str) -> Result<String> {
    let invalid = || {
        let what = "the server's address is not of the form postgresql://user@host:port";
        Error::new(Code::SETTING_INVALID, what)
    };
    let (base, query) = match server.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (server, String::new()),
    };
    let (scheme, rest) = base.split_once("://").ok_or_else(invalid)?;
    let host = rest.split('/').next().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
    Ok(format!("{scheme}://{host}/{name}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_context_has_a_database_of_its_own_on_the_server() {
        let at = |server: &str, prefix: &str| {
            let place = Place::Postgres { server: server.into(), prefix: prefix.into(), dir: PathBuf::new() };
            place.database("pricing").map(Option::unwrap_or_default)
        };
        assert_eq!(at("postgresql://u:p@h:1", "").unwrap(), "postgresql://u:p@h:1/pricing");
        assert_eq!(at("postgresql://u@h/postgres", "a_").unwrap(), "postgresql://u@h/a_pricing");
        assert_eq!(
            at("postgresql://u@h/x?sslmode=disable", "").unwrap(),
            "postgresql://u@h/pricing?sslmode=disable"
        );
        for (server, prefix) in
            [("h", ""), ("postgresql:///x", ""), ("postgresql://u@h", "A"), ("postgresql://u@h", "a-")]
        {
            assert_eq!(at(server, prefix).unwrap_err().code(), Code::SETTING_INVALID, "{server} {prefix}");
        }
        assert_eq!(Place::from(Path::new("x")).database("pricing").unwrap(), None);
    }
}
