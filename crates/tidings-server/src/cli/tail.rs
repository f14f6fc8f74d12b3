//! `tidings tail`: the events of a log, in the order of their time.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use serde::Serialize;
use serde_json::value::RawValue;
use tidings_core::envelope::encode_line;
use tidings_core::port::{Log, Read, ReadLimit, Record, Stored};
use tidings_core::{Code, Data, Error, Offset, Partition, Position, Result, Time};
use tidings_sqlite::SqliteLog;

use crate::data_dir::DataDir;
use crate::out::{self, visible};
use crate::survey;

/// Print the events of the log, of a running or a stopped data directory
#[derive(clap::Args)]
pub(super) struct Args {
    /// The data directory; without it, that of the running `tidings dev`
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Only this topic
    #[arg(long)]
    topic: Option<String>,
    /// Where to begin: beginning, end, an offset, or an RFC 3339 time [default: beginning; with --follow, end]
    #[arg(long, value_name = "WHERE")]
    from: Option<From>,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// Marks, too
    #[arg(long)]
    marks: bool,
    /// As one JSON object per line, with the event as CloudEvents JSON under "event"
    #[arg(long)]
    json: bool,
}

#[derive(Clone)]
enum From {
    Beginning,
    End,
    Offset(u64),
    Time(Time),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "beginning" => Ok(Self::Beginning),
            "end" => Ok(Self::End),
            _ if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map(Self::Offset).map_err(|_| format!("{text} is no offset"))
            }
            _ => Time::parse(text).map(Self::Time).map_err(|_| {
                format!("{text:?} is none of beginning, end, an offset, or a time like 2026-11-24T10:00:00Z")
            }),
        }
    }
}

/// One partition being read.
struct Reader {
    at: Position,
    ready: VecDeque<Stored>,
}

#[derive(Serialize)]
struct Printed<'a> {
    topic: &'a str,
    partition: u32,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<PrintedMark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

#[derive(Serialize)]
struct PrintedMark {
    time: String,
    head: u64,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let dir = DataDir::find(args.data.as_deref())?;
    let log = match survey::open_log(&dir)? {
        Some(log) => log,
        None if args.follow => SqliteLog::open(dir.file("log.db"))?,
        // Nothing has been published yet: nothing to print.
        None => return Ok(ExitCode::SUCCESS),
    };
    let mut readers = readers(&log, &args).await?;
    loop {
        for reader in &mut readers {
            reader.fill(&log).await?;
        }
        let next =
            readers.iter_mut().filter(|r| !r.ready.is_empty()).min_by_key(|r| r.ready.front().map(time));
        match next.and_then(|reader| Some((reader.ready.pop_front()?, reader.at.partition.clone()))) {
            Some((stored, partition)) => {
                if !print(&stored, &partition, &args)? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            None if args.follow => {
                let positions: Vec<_> = readers.iter().map(|reader| reader.at.clone()).collect();
                tokio::select! {
                    waited = log.wait(&positions) => waited?,
                    _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
                    // A topic may be new.
                    () = tokio::time::sleep(std::time::Duration::from_millis(500)) => {
                        add_new(&log, &args, &mut readers).await?;
                    }
                }
            }
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

async fn readers(log: &SqliteLog, args: &Args) -> Result<Vec<Reader>> {
    let from = args.from.clone().unwrap_or(if args.follow { From::End } else { From::Beginning });
    let mut readers = Vec::new();
    for partition in partitions(log, args).await? {
        let (earliest, head) = log.bounds(&partition).await?;
        let offset = match &from {
            From::Beginning => earliest,
            From::End => head,
            From::Offset(offset) => Offset(*offset).clamp(earliest, head),
            From::Time(time) => log.offset_at(&partition, *time).await?,
        };
        readers.push(Reader { at: Position { partition, offset }, ready: VecDeque::new() });
    }
    if let (Some(topic), true, false) = (&args.topic, readers.is_empty(), args.follow) {
        let topic = visible(topic);
        return Err(Error::new(Code::SETTING_INVALID, format!("the log has no topic {topic:?}")));
    }
    Ok(readers)
}

async fn partitions(log: &SqliteLog, args: &Args) -> Result<Vec<Partition>> {
    let wanted = |name: &str| args.topic.as_deref().is_none_or(|topic| topic == name);
    let topics = log.topics().await?.into_iter().filter(|(topic, _)| wanted(topic.as_str()));
    Ok(topics
        .flat_map(|(topic, count)| (0..count).map(move |index| Partition { topic: topic.clone(), index }))
        .collect())
}

async fn add_new(log: &SqliteLog, args: &Args, readers: &mut Vec<Reader>) -> Result<()> {
    for partition in partitions(log, args).await? {
        if readers.iter().all(|reader| reader.at.partition != partition) {
            readers.push(Reader { at: Position { partition, offset: Offset(0) }, ready: VecDeque::new() });
        }
    }
    Ok(())
}

impl Reader {
    async fn fill(&mut self, log: &SqliteLog) -> Result<()> {
        while self.ready.is_empty() {
            match log.read(&self.at, ReadLimit { records: 256, ..ReadLimit::default() }).await? {
                Read::Gap { resume } if resume == self.at.offset => return Ok(()),
                Read::Gap { resume } => {
                    eprintln!(
                        "tidings: the records of {} from {} to {resume} are gone",
                        self.at.partition, self.at.offset
                    );
                    self.at.offset = resume;
                }
                Read::Records(records) => {
                    let Some(last) = records.last() else { return Ok(()) };
                    self.at.offset = last.offset.next();
                    self.ready = records.into();
                }
            }
        }
        Ok(())
    }
}

fn time(stored: &Stored) -> Time {
    match &stored.record {
        Record::Event(event) => event.time,
        Record::Mark(mark) => mark.time,
        // Printed as soon as it is reached.
        Record::Gap(_) | Record::Unreadable(_) => Time::default(),
    }
}

/// `false` if nobody reads any more.
fn print(stored: &Stored, partition: &Partition, args: &Args) -> Result<bool> {
    if matches!(stored.record, Record::Mark(_)) && !args.marks {
        return Ok(true);
    }
    if args.json { print_json(stored, partition) } else { print_text(stored, partition) }
}

fn print_json(stored: &Stored, partition: &Partition) -> Result<bool> {
    let mut printed = Printed {
        topic: partition.topic.as_str(),
        partition: partition.index,
        offset: stored.offset.0,
        event: None,
        mark: None,
        gap: None,
        unreadable: None,
    };
    let mut line = Vec::new();
    match &stored.record {
        Record::Event(event) => {
            encode_line(event, &mut line);
            let raw = serde_json::from_slice::<&RawValue>(line.trim_ascii());
            let raw = raw.map_err(|e| Error::new(Code::DEFECT, "a stored event is not JSON").because(e))?;
            printed.event = Some(raw);
            out::json(&printed)
        }
        Record::Mark(mark) => {
            printed.mark = Some(PrintedMark { time: mark.time.to_string(), head: mark.head });
            out::json(&printed)
        }
        Record::Gap(why) => {
            printed.gap = Some(why.to_string());
            out::json(&printed)
        }
        Record::Unreadable(error) => {
            printed.unreadable = Some(error.to_string());
            out::json(&printed)
        }
    }
}

fn print_text(stored: &Stored, partition: &Partition) -> Result<bool> {
    let place = format!("{partition}@{}", stored.offset);
    out::line(&match &stored.record {
        Record::Event(event) => {
            let data = match &event.data {
                Data::Empty => String::new(),
                Data::Json(text) => visible(&text.replace(['\n', '\r'], " ")),
                Data::Bytes { content_type, bytes } => {
                    format!("{} bytes of {}", bytes.len(), visible(content_type))
                }
            };
            let (kind, entity, version) = (visible(&event.kind), &event.entity, event.stamp);
            format!("{}  {place:<16} {kind}  {entity} v{version}  {data}", event.time)
        }
        Record::Mark(mark) => format!("{}  {place:<16} mark, everything up to row {}", mark.time, mark.head),
        Record::Gap(why) => format!("{:27}  {place:<16} gap: {}", "", visible(why)),
        Record::Unreadable(error) => {
            format!("{:27}  {place:<16} unreadable: {}", "", visible(&error.to_string()))
        }
    })
}
