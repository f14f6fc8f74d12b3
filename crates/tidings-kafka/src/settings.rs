//! How the log speaks to Kafka.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tidings_core::envelope::Limits;
use tidings_core::{Code, Error, Result};

/// How the log speaks to Kafka. What is not said here is Kafka's own default.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// Where to find the cluster: `host:port`, several separated by commas.
    pub brokers: String,
    /// How this process names itself to the brokers.
    pub client: String,
    /// Stands in front of every topic's name on the brokers, so that environments can share a cluster.
    pub prefix: String,
    /// Encrypts the connections.
    pub tls: Option<Tls>,
    /// Says who we are.
    pub sasl: Option<Sasl>,
    /// What a topic must be like.
    pub topics: TopicSettings,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long an append may take, with every retry. After it nobody can say whether it was done.
    pub append_timeout: Duration,
    /// How long after it was last looked at a topic that is written to is checked again.
    pub check_every: Duration,
    /// How long a record may wait for others to be sent with it.
    pub linger: Duration,
    /// How batches are compressed.
    pub compression: Compression,
    /// Appends wait for room once so many bytes are on their way to the brokers.
    pub queue_bytes: usize,
    /// How many bytes are fetched ahead of the reader, per partition that is being read.
    pub fetch_bytes: usize,
    /// How many readers may follow the same partition at different places, in this process.
    pub readers: usize,
    /// What an event may be like; a larger one is refused, and anything else is read as unreadable.
    pub limits: Limits,
    /// Whether [`tidings_core::port::Log::retain`] deletes records. Kafka applies the topic's own retention in any case.
    pub removes: bool,
}

/// What a topic must be like; asked whenever a driver asks for its partitions.
#[derive(Debug, Clone)]
pub struct TopicSettings {
    /// Whether a topic that is missing is created.
    pub create: bool,
    /// How many partitions a topic has. A new one gets so many; one that has another number is refused.
    pub partitions: u32,
    /// How many replicas a new topic gets; `None` leaves it to the brokers.
    pub replicas: Option<u16>,
    /// The least `min.insync.replicas` of a topic that has several replicas.
    pub in_sync: u16,
    /// How long records must be kept: longer than the longest outage that consumers are to survive without a gap.
    pub keep: Option<Duration>,
}

/// Encryption by TLS.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authorities that sign the brokers' certificates, PEM; `None` takes the system's.
    pub authorities: Option<PathBuf>,
    /// The certificate (chain) by which the brokers know this client, PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// What unlocks that key.
    pub key_password: Option<String>,
}

/// Who we are, by SASL.
#[derive(Clone)]
pub struct Sasl {
    /// How it is proved.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself is sent; only over TLS.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

/// How batches are compressed on their way and on the brokers' disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4: cheap.
    Lz4,
    /// Zstandard: small.
    Zstd,
}

impl KafkaSettings {
    /// The settings for the cluster found there, with every default.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client: "tidings".to_owned(),
            prefix: String::new(),
            tls: None,
            sasl: None,
            topics: TopicSettings::default(),
            timeout: Duration::from_secs(10),
            append_timeout: Duration::from_secs(30),
            check_every: Duration::from_secs(60),
            linger: Duration::ZERO,
            compression: Compression::None,
            queue_bytes: 16 << 20,
            fetch_bytes: 4 << 20,
            readers: 16,
            // A topic with Kafka's default max.message.bytes takes it with room for the framing.
            limits: Limits { bytes: 1_000_000, ..Limits::default() },
            removes: false,
        }
    }

    /// The largest message that the brokers must take.
    pub(crate) const fn message_bytes(&self) -> usize {
        const FRAMING: usize = 32 << 10;
        self.limits.bytes + FRAMING
    }

    pub(crate) fn check(&self) -> Result<()> {
        let wrong = if self.brokers.trim().is_empty() {
            "no broker address is given"
        } else if self.topics.partitions == 0 {
            "a topic cannot have 0 partitions"
        } else if self.timeout < Duration::from_millis(100) || self.append_timeout < self.timeout {
            "the timeout must be at least 100 ms, and no longer than that of an append"
        } else if self.queue_bytes < self.limits.bytes {
            "the queue has no room for the largest event"
        } else if self.readers == 0 {
            "there must be a reader"
        } else {
            return Ok(());
        };
        Err(Error::new(Code::SETTING_INVALID, wrong).at("Kafka"))
    }
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { create: true, partitions: 12, replicas: None, in_sync: 2, keep: None }
    }
}

impl Mechanism {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Compression {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authorities, certificate, key, key_password: _ } = self;
        f.debug_struct("Tls")
            .field("authorities", authorities)
            .field("certificate", certificate)
            .field("key", key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = KafkaSettings::new("localhost:9092");
        settings.tls = Some(Tls { key_password: Some("hidden".into()), ..Tls::default() });
        let mechanism = Mechanism::ScramSha512;
        settings.sasl = Some(Sasl { mechanism, user: "relay".into(), password: "hidden".into() });
        let shown = format!("{settings:?}");
        assert!(shown.contains("relay") && !shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn wrong_settings_are_refused() {
        let wrong: [fn(&mut KafkaSettings); 5] = [
            |s| s.brokers = " ".into(),
            |s| s.topics.partitions = 0,
            |s| s.append_timeout = Duration::from_millis(1),
            |s| s.queue_bytes = 1,
            |s| s.readers = 0,
        ];
        assert!(KafkaSettings::new("localhost:9092").check().is_ok());
        for change in wrong {
            let mut settings = KafkaSettings::new("localhost:9092");
            change(&mut settings);
            assert_eq!(settings.check().map_err(|e| e.code()), Err(Code::SETTING_INVALID));
        }
    }
}
