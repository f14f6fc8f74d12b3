//! Where a database is, and how it is reached.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pgwire_replication::{ReplicationConfig, TlsConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tidings_core::{Code, Error, Result};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::fault::fault;

/// How long the server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long sent bytes may stay unanswered before the connection counts as broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// The address of one database, `postgresql://user:password@host:port/database`. Never prints the password.
#[derive(Clone)]
pub struct Address {
    config: Config,
    /// The authority that has to have signed the server's certificate. `None`: without encryption.
    authority: Option<PathBuf>,
}

impl Address {
    /// Reads an address. `sslmode=verify-full&sslrootcert=ca.pem` has the connection encrypted and the server's
    /// certificate and name verified; `require` and `verify-ca` are held to the same. Without `sslrootcert` there is no
    /// encryption.
    ///
    /// Errors: [`Code::SETTING_INVALID`].
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |what: &str| Error::new(Code::SETTING_INVALID, format!("the database address {what}"));
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut authority, mut encrypted, mut kept) = (None, false, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslrootcert", path)) => authority = Some(PathBuf::from(path.replace("%2F", "/"))),
                Some(("sslmode", "disable" | "prefer" | "allow")) => {}
                Some(("sslmode", "require" | "verify-ca" | "verify-full")) => encrypted = true,
                Some(("sslmode", _)) => return Err(invalid("has an unknown sslmode")),
                _ => kept.push(pair),
            }
        }
        if encrypted && authority.is_none() {
            return Err(invalid("asks for encryption but names no sslrootcert, the file with the authority"));
        }
        let text = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
        // The parser's own error may quote what it choked on, which may be the password.
        let mut config: Config =
            text.parse().map_err(|_| invalid("is not of the form postgresql://user@host/database"))?;
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err(invalid("names no host or no database"));
        }
        // The stream and the questions about it must go to one server, as one user.
        if config.get_hosts().len() > 1 || config.get_ports().len() > 1 {
            return Err(invalid("names several servers; name the one address that leads to the primary"));
        }
        if config.get_user().is_none() {
            return Err(invalid("names no user"));
        }
        let is_number =
            |host: &Host| matches!(host, Host::Tcp(name) if name.parse::<std::net::IpAddr>().is_ok());
        if authority.is_some() && config.get_hosts().iter().any(is_number) {
            // The stream's client holds certificates against names only.
            return Err(invalid(
                "names the host by its number; sslmode=verify-full needs the name in its certificate",
            ));
        }
        config.connect_timeout(CONNECT_TIMEOUT);
        config.ssl_mode(match &authority {
            Some(_) => tokio_postgres::config::SslMode::Require,
            None => tokio_postgres::config::SslMode::Disable,
        });
        Ok(Self { config, authority })
    }

    /// Connects, with settings of the session such as `-c timezone=UTC`. The connection is served by a task of this runtime until the client is dropped.
    ///
    /// Errors: [`Code::DATABASE_UNREACHABLE`], [`Code::DATABASE_LOGIN`], [`Code::DATABASE_TLS`].
    pub async fn connect(&self, application: &str, options: &str) -> Result<Client> {
        let mut config = self.config.clone();
        config.application_name(application).tcp_user_timeout(PATIENCE);
        if !options.is_empty() {
            // Beside what the address asks for, which a server behind a proxy may need.
            let both = [config.get_options().unwrap_or_default(), options].join(" ");
            config.options(both.trim());
        }
        match &self.authority {
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(|e| fault(e).at(self))?;
                tokio::spawn(connection);
                Ok(client)
            }
            Some(path) => {
                let tls = MakeRustlsConnect::new(tls(path).map_err(|e| e.at(path.display()))?);
                let (client, connection) = config.connect(tls).await.map_err(|e| fault(e).at(self))?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }

    /// The name of the replication slot for this database: slots belong to the whole cluster.
    pub(crate) fn slot(&self) -> String {
        let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' };
        let name = self.config.get_dbname().unwrap_or_default().chars().map(plain);
        "tidings_".chars().chain(name).take(63).collect()
    }

    /// The settings of a replication session with this slot.
    pub(crate) fn replication(&self, slot: &str, publication: &str) -> ReplicationConfig {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => String::new(),
        };
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or_default();
        let password = text(self.config.get_password());
        let tls = match &self.authority {
            Some(path) => TlsConfig::verify_full(Some(path.clone())),
            None => TlsConfig::disabled(),
        };
        ReplicationConfig::new(host, user, password, database, slot, publication)
            .with_port(self.config.get_ports().first().copied().unwrap_or(5432))
            .with_tls(tls)
    }
}

fn tls(path: &PathBuf) -> Result<rustls::ClientConfig> {
    let broken = |e: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(Code::DATABASE_TLS, "the file with the authority cannot be used").because(e)
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| broken(e.into()))? {
        let certificate = certificate.map_err(|e| broken(e.into()))?;
        roots.add(certificate).map_err(|e| broken(e.into()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| broken(e.into()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.config.get_dbname().unwrap_or_default();
        match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => {
                let port = self.config.get_ports().first().copied().unwrap_or(5432);
                write!(f, "{name}:{port}/{database}")
            }
            Some(Host::Unix(path)) => write!(f, "{}/{database}", path.display()),
            None => write!(f, "{database}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_its_password_never_shown() {
        let address = Address::parse("postgresql://u:secret@db.example.com:6432/pricing").unwrap();
        assert_eq!(
            format!("{address} {address:?}"),
            "db.example.com:6432/pricing db.example.com:6432/pricing"
        );
        for bad in [
            "",
            "db",
            "postgresql://u:secret@host",
            "postgresql://u:secret@h/d?sslmode=verify-full",
            "postgresql://u:secret@h:port/d",
            "postgresql://u:secret@h/d?sslmode=maybe",
            "postgresql://u:secret@h,g/d",
            "postgresql://u:secret@10.0.0.1/d?sslmode=verify-full&sslrootcert=ca.pem",
            "postgresql://h/d?password=secret",
        ] {
            let error = Address::parse(bad).unwrap_err();
            assert_eq!(error.code(), Code::SETTING_INVALID, "{bad}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let encrypted = Address::parse("postgresql://u@h/d?sslmode=verify-full&sslrootcert=ca.pem").unwrap();
        assert_eq!(encrypted.authority, Some(PathBuf::from("ca.pem")));
    }
}
