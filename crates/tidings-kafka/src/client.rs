//! A connection to the cluster: its settings, and what it says by itself.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use tidings_core::{Error, Result};

use crate::fault::Trouble;
use crate::settings::KafkaSettings;

/// Hears what a client says by itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    pub(crate) trouble: Arc<Trouble>,
}

impl ClientContext for Context {
    // What matters of it comes as an error of the call that it fails.
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error, reason);
    }
}

impl ConsumerContext for Context {}

/// Runs a call that blocks beside the runtime, and gives it up after `limit`; the call itself ends by its own timeout.
pub(crate) async fn blocking<T: Send + 'static>(
    trouble: &Trouble,
    limit: Duration,
    what: &str,
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(call)).await {
        Ok(Ok(done)) => {
            if done.is_ok() {
                trouble.over();
            }
            done
        }
        Ok(Err(failure)) if failure.is_panic() => std::panic::resume_unwind(failure.into_panic()),
        Ok(Err(_)) => Err(Error::new(tidings_core::Code::STOPPING, what)),
        Err(_) => Err(trouble.silence(what)),
    }
}

/// What every client of this log is told.
fn common(settings: &KafkaSettings) -> ClientConfig {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", &settings.client)
        .set("socket.timeout.ms", millis(settings.timeout.max(Duration::from_secs(1))))
        .set("socket.connection.setup.timeout.ms", millis(settings.timeout.max(Duration::from_secs(1))))
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "1000")
        .set("retry.backoff.ms", "20")
        .set_log_level(RDKafkaLogLevel::Emerg);
    security(settings, &mut config);
    config
}

fn security(settings: &KafkaSettings, config: &mut ClientConfig) {
    let protocol = match (&settings.tls, &settings.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(tls) = &settings.tls {
        let authorities = tls.authorities.as_ref().map(|path| path.to_string_lossy());
        config.set("ssl.ca.location", authorities.as_deref().unwrap_or("probe"));
        if let Some(certificate) = &tls.certificate {
            config.set("ssl.certificate.location", certificate.to_string_lossy());
        }
        if let Some(key) = &tls.key {
            config.set("ssl.key.location", key.to_string_lossy());
        }
        if let Some(password) = &tls.key_password {
            config.set("ssl.key.password", password);
        }
    }
    if let Some(sasl) = &settings.sasl {
        config
            .set("sasl.mechanism", sasl.mechanism.name())
            .set("sasl.username", &sasl.user)
            .set("sasl.password", &sasl.password);
    }
}

/// For questions about the cluster.
pub(crate) fn asking(settings: &KafkaSettings) -> ClientConfig {
    let mut config = common(settings);
    // The head is where readers get to: records of transactions that are still open, or aborted, lie behind it.
    config
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false");
    config
}

/// For changing topics.
pub(crate) fn changing(settings: &KafkaSettings) -> ClientConfig {
    common(settings)
}

/// For writing: in order and once, whatever is retried.
pub(crate) fn writing(settings: &KafkaSettings) -> ClientConfig {
    let bytes = settings.message_bytes();
    let mut config = common(settings);
    config
        .set("enable.idempotence", "true")
        // What fails for good must not be overtaken: everything behind it fails, too.
        .set("enable.gapless.guarantee", "true")
        // One request at a time. A broker takes any sequence number as the first of a producer it knows nothing of, so of
        // two under way the second could be stored without the first, and the client take both as stored.
        .set("max.in.flight.requests.per.connection", "1")
        // An append has its own deadline. The client's would drop a record and go on with the next.
        .set("message.timeout.ms", "0")
        .set("request.timeout.ms", settings.timeout.as_millis().to_string())
        .set("linger.ms", format!("{:.3}", settings.linger.as_secs_f64() * 1000.0))
        .set("compression.type", settings.compression.name())
        .set("message.max.bytes", bytes.to_string())
        .set("batch.size", bytes.min(1_000_000).to_string())
        .set("batch.num.messages", "10000")
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", (settings.queue_bytes / 1024).max(1).to_string());
    config
}

/// For reading partitions by position.
pub(crate) fn reading(settings: &KafkaSettings) -> ClientConfig {
    let mut config = asking(settings);
    let fetch = settings.fetch_bytes.max(settings.message_bytes());
    config
        // Needed to assign partitions; this group has no members and commits nothing.
        .set("group.id", format!("{}-readers", settings.client))
        .set("enable.auto.offset.store", "false")
        // A position that is gone is an answer, never a silent jump.
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        // A partition that is taken up waits for the fetch that is under way.
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "50")
        .set("fetch.queue.backoff.ms", "5")
        .set("message.max.bytes", settings.message_bytes().to_string())
        .set("fetch.message.max.bytes", settings.message_bytes().to_string())
        .set("fetch.max.bytes", fetch.to_string())
        .set("receive.message.max.bytes", (2 * fetch + (1 << 20)).to_string())
        .set("queued.max.messages.kbytes", (fetch / 1024).to_string());
    config
}

/// For the positions of a group, as a member or from outside.
pub(crate) fn grouping(settings: &KafkaSettings, group: &str) -> ClientConfig {
    let mut config = asking(settings);
    config
        .set("group.id", group)
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", settings.timeout.max(Duration::from_secs(6)).as_millis().to_string())
        .set("heartbeat.interval.ms", "1000")
        .set("max.poll.interval.ms", "300000")
        .set("queued.min.messages", "1");
    config
}
