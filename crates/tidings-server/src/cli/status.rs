//! `tidings status`: what is in a data directory, and what waits.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tidings_core::Result;

use crate::data_dir::DataDir;
use crate::out::{self, visible};
use crate::survey::{self, Survey};
use crate::units;

/// Show topics, positions, backlogs and parked events of a data directory, running or not
#[derive(clap::Args)]
pub(super) struct Args {
    /// The data directory; without it, that of the running `tidings dev`
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let dir = DataDir::find(args.data.as_deref())?;
    let log = survey::open_log(&dir)?;
    let survey = Survey::take(&dir, log.as_deref()).await?;
    if args.json {
        out::json(&survey)?;
    } else {
        out::write(text(&survey).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(survey: &Survey) -> String {
    let running = match &survey.running {
        Some(running) => format!("running at {} (process {})", running.address, running.pid),
        None => "not running".to_owned(),
    };
    let mut text = format!("{}: {running}\n", survey.data);
    if !survey.outboxes.is_empty() {
        text += "\noutboxes               waiting   oldest     parked\n";
    }
    for backlog in &survey.outboxes {
        let oldest = if backlog.waiting == 0 { "-".to_owned() } else { seconds(backlog.oldest_s) };
        text += &format!(
            "  {:<20} {:>7}   {oldest:<10} {}\n",
            backlog.context,
            units::count(backlog.waiting),
            backlog.parked
        );
    }
    if !survey.partitions.is_empty() {
        text += "\nlog                    kept from   head\n";
    }
    for kept in &survey.partitions {
        let name = format!("{}/{}", kept.topic, kept.partition);
        text += &format!("  {name:<20} {:>9}   {}\n", kept.earliest, kept.head);
    }
    if !survey.groups.is_empty() {
        text += "\ngroups                                next         behind\n";
    }
    for lag in &survey.groups {
        let name = format!("{} on {}/{}", visible(&lag.group), lag.topic, lag.partition);
        let behind = match lag.events {
            0 => "0 events".to_owned(),
            events => format!("{} events, {}", units::count(events), seconds(lag.seconds)),
        };
        text += &format!("  {name:<35} {:<12} {behind}\n", lag.next);
    }
    text += &match survey.parked_total {
        0 => "\nnothing is parked\n".to_owned(),
        n => format!("\n{} parked\n", units::count(n)),
    };
    for parked in &survey.parked {
        text += &format!(
            "  {} by {}: {} {}: {}\n",
            parked.position,
            visible(&parked.group),
            visible(&parked.kind),
            visible(&parked.entity),
            visible(&parked.reason)
        );
    }
    text
}

fn seconds(seconds: f64) -> String {
    units::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
