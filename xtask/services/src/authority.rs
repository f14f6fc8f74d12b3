//! An authority of one's own, and a certificate by it for servers on this machine.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use tempfile::TempDir;

/// Files that last as long as this does: any user of this machine may read them, PostgreSQL's key excepted.
pub struct Authority {
    directory: TempDir,
    certificate: String,
    key: String,
}

impl Authority {
    /// A new authority, which has signed one certificate for 127.0.0.1 and localhost.
    ///
    /// # Errors
    ///
    /// The files cannot be written.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "an authority for tests");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own_key = KeyPair::generate()?;
        let own = params.self_signed(&own_key)?;
        let issuer = Issuer::new(params, own_key);
        let mut server = CertificateParams::new(Vec::new())?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        server.subject_alt_names = vec![
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::DnsName("localhost".try_into()?),
        ];
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &issuer)?.pem();
        let directory = TempDir::with_prefix("tidings-authority-").context("no temporary directory")?;
        let authority = Self { directory, certificate, key: key.serialize_pem() };
        std::fs::write(authority.file(), own.pem())?;
        std::fs::write(authority.directory.path().join("server.pem"), &authority.certificate)?;
        std::fs::write(authority.directory.path().join("server.key"), &authority.key)?;
        Ok(authority)
    }

    /// Its own certificate, PEM: what clients are given.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// The server's certificate and its key, as PEM files.
    #[must_use]
    pub fn server_files(&self) -> (PathBuf, PathBuf) {
        (self.directory.path().join("server.pem"), self.directory.path().join("server.key"))
    }

    /// The same as text.
    #[must_use]
    pub fn server(&self) -> (&str, &str) {
        (&self.certificate, &self.key)
    }
}
