//! `tidings outbox`: what installing, upgrading and removing the outbox would do, and doing it.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use tidings_core::{Code, Error, Result};
use tidings_postgres::schema::{self, Plan};
use tidings_postgres::{Address, Discovery};

use super::doctor::{self, Found};
use crate::out::{self, visible};
use crate::relay::config::{Config, SOURCE_VARIABLE};

/// Install, upgrade, check or remove the outbox of a PostgreSQL database
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Make the schema tidings, its publication and its roles, if they are not there
    Install(Change),
    /// Bring an installed outbox to this version
    Upgrade(Change),
    /// Look whether the outbox is as it should be, and what was set aside
    Check(Check),
    /// Remove the outbox with its events
    Uninstall(Change),
}

#[derive(clap::Args)]
struct Change {
    #[command(flatten)]
    place: Place,
    /// Do it, without asking
    #[arg(long)]
    yes: bool,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Check {
    #[command(flatten)]
    place: Place,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// Which database is meant. Without either, the address is taken from the environment variable TIDINGS_SOURCE.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(super) struct Place {
    /// The database, postgresql://user@host/database; TIDINGS_SOURCE keeps a password off the command line
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// The configuration of a relay that names the database
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// The address, and the configuration if there is one.
    pub(super) fn find(&self) -> Result<(Address, Option<Config>)> {
        if let Some(path) = &self.config {
            let config = Config::read(path)?;
            return Ok((config.address()?, Some(config)));
        }
        let text = self.source.clone().or_else(|| std::env::var(SOURCE_VARIABLE).ok()).ok_or_else(|| {
            let what = format!("no database is named: give --source or --config, or set {SOURCE_VARIABLE}");
            Error::new(Code::SETTING_INVALID, what)
        })?;
        Ok((Address::parse(&text)?, None))
    }
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let (name, change) = match args.what {
        What::Check(check) => return Box::pin(look(&check)).await,
        What::Install(change) => ("install", change),
        What::Upgrade(change) => ("upgrade", change),
        What::Uninstall(change) => ("uninstall", change),
    };
    let (address, _) = change.place.find()?;
    let mut client = Box::pin(address.connect("tidings outbox", "")).await?;
    let plan = match name {
        "install" => schema::install(&client).await?,
        "upgrade" => schema::upgrade(&client).await?,
        _ => schema::uninstall(&client).await?,
    };
    let is_empty = plan.steps.is_empty() && plan.slots.is_empty();
    if !change.json {
        out::write(text(&plan).as_bytes())?;
    }
    let go = !is_empty && (change.yes || (!change.json && confirmed()?));
    if go {
        plan.apply(&mut client).await.map_err(|e| e.at(&address))?;
    }
    if change.json {
        let steps: Vec<_> =
            plan.steps.iter().map(|step| json!({ "what": step.what, "impact": step.impact })).collect();
        out::json(&json!({
            "from": plan.from, "to": plan.to, "steps": steps, "slots": plan.slots,
            "unrelayed": plan.unrelayed, "done": go,
        }))?;
    } else if go {
        out::line("done")?;
    } else if !is_empty {
        out::line("nothing was changed; --yes does it")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(plan: &Plan) -> String {
    let version = |v: Option<i64>| v.map_or("no outbox".to_owned(), |v| format!("version {v}"));
    if plan.steps.is_empty() && plan.slots.is_empty() {
        return format!("{}: nothing to do\n", version(plan.from));
    }
    let mut text = format!("from {} to {}\n", version(plan.from), version(plan.to));
    for (at, step) in plan.steps.iter().enumerate() {
        text += &format!("  {}. {}\n     impact: {}\n", at + 1, step.what, step.impact);
    }
    for slot in &plan.slots {
        text += &format!("  drop the replication slot {}\n", visible(slot));
    }
    if plan.unrelayed > 0 {
        text += &format!("  {} rows that no relay has read are lost by it\n", plan.unrelayed);
    }
    text
}

/// Asks on a terminal; elsewhere the answer is no.
fn confirmed() -> Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Ok(false);
    }
    out::write(b"do it? [y/N] ")?;
    let failed = |e| Error::new(Code::FILE_UNREADABLE, "the answer cannot be read").because(e);
    std::io::stdout().flush().map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn look(check: &Check) -> Result<ExitCode> {
    let (address, _) = check.place.find()?;
    let client = Box::pin(address.connect("tidings outbox", "")).await?;
    // Decoding is the doctor's matter.
    let mut found = doctor::source(&client, &Discovery::Claim).await?;
    found.retain(|finding| finding.level != "note");
    let plan = schema::install(&client).await?;
    if plan.from.is_some() {
        if !plan.steps.is_empty() {
            let what = format!("the outbox is of version {}", plan.from.unwrap_or_default());
            found.push(Found::new("error", what, "run tidings outbox upgrade"));
        }
        for parked in schema::parked(&client, 100).await? {
            let what = format!("an event was set aside at {}: {}", parked.time, parked.reason);
            let remedy = "mend its cause and publish it again; its entity is fenced";
            found.push(Found { code: Some(parked.code), ..Found::new("warning", what, remedy) });
        }
    }
    doctor::print(&found, check.json)?;
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
