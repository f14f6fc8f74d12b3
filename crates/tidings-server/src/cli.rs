//! The command line: arguments in, one sentence of failure out.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use tidings_core::{Code, Error, Result};

mod check_history;
mod dev;
mod doctor;
mod error;
mod outbox;
mod publish;
mod relay;
mod status;
mod tail;

/// Keeps caches honest: events from the transaction that changes the truth to every answer that depends on it.
#[derive(Parser)]
#[command(name = "tidings", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dev(dev::Args),
    /// Serve one copy of a distributed run, as its process is told to
    #[command(hide = true)]
    DevCopy {
        settings: std::path::PathBuf,
    },
    CheckHistory(check_history::Args),
    Publish(publish::Args),
    Relay(relay::Args),
    Outbox(outbox::Args),
    Doctor(doctor::Args),
    Tail(tail::Args),
    Status(status::Args),
    Error(error::Args),
}

/// Something was refused or went wrong.
const FAILED: u8 = 1;
/// The command itself was written wrongly.
const USAGE: u8 = 2;

/// Runs the command of this process.
pub(crate) fn run() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => match perform(cli.command) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("tidings: {error}");
                ExitCode::from(FAILED)
            }
        },
        Err(error) => usage(&error),
    }
}

fn perform(command: Command) -> Result<ExitCode> {
    match command {
        Command::CheckHistory(args) => check_history::run(&args),
        Command::Error(args) => error::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Dev(args) => runtime()?.block_on(crate::dev::run(args.into())),
        Command::DevCopy { settings } => runtime()?.block_on(crate::dev::run_copy(&settings)),
        Command::Relay(args) => runtime()?.block_on(relay::run(args)),
        Command::Outbox(args) => runtime()?.block_on(outbox::run(args)),
        Command::Doctor(args) => runtime()?.block_on(doctor::run(args)),
        Command::Tail(args) => runtime()?.block_on(tail::run(args)),
        Command::Status(args) => runtime()?.block_on(status::run(args)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| Error::new(Code::OVERLOADED, "no thread could be started").because(e))
}

/// Help and version as clap writes them; a mistake as one sentence like every other.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if help {
        let _ = crate::out::write(text.as_bytes());
        let asked = error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        return if asked { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
    }
    let body: Vec<_> = text.split("\n\n").next().unwrap_or(&text).lines().map(str::trim).collect();
    let what = body.join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let refused = Error::new(Code::SETTING_INVALID, format!("{what}; see tidings --help"));
    eprintln!("tidings: {refused}");
    ExitCode::from(USAGE)
}
