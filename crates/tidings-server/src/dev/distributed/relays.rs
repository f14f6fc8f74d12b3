//! The relays of a run: for each publishing context two processes, of which one leads and the other stands by.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use tidings_core::{Code, Error, Result};

use super::children::Plan;
use crate::data_dir::io_fault;

/// How many relays each context has.
const EACH: u32 = 2;
/// How many partitions each topic has.
pub(super) const PARTITIONS: u32 = 2;
/// How often each partition is marked: every copy commits its place with each mark, and the bound is 2 s.
const MARK_EVERY: &str = "400ms";

/// Writes the configuration of each context's relays. `source` is the address of its database.
pub(super) fn plan(
    dir: &Path,
    context: &str,
    source: &str,
    brokers: &str,
    prefix: &str,
) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    for number in 1..=EACH {
        let name = format!("relay-{context}-{number}");
        let listen = format!("127.0.0.1:{}", free_port()?);
        let text = format!(
            "[source]\nurl = {source:?}\n\n\
             [log]\ntopic = {context:?}\n\n\
             [log.kafka]\nbrokers = {brokers:?}\nprefix = {prefix:?}\npartitions = {PARTITIONS}\ncreate = true\n\n\
             [relay]\ndrain = \"30s\"\nmark_every = {MARK_EVERY:?}\n\n\
             [http]\nlisten = {listen:?}\n"
        );
        let path = dir.join(format!("{name}.toml"));
        write_private(&path, &text)?;
        let arguments = ["relay", "--attached", "--config"].map(OsString::from).into_iter();
        let arguments = arguments.chain([path.into_os_string()]).collect();
        plans.push(Plan { name, kind: "relay", arguments, at: Some(listen) });
    }
    Ok(plans)
}

/// For its owner alone: it holds a password.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let open = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
    let written = open.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| io_fault(path, "a configuration cannot be written", e))
}

/// A port that nobody uses now. Somebody else may take it before it is used: the relay then ends and is started again,
/// which the log of that process says.
fn free_port() -> Result<u16> {
    let found = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let found = found.map_err(|e| Error::new(Code::PORT_IN_USE, "no port is free").because(e))?;
    Ok(found.port())
}
