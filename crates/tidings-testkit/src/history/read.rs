//! Reading a history back, and trusting none of it.

use std::io::{BufRead, Read as _};
use std::ops::Range;

use tidings_core::{Code, Error, Result};

use super::line::Line;
use super::raw::Raw;
use super::running::Running;
use super::scan::{Place, Scanned, scan};
use super::{Nanos, Record, State, words};

mod said;
mod shape;

use said::Names;
pub(super) use said::digest;

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Something happened.
    Record(Record),
    /// The records of everything that ended before this time have come.
    Settled(Nanos),
}

/// What a line says, in the line's own words if they are plain.
#[derive(Debug)]
pub(crate) enum Heard<'a> {
    Raw(Raw<&'a str, &'a str>, InLine<'a>),
    Record(Record),
    Settled(Nanos),
}

/// What a read shows, in the line's own words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InLine<'a> {
    line: &'a [u8],
    places: &'a [Place],
}

/// Reads a history, line by line: an iterator that ends after the first error.
#[derive(Debug)]
pub struct Reader<R> {
    lines: Lines<R>,
    names: Names,
    is_over: bool,
}

#[derive(Debug)]
struct Lines<R> {
    from: R,
    buffer: Vec<u8>,
    /// What the line's read shows.
    shows: Vec<Place>,
    /// The lines read so far.
    lines: u64,
    /// Of those before the last.
    running: Running,
    records: u64,
    settled: Nanos,
}

/// The longest first line, and the longest of the others: what is longer is no history, and is not read to its end.
const FIRST: u64 = 4 << 10;
const LONGEST: u64 = 16 << 20;
/// So much of what is wrong is told.
const TOLD: usize = 400;

pub(super) fn unreadable(what: impl Into<String>) -> Error {
    let mut what = what.into();
    if let Some((end, _)) = what.char_indices().nth(TOLD) {
        what.truncate(end);
        what.push_str("...");
    }
    Error::new(Code::HISTORY_UNREADABLE, what)
}

fn incomplete(what: impl Into<String>) -> Error {
    Error::new(Code::HISTORY_INCOMPLETE, what)
}

impl<R: BufRead> Reader<R> {
    /// Reads from here; the first line is looked at when the first record is asked for.
    pub fn new(from: R) -> Self {
        let (buffer, shows) = (Vec::with_capacity(1024), Vec::new());
        let lines =
            Lines { from, buffer, shows, lines: 0, running: Running::default(), records: 0, settled: 0 };
        Self { lines, names: Names::default(), is_over: false }
    }

    /// The number of the line that was read last, from 1.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.lines.lines
    }

    /// Hands everything that is said to `hear`, to the end. An error is that of the line, also one of `hear`.
    pub(super) fn each(mut self, mut hear: impl FnMut(Heard<'_>) -> Result<()>) -> Result<()> {
        loop {
            let heard = self.lines.next(&mut self.names);
            let heard = heard.and_then(|heard| heard.map(&mut hear).transpose());
            match heard.map_err(|error| self.at_line(error))? {
                Some(()) => {}
                None => return self.lines.end().map_err(|error| self.at_line(error)),
            }
        }
    }

    fn at_line(&self, error: Error) -> Error {
        error.at(format_args!("line {}", self.line().max(1)))
    }

    fn step(&mut self) -> Result<Option<Said>> {
        Ok(match self.lines.next(&mut self.names)? {
            Some(Heard::Settled(time)) => Some(Said::Settled(time)),
            Some(Heard::Record(record)) => Some(Said::Record(record)),
            Some(Heard::Raw(raw, shows)) => Some(Said::Record(self.names.record(raw, shows)?)),
            None => {
                self.lines.end()?;
                None
            }
        })
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Said>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let said = self.step().map_err(|error| self.at_line(error));
        self.is_over = !matches!(said, Ok(Some(_)));
        said.transpose()
    }
}

impl<R: BufRead> Lines<R> {
    /// `None` is the last line.
    fn next(&mut self, names: &mut Names) -> Result<Option<Heard<'_>>> {
        if self.lines == 0 {
            if !self.fill()? {
                return Err(incomplete("the history is empty"));
            }
            check_header(&self.buffer)?;
        }
        if !self.fill()? {
            // The line that is missing would have been the next.
            let last = self.lines;
            let what = format!("the history ends after line {last} without its last line");
            return Err(incomplete(what));
        }
        let (said, is_late) = match scan(&self.buffer, &mut self.shows) {
            Some(Scanned::Record(raw)) => {
                self.records += 1;
                check_times(raw.times(), self.settled)?;
                return Ok(Some(Heard::Raw(raw, InLine { line: &self.buffer, places: &self.shows })));
            }
            Some(Scanned::Settled(time)) => (Some(Said::Settled(time)), false),
            None => self.parse(names)?,
        };
        match said {
            None => Ok(None),
            Some(Said::Settled(time)) if time < self.settled => {
                Err(unreadable(format!("{time} is settled, after {} was", self.settled)))
            }
            Some(Said::Settled(time)) => {
                self.settled = time;
                Ok(Some(Heard::Settled(time)))
            }
            Some(Said::Record(record)) => {
                self.records += 1;
                // Whoever wrote it knew, and so will whoever reads the verdict.
                check_times(record.raw().0.times(), if is_late { 0 } else { self.settled })?;
                Ok(Some(Heard::Record(record)))
            }
        }
    }

    fn end(&mut self) -> Result<()> {
        if self.fill()? { Err(unreadable("something follows the end of the history")) } else { Ok(()) }
    }

    /// What the line says, and whether it says that it comes too late; `None` is the end.
    fn parse(&self, names: &mut Names) -> Result<(Option<Said>, bool)> {
        let is_whole = self.buffer.last() == Some(&b'\n');
        let line = match parse(&self.buffer) {
            Err(_) if !is_whole => {
                let last = self.lines - 1;
                return Err(incomplete(format!(
                    "the history was cut off here; line {last} is the last whole one"
                )));
            }
            other => other?,
        };
        let is_late = line.late.as_ref().is_some_and(|late| late.0);
        Ok((names.said(line, self.records, self.running)?, is_late))
    }

    /// The next line; false if there is none.
    fn fill(&mut self) -> Result<bool> {
        if self.lines > 0 {
            self.running.line(&self.buffer);
        }
        self.buffer.clear();
        let longest = if self.lines == 0 { FIRST } else { LONGEST };
        let read = (&mut self.from).take(longest + 1).read_until(b'\n', &mut self.buffer);
        let read =
            read.map_err(|e| Error::new(Code::FILE_UNREADABLE, "reading the history failed").because(e))?;
        self.lines += u64::from(read > 0);
        if read as u64 > longest {
            let kind = if self.lines == 1 { "this is no history: its first line" } else { "the line" };
            return Err(unreadable(format!("{kind} is longer than {longest} bytes")));
        }
        Ok(read > 0)
    }
}

impl<'a> InLine<'a> {
    /// Every entity and what is shown of it.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, State)> + Clone {
        let name =
            |range: &Range<usize>| self.line.get(range.clone()).and_then(|name| str::from_utf8(name).ok());
        self.places.iter().map(move |(range, state)| (name(range).unwrap_or_default(), *state))
    }
}

fn parse(line: &[u8]) -> Result<Line<'_>> {
    // serde would take an array of the values in order for the object.
    if line.first() != Some(&b'{') {
        return Err(unreadable("this is no JSON object"));
    }
    serde_json::from_slice(line).map_err(|error| {
        let what = error.to_string();
        let what = what.split(", expected one of `tidings_history`").next().unwrap_or_default();
        let what = what.split(" at line ").next().unwrap_or_default();
        unreadable(format!("column {}: {what}", error.column()))
    })
}

fn check_header(line: &[u8]) -> Result<()> {
    let version = parse(line).ok().and_then(|line| line.tidings_history).map(|version| version.0);
    match version {
        Some(words::FORMAT) => Ok(()),
        Some(other) => Err(unreadable(format!(
            "the history is of version {other} of the format, and this program reads version {}",
            words::FORMAT
        ))),
        None => Err(unreadable("this is no history: its first line is not {\"tidings_history\":1}")),
    }
}

/// Whatever ends does so after it began, and not before what is settled.
fn check_times(times: Option<(Nanos, Nanos)>, settled: Nanos) -> Result<()> {
    let Some((began, ended)) = times else { return Ok(()) };
    if ended < began {
        return Err(unreadable(format!("it ended at {ended}, before it began at {began}")));
    }
    if ended < settled {
        return Err(unreadable(format!("it ended at {ended}, and everything before {settled} was settled")));
    }
    Ok(())
}
