//! Running the binary, and asking it over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.args(args);
    command
}

/// What one run of the binary said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

pub(crate) fn run(args: &[&str]) -> Said {
    command(args).stdin(Stdio::null()).output().unwrap().into()
}

pub(crate) fn run_with(args: &[&str], input: &[u8]) -> Said {
    let mut command = command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may stop reading early.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.into()
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A good line of `tidings publish`; `more` adds to it, or takes away with `null`.
pub(crate) fn line(entity: &str, more: Value) -> String {
    let mut event = json!({
        "specversion": "1.0",
        "type": "pricing.BasePriceChanged",
        "subject": entity,
        "datacontenttype": "application/json",
        "data": { "sku": "SKU-00001", "region": "eu", "version": 1, "base_cents": 1999, "cents": 1999 },
    });
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            event.as_object_mut().unwrap().remove(name);
        } else {
            event[name] = value.clone();
        }
    }
    event.to_string()
}

/// The events of a directory's log, as `tail --json` prints them.
pub(crate) fn tail(dir: &Path) -> Vec<Value> {
    let said = run(&["tail", "--data", path(dir), "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn status(dir: &Path) -> Value {
    let said = run(&["status", "--data", path(dir), "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    serde_json::from_str(&said.out).unwrap()
}

pub(crate) use tidings_testkit::until_sync as until;

/// A running `tidings dev`; killed when dropped.
pub(crate) struct Dev {
    child: Child,
    pub(crate) host: String,
}

impl Dev {
    /// Starts it on any free port; `None` if it ended or was not up in time.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut dev = Self::begin(args);
        dev.wait_until_up();
        dev
    }

    /// Starts it, and does not wait.
    pub(crate) fn begin(args: &[&str]) -> Self {
        let all: Vec<_> = ["dev", "--port", "0"].iter().chain(args).copied().collect();
        let child = command(&all).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self { child: child.unwrap(), host: String::new() }
    }

    fn wait_until_up(&mut self) {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap());
        let mut line = String::new();
        while self.host.is_empty() {
            line.clear();
            if lines.read_line(&mut line).unwrap() == 0 {
                let mut said = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("tidings dev did not start: {said}");
            }
            if let Some(address) = line.strip_prefix("console   http://") {
                self.host = address.trim().trim_end_matches('/').to_owned();
            }
        }
        self.child.stdout = Some(lines.into_inner());
    }

    /// What `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits for its last words.
    pub(crate) fn stop(mut self, signal: &str) -> Said {
        services::signal(signal, self.child.id()).unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Said { code: self.child.wait().unwrap().code(), out, err }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "").unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        let (code, body) = self.get("/status");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// One request; `Err` if the connection broke.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let mut stream = self.connect()?;
        let (host, length) = (&self.host, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let cut = || std::io::Error::other("the answer was cut off");
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut)?;
        Ok((code, body.to_owned()))
    }

    pub(crate) fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.host)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A small file system of its own; `None` where this user cannot mount one.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none", path(dir.path())]).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn make_read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro", path(self.path())]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open keeps it.
        let _ = Command::new("umount").args(["-l", path(self.path())]).status();
    }
}
