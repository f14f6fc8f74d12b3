//! `tidings publish`: events from a file or standard input into the outbox of a data directory.
//!
//! Each line is judged by itself. Lines are committed in batches and only then reported, so that whatever is reported
//! as published is durable; while input comes slowly, a batch is what has come so far.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use tidings::DomainEvent;
use tidings_core::envelope::{Limits, decode_draft};
use tidings_core::error::Kind;
use tidings_core::{Code, DraftEvent, Entity, Error, Result, Stamp};

use crate::data_dir::DataDir;
use crate::out;
use crate::published::Publisher;

mod lines;

use lines::{Line, Lines};

/// Publish events: CloudEvents JSON, one per line
#[derive(clap::Args)]
pub(super) struct Args {
    /// The data directory, made if it is missing; without it, that of the running `tidings dev`
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The file to read; `-` or nothing is standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Take event types that nobody has declared, too
    #[arg(long)]
    allow_unknown: bool,
    /// Say what became of each line as one JSON object per line
    #[arg(long)]
    json: bool,
}

/// The most lines of one transaction.
const BATCH: usize = 256;

/// The types that the retail platform declares.
const DECLARED: [&str; 6] = [
    retail::catalog::ProductContentUpdated::TYPE,
    retail::pricing::BasePriceChanged::TYPE,
    retail::pricing::PromotionScheduled::TYPE,
    retail::pricing::PromotionActivated::TYPE,
    retail::pricing::PromotionExpired::TYPE,
    retail::inventory::AvailableToSellAdjusted::TYPE,
];

#[derive(Serialize)]
struct Told<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

#[derive(Serialize)]
struct Summary {
    published: u64,
    refused: u64,
    relay: &'static str,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let dir = match &args.data {
        Some(path) => DataDir::create(path)?,
        None => DataDir::find(None)?,
    };
    let publisher = Publisher::open(&dir)?;
    let (name, input) = open(args.file.as_deref())?;
    let mut desk = Desk { args, name, publisher, batch: Vec::new(), published: 0, refused: 0 };
    let mut lines = Lines::new(input, Limits::default().bytes);
    let ended = desk.take_all(&mut lines);
    desk.summarise(&dir)?;
    ended?;
    Ok(if desk.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(file: Option<&Path>) -> Result<(String, Box<dyn BufRead>)> {
    match file.filter(|path| *path != Path::new("-")) {
        None => Ok(("stdin".to_owned(), Box::new(BufReader::new(io::stdin().lock())))),
        Some(path) => {
            let name = path.display().to_string();
            let unreadable = |e: io::Error| {
                Error::new(Code::FILE_UNREADABLE, "the file cannot be read").because(e).at(&name)
            };
            let file = File::open(path).map_err(unreadable)?;
            // A directory opens, and fails at the first read.
            (&file).read(&mut []).map_err(unreadable)?;
            Ok((name.clone(), Box::new(BufReader::with_capacity(64 << 10, file))))
        }
    }
}

/// What became of one line.
struct Judged {
    line: u64,
    outcome: Result<(Entity, Stamp)>,
}

struct Desk<'a> {
    args: &'a Args,
    name: String,
    publisher: Publisher,
    batch: Vec<Judged>,
    published: u64,
    refused: u64,
}

impl Desk<'_> {
    fn take_all<R: BufRead>(&mut self, lines: &mut Lines<R>) -> Result<()> {
        loop {
            let next = lines
                .next()
                .map_err(|e| Error::new(Code::FILE_UNREADABLE, "reading stopped").because(e).at(&self.name));
            match next {
                Ok(Some((number, line))) => self.take(number, line)?,
                ended => {
                    self.finish_batch()?;
                    return ended.map(drop);
                }
            }
            if self.batch.len() >= BATCH || !lines.has_more_at_hand() {
                self.finish_batch()?;
            }
        }
    }

    fn take(&mut self, number: u64, line: Line) -> Result<()> {
        let Some(decoded) = self.decode(line) else { return Ok(()) };
        if self.batch.is_empty() {
            self.publisher.begin().map_err(|e| e.at(format!("{}:{number}", self.name)))?;
        }
        let outcome = decoded.and_then(|event| {
            let stamp = self.publisher.record(&event)?;
            Ok((event.draft.entity, stamp))
        });
        let stuck = matches!(&outcome, Err(error) if error.kind() != Kind::Input);
        self.batch.push(Judged { line: number, outcome });
        if !stuck {
            return Ok(());
        }
        // The place is at fault, not the line: nothing after it would fare better.
        let error = match self.batch.pop() {
            Some(Judged { outcome: Err(error), .. }) => error,
            _ => Error::new(Code::DEFECT, "a failure was lost"),
        };
        self.publisher.roll_back();
        let first = self.batch.first().map_or(number, |judged| judged.line);
        self.batch.clear();
        Err(self.stopped(first, &error))
    }

    /// `None` for a line with nothing on it.
    fn decode(&self, line: Line) -> Option<Result<DraftEvent>> {
        let limits = Limits::default();
        let bytes = match line {
            Line::TooLong => {
                let what = format!("the line has more than {} bytes", limits.bytes);
                return Some(Err(Error::new(Code::OVERSIZED, what)));
            }
            Line::Whole(bytes) => bytes,
        };
        if bytes.trim_ascii().is_empty() {
            return None;
        }
        Some(match decode_draft(&bytes, &limits) {
            Ok(event) if !self.args.allow_unknown && !DECLARED.contains(&&*event.draft.kind) => {
                let kind = out::visible(&event.draft.kind);
                Err(Error::new(Code::TYPE_UNKNOWN, format!("nobody declared the event type {kind}")))
            }
            other => other,
        })
    }

    fn finish_batch(&mut self) -> Result<()> {
        let Some(first) = self.batch.first() else { return Ok(()) };
        let first = first.line;
        if let Err(error) = self.publisher.commit() {
            self.batch.clear();
            return Err(self.stopped(first, &error));
        }
        for judged in std::mem::take(&mut self.batch) {
            self.tell(&judged)?;
        }
        Ok(())
    }

    fn stopped(&self, first: u64, error: &Error) -> Error {
        let what = format!("{}; nothing from this line on was published", error.what());
        Error::new(error.code(), what).at(format!("{}:{first}", self.name))
    }

    fn tell(&mut self, judged: &Judged) -> Result<()> {
        let line = judged.line;
        match &judged.outcome {
            Ok((entity, stamp)) => {
                self.published += 1;
                if self.args.json {
                    let version = Some(stamp.version.number());
                    let told =
                        Told { line, published: Some(entity.as_str()), version, refused: None, code: None };
                    out::json(&told)?;
                }
            }
            Err(error) => {
                self.refused += 1;
                let error = error.clone().at(format!("{}:{line}", self.name));
                if self.args.json {
                    let (refused, code) = (Some(error.to_string()), Some(error.code().id()));
                    out::json(&Told { line, published: None, version: None, refused, code })?;
                } else {
                    eprintln!("tidings: {error}");
                }
            }
        }
        Ok(())
    }

    fn summarise(&self, dir: &DataDir) -> Result<()> {
        let running = dir.running();
        let relay = if running.is_some() { "running" } else { "waiting" };
        let (published, refused) = (self.published, self.refused);
        if self.args.json {
            out::json(&Summary { published, refused, relay })?;
            return Ok(());
        }
        out::line(&format!("published {published}, refused {refused}"))?;
        if published > 0 {
            let path = dir.path().display();
            out::line(&match running {
                Some(running) => format!("tidings dev at {} takes them to the log", running.address),
                None => format!("they wait in the outbox; tidings dev --data {path} takes them to the log"),
            })?;
        }
        Ok(())
    }
}
