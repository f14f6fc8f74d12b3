//! Servers do not outlive the program that started them, even if it had no time to stop them.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Error, Result};
use services::{Postgres, Redis};

use crate::support::{is_running, is_skipped, until};

/// Set in the program that is to be killed.
const HOLDER: &str = "TIDINGS_SERVICES_TEST_HOLDER";

#[test]
fn nothing_is_left_when_the_program_is_killed() {
    if is_skipped() {
        return;
    }
    if std::env::var_os(HOLDER).is_some() {
        return hold().unwrap();
    }
    let mut holder = Holder::start().unwrap();
    let (mut pids, directories) = holder.servers().unwrap();
    // A child that has ended is nobody's while its parent is paused.
    pids.retain(|pid| is_running(*pid));
    assert!(directories.iter().all(|path| Path::new(path).exists()));
    assert!(pids.len() > 4 && directories.len() == 3, "{pids:?} {directories:?}");
    holder.0.kill().unwrap();
    until(|| !pids.iter().any(|pid| is_running(*pid)));
    until(|| !directories.iter().any(|path| Path::new(path).exists()));
}

/// This test program, running this test alone and holding servers.
struct Holder(Child);

impl Holder {
    fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", "--nocapture", "guard::nothing_is_left_when_the_program_is_killed"]);
        command.env(HOLDER, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self(command.spawn()?))
    }

    /// The processes and directories that it names.
    fn servers(&mut self) -> Result<(Vec<u32>, Vec<String>)> {
        let (mut pids, mut directories) = (Vec::new(), Vec::new());
        for line in BufReader::new(self.0.stdout.take().context("no output")?).lines() {
            let line = line?;
            match line.split_once(' ') {
                Some(("server", pid)) => pids.push(pid.parse()?),
                Some(("directory", path)) => directories.push(path.to_owned()),
                _ if line == "all" => break,
                _ => {}
            }
        }
        Ok((pids, directories))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One server that runs, one that is paused, and one that is stopped; then waits to be killed.
fn hold() -> Result<()> {
    let running = Redis::start(&[])?;
    let paused = Postgres::start(&[])?;
    paused.pause()?;
    let mut stopped = Redis::start(&[])?;
    let directory =
        |server: &Redis| Ok::<_, Error>(server.command(&["CONFIG", "GET", "dir"])?.replace("dir\n", ""));
    let mut lines = format!("\ndirectory {}\ndirectory {}\n", directory(&running)?, directory(&stopped)?);
    stopped.stop()?;
    let postgres = paused.pid().context("it is stopped")?;
    let children = std::fs::read_to_string(format!("/proc/{postgres}/task/{postgres}/children"))?;
    let of_postgres = paused.data();
    lines += &format!("directory {}\n", of_postgres.parent().context("no parent")?.display());
    lines += &format!("server {}\nserver {postgres}\n", running.pid().context("it is stopped")?);
    lines.extend(children.split_whitespace().map(|pid| format!("server {pid}\n")));
    std::io::stdout().write_all((lines + "all\n").as_bytes())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
