//! `tidings relay`: its arguments, and asking a running one.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tidings_core::{Code, Error, Result};

use crate::out;
use crate::relay::board::{Phase, Status};
use crate::relay::config::Config;

/// How long a running relay may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Carry events from a database's outbox to the log, until told to stop
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    /// The file that says from where to where
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Drain and end when standard input is closed: whoever started this is gone
    #[arg(long, hide = true)]
    attached: bool,
    #[command(subcommand)]
    ask: Option<Ask>,
}

#[derive(clap::Subcommand)]
enum Ask {
    /// Have a running relay publish nothing more until it is resumed; it goes on leading
    Pause(At),
    /// Have a paused relay go on
    Resume(At),
    /// Show what a running relay does
    Status(At),
}

#[derive(clap::Args)]
struct At {
    /// Where it answers: host:port, as [http] listen in its configuration says
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7879")]
    at: String,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    if args.attached {
        end_with_parent();
    }
    let (at, method, path) = match (args.ask, args.config) {
        (Some(Ask::Pause(at)), _) => (at, "POST", "/pause"),
        (Some(Ask::Resume(at)), _) => (at, "POST", "/resume"),
        (Some(Ask::Status(at)), _) => (at, "GET", "/status"),
        (None, Some(path)) => return Box::pin(crate::relay::run(Config::read(&path)?)).await,
        (None, None) => return Err(Error::new(Code::SETTING_INVALID, "no --config is given")),
    };
    let failed = |e| Error::new(Code::SETTING_INVALID, "no relay answers there").because(e).at(&at.at);
    let body = ask(&at.at, method, path).map_err(failed)?;
    let status: Status = serde_json::from_str(&body).map_err(|e| failed(std::io::Error::other(e)))?;
    if at.json {
        out::json(&status)?;
    } else {
        out::write(text(&status).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn end_with_parent() {
    use rustix::process::{Signal, getpid, kill_process};
    std::thread::spawn(|| {
        let mut nothing = [0; 16];
        while std::io::stdin().read(&mut nothing).is_ok_and(|count| count > 0) {}
        let _ = kill_process(getpid(), Signal::TERM);
    });
}

fn ask(at: &str, method: &str, path: &str) -> std::io::Result<String> {
    let at = at.strip_prefix("http://").unwrap_or(at).trim_end_matches('/');
    let nowhere = || std::io::Error::other("the address names no host");
    let address = at.to_socket_addrs()?.next().ok_or_else(nowhere)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let cut = || std::io::Error::other("the answer was cut off");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        code => Err(std::io::Error::other(format!("it answered {}", code.unwrap_or("nothing")))),
    }
}

fn text(status: &Status) -> String {
    let phase = match status.phase {
        Phase::Starting => "starting",
        Phase::StandingBy => "standing by: another relay leads",
        Phase::Leading => "leading",
        Phase::Draining => "draining",
    };
    let paused = if status.paused { ", paused" } else { "" };
    let end = |trouble: &Option<String>| out::visible(trouble.as_deref().unwrap_or("answers"));
    format!(
        "topic      {}\nrelay      {phase}{paused}\nsource     {}\nlog        {}\npublished  {}\nparked     {}\nread up to {}\n",
        out::visible(&status.topic),
        end(&status.source),
        end(&status.log),
        crate::units::count(status.published),
        crate::units::count(status.parked),
        out::visible(status.read_up_to.as_deref().unwrap_or("-")),
    )
}
