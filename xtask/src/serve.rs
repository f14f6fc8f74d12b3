//! Real servers around a command, around the tests, or until Ctrl-C.

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use services::{Addresses, Service, Shared};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::command::Workspace;

/// What `cargo xtask services` is asked for.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    /// Only these, with commas between: postgres, postgres-standby, kafka, redis, redis-cluster
    #[arg(long, value_delimiter = ',', value_parser = service, value_name = "NAMES")]
    only: Vec<Service>,
    /// Print the addresses as a JSON object
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    around: Option<Around>,
}

#[derive(Debug, Subcommand)]
enum Around {
    /// Run a command with the addresses in its environment, and stop the servers when it ends
    Run {
        /// Only these, with commas between
        #[arg(long, value_delimiter = ',', value_parser = service, value_name = "NAMES")]
        only: Vec<Service>,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

fn service(name: &str) -> Result<Service, String> {
    let names = || Service::ALL.map(Service::name).join(", ");
    let found = Service::ALL.into_iter().find(|service| service.name() == name);
    found.ok_or_else(|| format!("there are {}", names()))
}

/// Starts servers, and keeps them until Ctrl-C or, if there is one, until a command ends.
pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<ExitCode> {
    match options.around {
        Some(Around::Run { only, command }) => around(workspace, &only, &command),
        None => keep(workspace, &options.only, options.json),
    }
}

/// Servers that somebody else keeps running, and those that were missing, started here.
pub(crate) struct Running {
    theirs: Option<Addresses>,
    ours: Shared,
}

impl Running {
    /// All servers, or `only` these; what runs already is used.
    pub(crate) fn start(workspace: &Workspace, only: &[Service]) -> Result<Self> {
        let theirs = Addresses::running(&workspace.target())?;
        let runs = |service| theirs.as_ref().is_some_and(|running| running.of(service).is_some());
        let missing: Vec<_> = wanted(only).into_iter().filter(|service| !runs(*service)).collect();
        Ok(Self { ours: Shared::start(&missing)?, theirs })
    }

    /// The environment in which tests find them.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        // What was started here comes last: an address that is given for one of theirs wins.
        self.theirs.iter().flat_map(Addresses::variables).chain(self.ours.addresses().variables())
    }
}

fn wanted(only: &[Service]) -> Vec<Service> {
    if only.is_empty() { Service::ALL.to_vec() } else { only.to_vec() }
}

fn around(workspace: &Workspace, only: &[Service], words: &[OsString]) -> Result<ExitCode> {
    let (program, arguments) = words.split_first().context("there is no command")?;
    let running = Running::start(workspace, only)?;
    let mut command = Command::new(program);
    command.args(arguments).envs(running.variables());
    // A Ctrl-C is for the command, which has it from the terminal too; the servers go after it.
    let signals = Signals::listen()?;
    let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
    drop((running, signals));
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

fn keep(workspace: &Workspace, only: &[Service], json: bool) -> Result<ExitCode> {
    let target = workspace.target();
    std::fs::create_dir_all(&target)?;
    if let Some(running) = Addresses::running(&target)? {
        bail!("they run already, in process {}; stop that one first", running.pid());
    }
    let started = Instant::now();
    let shared = Shared::start(&wanted(only))?;
    let addresses = shared.addresses();
    addresses.write(&target)?;
    let signals = Signals::listen()?;
    print(addresses, json)?;
    eprintln!("ready after {:.1} s; Ctrl-C stops them", started.elapsed().as_secs_f64());
    signals.wait();
    addresses.remove(&target)?;
    drop(shared);
    eprintln!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn print(addresses: &Addresses, json: bool) -> Result<()> {
    if json {
        let object: serde_json::Map<_, _> =
            addresses.variables().map(|(name, value)| (name.to_owned(), value.into())).collect();
        println!("{}", serde_json::to_string_pretty(&object)?);
    } else {
        for (name, value) in addresses.variables() {
            println!("{name}={value}");
        }
    }
    Ok(())
}

/// From here on, Ctrl-C and its kin end this program only when it asks for them.
struct Signals {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let hang_up = signal(SignalKind::hangup())?;
        drop(context);
        Ok(Self { runtime, interrupt, terminate, hang_up })
    }

    fn wait(mut self) {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                _ = self.hang_up.recv() => {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn read(words: &[&str]) -> Result<Options, String> {
        let line = Line::try_parse_from(std::iter::once(&"services").chain(words));
        line.map(|line| line.options).map_err(|error| error.to_string())
    }

    #[test]
    fn names_and_commands_are_read() {
        let options = read(&["--only", "redis,postgres-standby", "--json"]).unwrap();
        assert_eq!(options.only, [Service::Redis, Service::PostgresStandby]);
        assert!(options.json && options.around.is_none());
        assert_eq!(wanted(&read(&[]).unwrap().only), Service::ALL);
        let options = read(&["run", "--only=kafka", "--", "cargo", "test", "--", "--nocapture"]).unwrap();
        let Some(Around::Run { only, command }) = options.around else { panic!("no command was read") };
        assert_eq!(only, [Service::Kafka]);
        assert_eq!(command, ["cargo", "test", "--", "--nocapture"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = read(&["--only", "mysql"]).unwrap_err();
        assert!(error.contains("postgres, postgres-standby, kafka, redis, redis-cluster"), "{error}");
        assert!(read(&["run"]).is_err());
    }
}
