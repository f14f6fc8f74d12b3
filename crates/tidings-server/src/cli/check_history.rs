//! `tidings check-history`: whether a recorded history kept the promises.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tidings_core::{Code, Error, Result};
use tidings_testkit::history::{Record, Writer};
use tidings_testkit::{Verdict, history};

use crate::data_dir::io_fault;
use crate::{out, units, verdict};

/// Judge a recorded history by the promises I0 to I10. Exit code 0: every promise was kept
#[derive(clap::Args)]
pub(super) struct Args {
    /// The history, as tidings dev --history writes it; - is the standard input
    file: PathBuf,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    /// How many threads judge; without it, as many as this machine runs at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
}

/// How many violations are shown.
const SHOWN: usize = 20;
const SHOW_EVERY: Duration = Duration::from_millis(500);

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let own = || std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = args.threads.map_or_else(own, usize::from);
    let read = Arc::<AtomicU64>::default();
    let (input, size) = open(&args.file)?;
    let input = BufReader::with_capacity(1 << 18, Counted { input, read: read.clone() });
    let judge = || history::check(history::Reader::new(input), threads);
    let verdict = with_progress(&read, size, judge).map_err(|e| e.at(args.file.display()))?;
    if args.json {
        out::json(&as_json(&verdict)?)?;
    } else {
        out::write(verdict::text(&verdict, SHOWN).as_bytes())?;
    }
    Ok(if is_good(&verdict) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The file, and how long it is if that can be told.
fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let unreadable = |e| io_fault(path, "the history cannot be read", e);
    let file = File::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if meta.is_dir() {
        let what = "this is a directory; give the file that tidings dev --history wrote";
        return Err(Error::new(Code::SETTING_INVALID, what).at(path.display()));
    }
    Ok((Box::new(file), meta.is_file().then_some(meta.len())))
}

/// Counts what was read, for the progress.
struct Counted {
    input: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Does the work while one line on the terminal says how far it is.
fn with_progress<T>(read: &AtomicU64, size: Option<u64>, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (done, is_done) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let began = Instant::now();
            while is_done.recv_timeout(SHOW_EVERY) == Err(RecvTimeoutError::Timeout) {
                show(&progress(read.load(Ordering::Relaxed), size, began.elapsed()));
            }
            show("");
        });
        let result = work();
        drop(done);
        result
    })
}

fn show(line: &str) {
    let mut terminal = io::stderr().lock();
    // A terminal that is gone needs no progress.
    let _ = write!(terminal, "\r\x1b[K{line}").and_then(|()| terminal.flush());
}

fn progress(read: u64, size: Option<u64>, elapsed: Duration) -> String {
    let mb = |bytes: u64| units::ratio(bytes, 1_000_000);
    let Some(size) = size.filter(|size| (1..).contains(size)) else {
        return format!("{:.1} MB read", mb(read));
    };
    let part = units::ratio(read, size).min(1.0);
    let left = elapsed.as_secs_f64() * (1.0 - part) / part;
    let left = Duration::try_from_secs_f64(left.ceil());
    let left = left.map_or_else(|_| "not yet known how much is".to_owned(), units::duration);
    format!("{:.0} % of {:.1} MB read, {left} left", 100.0 * part, mb(size))
}

/// A history with records that came too late was not judged as a whole.
fn is_good(verdict: &Verdict) -> bool {
    verdict.is_clean() && verdict.counts.late == 0
}

fn as_json(verdict: &Verdict) -> Result<Map<String, Value>> {
    let mut all = verdict::flat(&verdict.counts);
    all.insert("clean".to_owned(), json!(is_good(verdict)));
    let accounts = verdict.accounts.iter().map(|account| {
        json!({
            "copy": &*account.copy,
            "expected": account.expected,
            "applied": account.applied,
            "superseded": account.superseded,
            "parked": account.parked,
            "lost": account.lost,
        })
    });
    all.insert("accounts".to_owned(), accounts.collect());
    let mut evidence = Vec::new();
    for violation in verdict.violations.iter().take(SHOWN) {
        let lines = violation.records.iter().map(line).collect::<Result<Vec<_>>>()?;
        evidence.push(json!({
            "invariant": format!("{:?}", violation.invariant),
            "what": violation.what,
            "records": lines,
        }));
    }
    all.insert("evidence".to_owned(), Value::Array(evidence));
    Ok(all)
}

/// A record as it is in a history.
fn line(record: &Record) -> Result<Value> {
    let mut writer = Writer::new(Vec::new())?;
    writer.record(record)?;
    let history = writer.finish()?;
    // After the history's own first line.
    let line = history.split(|byte| *byte == b'\n').nth(1).unwrap_or_default();
    serde_json::from_slice(line).map_err(|e| Error::new(Code::DEFECT, "a record is no JSON").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_how_much_is_left() {
        let second = Duration::from_secs(10);
        assert_eq!(progress(25_000_000, Some(100_000_000), second), "25 % of 100.0 MB read, 30.0 s left");
        let begun = "0 % of 100.0 MB read, not yet known how much is left";
        assert_eq!(progress(0, Some(100_000_000), second), begun);
        assert_eq!(progress(100_000_000, Some(100_000_000), second), "100 % of 100.0 MB read, 0 µs left");
        assert_eq!(progress(1_500_000, None, second), "1.5 MB read");
        assert_eq!(progress(0, Some(0), second), "0.0 MB read");
    }
}
