//! The file that says from where to where a relay carries events.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};
use tidings_core::relay;
use tidings_core::{Code, Error, Result, Topic};
use tidings_kafka::{Compression, KafkaSettings, Mechanism, Sasl, Tls};
use tidings_postgres::{Address, Discovery, Settings as SourceSettings};

use crate::units::parse_duration;

/// The variable with the address of the source, so that its password need stand nowhere else.
pub(crate) const SOURCE_VARIABLE: &str = "TIDINGS_SOURCE";

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) source: Source,
    pub(crate) log: Log,
    #[serde(default)]
    pub(crate) relay: Relay,
    #[serde(default)]
    pub(crate) http: Http,
}

/// Where events come from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    url: Option<Secret>,
    /// The environment variable that holds the address.
    url_from: Option<String>,
    #[serde(default)]
    discovery: How,
    slot: Option<String>,
    /// The source of the events, a URI reference; else `/` and the topic.
    name: Option<String>,
    /// How long acknowledged rows are kept.
    keep: Option<Span>,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum How {
    #[default]
    Logical,
    Claiming,
}

/// Where events go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    topic: String,
    kafka: Option<Kafka>,
    sqlite: Option<Sqlite>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sqlite {
    path: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kafka {
    brokers: String,
    client: Option<String>,
    prefix: Option<String>,
    compression: Option<Squeeze>,
    timeout: Option<Span>,
    append_timeout: Option<Span>,
    linger: Option<Span>,
    queue_bytes: Option<usize>,
    event_bytes: Option<usize>,
    create: Option<bool>,
    partitions: Option<u32>,
    replicas: Option<u16>,
    in_sync: Option<u16>,
    keep: Option<Span>,
    tls: Option<KafkaTls>,
    sasl: Option<KafkaSasl>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Squeeze {
    None,
    Lz4,
    Zstd,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KafkaTls {
    authorities: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    key_password_from: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KafkaSasl {
    mechanism: Proof,
    user: String,
    password: Option<Secret>,
    password_from: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
enum Proof {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    Scram256,
    #[serde(rename = "SCRAM-SHA-512")]
    Scram512,
}

/// How it works.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Relay {
    batch: Option<usize>,
    mark_every: Option<Span>,
    acknowledge_every: Option<Span>,
    window_bytes: Option<usize>,
    drain: Option<Span>,
}

/// Where it answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: SocketAddr,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7879)) }
    }
}

/// A text that is never shown, not even in the complaint that it is no text.
struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Quiet;
        impl Visitor<'_> for Quiet {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }
            fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom("expected a text in quotes"))
            }
            fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom("expected a text in quotes"))
            }
        }
        deserializer.deserialize_any(Quiet)
    }
}

/// A duration such as `500ms` or `10s`.
#[derive(Clone, Copy)]
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_duration(&String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl Config {
    /// Reads the file. What is wrong in it is said with its line and key.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error::new(Code::FILE_UNREADABLE, "the configuration cannot be read")
                .because(e)
                .at(path.display())
        })?;
        let config = Self::parse(&text).map_err(|e| e.at(path.display()))?;
        config.check().map_err(|e| e.at(path.display()))?;
        Ok(config)
    }

    fn parse(text: &str) -> Result<Self> {
        basic_toml::from_str(text).map_err(|e| {
            let said = e.to_string();
            // The parser only knows where the table ends that has the unknown key.
            let said = match (unknown(text, &said), said.rsplit_once(" at line ")) {
                (Some(line), Some((said, _))) => format!("{said} at line {line}"),
                _ => said,
            };
            Error::new(Code::SETTING_INVALID, said)
        })
    }

    /// Everything that can be found wrong without asking anybody.
    fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(Code::SETTING_INVALID, what));
        self.topic()?;
        match (&self.log.kafka, &self.log.sqlite) {
            (None, None) => return wrong("[log] names neither [log.kafka] nor [log.sqlite]"),
            (Some(_), Some(_)) => return wrong("[log] names both [log.kafka] and [log.sqlite]; keep one"),
            _ => {}
        }
        if self.source.url.is_some() && self.source.url_from.is_some() {
            return wrong("[source] has both url and url_from; keep one");
        }
        if self.source.slot.is_some() && self.source.discovery == How::Claiming {
            return wrong("[source] names a slot, and claiming needs none; remove one of the two");
        }
        if self.relay.batch == Some(0) {
            return wrong("[relay] batch is 0");
        }
        if self.relay.window_bytes.is_some_and(|bytes| bytes < 1 << 16) {
            return wrong("[relay] window_bytes is below 65536");
        }
        Ok(())
    }

    /// The topic that it publishes to.
    pub(crate) fn topic(&self) -> Result<Topic> {
        Topic::new(&self.log.topic).map_err(|e| e.at("[log] topic"))
    }

    /// The database.
    pub(crate) fn address(&self) -> Result<Address> {
        let text = match (&self.source.url, &self.source.url_from) {
            (Some(Secret(url)), _) => url.clone(),
            (None, Some(name)) => variable(name)?,
            (None, None) => std::env::var(SOURCE_VARIABLE).map_err(|_| {
                let what = format!("[source] has no url, and {SOURCE_VARIABLE} is not set");
                Error::new(Code::SETTING_INVALID, what)
            })?,
        };
        Address::parse(&text)
    }

    /// How rows are found.
    pub(crate) fn discovery(&self) -> Discovery {
        match self.source.discovery {
            How::Logical => Discovery::Decode { slot: self.source.slot.clone() },
            How::Claiming => Discovery::Claim,
        }
    }

    /// How the outbox is read.
    pub(crate) fn source(&self) -> SourceSettings {
        let name = self.source.name.clone().unwrap_or_else(|| format!("/{}", self.log.topic));
        let mut settings = SourceSettings::new(&name);
        settings.discovery = self.discovery();
        settings.window_bytes = self.relay.window_bytes.unwrap_or(settings.window_bytes);
        settings
    }

    /// How long acknowledged rows are kept; a week unless said otherwise.
    pub(crate) fn keep(&self) -> Duration {
        self.source.keep.map_or(Duration::from_secs(7 * 86_400), |Span(span)| span)
    }

    /// The log's file, if it is one.
    pub(crate) fn sqlite(&self) -> Option<&Path> {
        self.log.sqlite.as_ref().map(|sqlite| sqlite.path.as_path())
    }

    /// How Kafka is spoken to, if the log is there.
    pub(crate) fn kafka(&self) -> Result<Option<KafkaSettings>> {
        self.log.kafka.as_ref().map(Kafka::settings).transpose()
    }

    /// How the relay works, save for the log's limits.
    pub(crate) fn relay(&self) -> relay::Settings {
        let usual = relay::Settings::default();
        let Relay { batch, mark_every, acknowledge_every, .. } = &self.relay;
        relay::Settings {
            batch: batch.unwrap_or(usual.batch),
            mark_every: mark_every.map_or(usual.mark_every, |Span(span)| span),
            acknowledge_every: acknowledge_every.map_or(usual.acknowledge_every, |Span(span)| span),
            ..usual
        }
    }

    /// How long a stop may take.
    pub(crate) fn drain(&self) -> Duration {
        self.relay.drain.map_or(Duration::from_secs(10), |Span(span)| span)
    }
}

impl Kafka {
    fn settings(&self) -> Result<KafkaSettings> {
        let mut to = KafkaSettings::new(self.brokers.clone());
        let span = |given: Option<Span>, usual| given.map_or(usual, |Span(span)| span);
        to.client = self.client.clone().unwrap_or(to.client);
        to.prefix = self.prefix.clone().unwrap_or(to.prefix);
        to.timeout = span(self.timeout, to.timeout);
        to.append_timeout = span(self.append_timeout, to.append_timeout);
        to.linger = span(self.linger, to.linger);
        to.queue_bytes = self.queue_bytes.unwrap_or(to.queue_bytes);
        to.limits.bytes = self.event_bytes.unwrap_or(to.limits.bytes);
        to.compression = match self.compression {
            Some(Squeeze::None) => Compression::None,
            Some(Squeeze::Lz4) => Compression::Lz4,
            Some(Squeeze::Zstd) => Compression::Zstd,
            None => to.compression,
        };
        to.topics.create = self.create.unwrap_or(to.topics.create);
        to.topics.partitions = self.partitions.unwrap_or(to.topics.partitions);
        to.topics.replicas = self.replicas.or(to.topics.replicas);
        to.topics.in_sync = self.in_sync.unwrap_or(to.topics.in_sync);
        to.topics.keep = self.keep.map(|Span(span)| span);
        if let Some(tls) = &self.tls {
            to.tls = Some(Tls {
                authorities: tls.authorities.clone(),
                certificate: tls.certificate.clone(),
                key: tls.key.clone(),
                key_password: tls.key_password_from.as_deref().map(variable).transpose()?,
            });
        }
        to.sasl = self.sasl.as_ref().map(KafkaSasl::settings).transpose()?;
        Ok(to)
    }
}

impl KafkaSasl {
    fn settings(&self) -> Result<Sasl> {
        let password = match (&self.password, &self.password_from) {
            (Some(Secret(password)), None) => password.clone(),
            (None, Some(name)) => variable(name)?,
            _ => {
                let what = "[log.kafka.sasl] needs either password or password_from";
                return Err(Error::new(Code::SETTING_INVALID, what));
            }
        };
        let mechanism = match self.mechanism {
            Proof::Plain => Mechanism::Plain,
            Proof::Scram256 => Mechanism::ScramSha256,
            Proof::Scram512 => Mechanism::ScramSha512,
        };
        Ok(Sasl { mechanism, user: self.user.clone(), password })
    }
}

/// The line of the key that is said to be unknown.
fn unknown(text: &str, said: &str) -> Option<usize> {
    let (key, more) = said.strip_prefix("unknown field `")?.split_once('`')?;
    let table = more.split_once("for key `").and_then(|(_, table)| table.split_once('`'));
    let table = table.map_or("", |(table, _)| table);
    let nested = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
    let mut at = "";
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            at = header.trim();
        }
        let is_here = at == table && line.split('=').next().is_some_and(|name| name.trim() == key);
        if is_here || (line.starts_with('[') && (at == nested || at.starts_with(&format!("{nested}.")))) {
            return Some(index + 1);
        }
    }
    None
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| {
        Error::new(Code::SETTING_INVALID, format!("the environment variable {name} is not set or no text"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[source]\nurl = \"postgresql://u:hidden@h/d\"\n[log]\ntopic = \"pricing\"\n[log.sqlite]\npath = \"x\"\n";

    fn refused(text: &str) -> String {
        let checked = Config::parse(text).and_then(|config| config.check());
        checked.map_err(|e| e.to_string()).err().unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_key() {
        assert_eq!(refused(GOOD), "");
        for (from, to, said) in [
            ("[log]", "batch = 3\n[log]", "batch"),
            ("[log]", "batch = 3\n[log]", "line 3"),
            ("[log]", "[relais]\n[log]", "line 3"),
            ("path = \"x\"", "path = \"x\"\n\n[relay]\ndrain = \"1s\"\npath = 1", "line 10"),
            ("[log.sqlite]\npath = \"x\"", "", "neither"),
            ("path = \"x\"", "path = \"x\"\n[relay]\nbatch = \"many\"", "relay.batch"),
            ("path = \"x\"", "path = \"x\"\n[relay]\ndrain = \"soon\"", "relay.drain"),
            ("path = \"x\"", "path = \"x\"\n[relay]\nbatch = 0", "batch is 0"),
            ("topic = \"pricing\"", "topic = \"\"", "topic"),
        ] {
            let error = refused(&GOOD.replace(from, to));
            assert!(error.contains(said) && error.contains("TD"), "{to}: {error}");
        }
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_not_shown() {
        let error = refused(&GOOD.replace("\"postgresql://u:hidden@h/d\"", "4711"));
        assert!(error.contains("source.url") && !error.contains("4711"), "{error}");
    }
}
