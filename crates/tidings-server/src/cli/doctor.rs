//! `tidings doctor`: what could make events late or un-happen, before anything depends on it.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tidings_core::port::Log;
use tidings_core::{Error, Result, Time};
use tidings_kafka::KafkaLog;
use tidings_postgres::doctor::{Level, examine};
use tidings_postgres::{Discovery, schema};

use super::outbox::Place;
use crate::out::{self, visible};
use crate::relay::config::Config;

/// Look over the database and the topic of a relay: what is wrong, and how to mend it
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// One finding, as it is printed.
#[derive(Serialize)]
pub(super) struct Found {
    pub(super) level: &'static str,
    pub(super) what: String,
    pub(super) remedy: String,
    pub(super) code: Option<String>,
}

impl Found {
    pub(super) fn new(level: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level, what: what.into(), remedy: remedy.into(), code: None }
    }

    fn of(error: &Error) -> Self {
        let code = error.code();
        Self { code: Some(code.id().to_owned()), ..Self::new("error", error.what(), code.remedy()) }
    }
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let (address, config) = args.place.find()?;
    let discovery = config.as_ref().map_or(Discovery::Decode { slot: None }, Config::discovery);
    let mut found = match Box::pin(address.connect("tidings doctor", "")).await {
        Ok(client) => {
            let mut found = source(&client, &discovery).await?;
            // What is too old or too new for anything is refused there.
            found.extend(schema::install(&client).await.err().iter().map(Found::of));
            found
        }
        Err(error) => vec![Found::of(&error)],
    };
    if let Some(config) = &config {
        found.extend(Box::pin(topic(config)).await?);
    }
    print(&found, args.json)?;
    let bad = found.iter().any(|finding| finding.level == "error");
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is found in the database.
pub(super) async fn source(client: &tokio_postgres::Client, discovery: &Discovery) -> Result<Vec<Found>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Time::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
    let findings = examine(client, discovery, now).await?;
    let level = |level| match level {
        Level::Note => "note",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let found = findings.into_iter().map(|finding| Found {
        code: finding.code.map(|code| code.id().to_owned()),
        ..Found::new(level(finding.level), finding.what, finding.remedy)
    });
    Ok(found.collect())
}

/// Whether the topic fits. It is only looked at, never created.
async fn topic(config: &Config) -> Result<Option<Found>> {
    let Some(mut settings) = config.kafka()? else { return Ok(None) };
    let creates = std::mem::take(&mut settings.topics.create);
    let log = KafkaLog::open(settings)?;
    Ok(match log.partitions(&config.topic()?).await {
        Ok(_) => None,
        Err(error) if creates && error.code() == tidings_core::Code::KAFKA_TOPIC_MISSING => {
            Some(Found::new("note", error.what(), "nothing: the relay creates it at its first start"))
        }
        Err(error) => Some(Found::of(&error)),
    })
}

pub(super) fn print(found: &[Found], json: bool) -> Result<()> {
    if json {
        return out::json(&serde_json::json!({ "findings": found })).map(drop);
    }
    if found.is_empty() {
        return out::line("nothing was found").map(drop);
    }
    for Found { level, what, remedy, code } in found {
        let code = code.as_deref().map(|code| format!(" [{}]", visible(code))).unwrap_or_default();
        out::line(&format!("{level:<8} {}; {}{code}", visible(what), visible(remedy)))?;
    }
    Ok(())
}
