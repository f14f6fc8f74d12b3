//! Reading a history back, and trusting none of it.

use std::collections::HashMap;
use std::io::BufRead;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Code, Entity, Error, Result, Stamp};

use super::line::{FIELDS, Line, Object, Shows, Text};
use super::raw::{Name, Raw, RawCommit, RawRead};
use super::scan::{Place, Scanned, scan};
use super::{Applied, Commit, Nanos, Read, Record, Shown, Span, State, words};
use crate::checker::hash::FastHash;

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
    records: u64,
    settled: Nanos,
}

/// The kinds of lines: the field that names them, those that they need, and those that they may have.
const KINDS: &[(&str, &[&str], &[&str])] = &[
    ("baseline", &["version"], &[]),
    ("commit", &["version", "began"], &["ended", "deleted", "digest", "window", "revokes"]),
    ("applied", &["version", "copy", "outcome", "at"], &[]),
    ("read", &["key", "copy", "began", "ended", "label", "path", "shows"], &["session", "bound", "token"]),
    ("subscribed", &["from"], &["kind"]),
    ("marked", &["upto", "at"], &["kind"]),
    ("epoch", &["at"], &[]),
    ("held", &["copy", "upto", "at"], &["version", "absent", "digest", "in_force"]),
    ("lease", &["until", "at"], &["kind"]),
    ("settled", &[], &[]),
    ("end", &[], &[]),
    ("tidings_history", &[], &[]),
];

/// A kind of line by its fields' bits.
struct Shape {
    name: &'static str,
    own: u64,
    needed: u64,
    allowed: u64,
}

/// Names that come again and again, so that each is kept once.
#[derive(Debug)]
struct Names {
    shapes: Shapes,
    entities: HashMap<Box<str>, Entity, FastHash>,
    words: HashMap<Box<str>, Arc<str>, FastHash>,
}

#[derive(Debug)]
struct Shapes(Vec<Shape>);

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

pub(super) fn unreadable(what: impl Into<String>) -> Error {
    Error::new(Code::HISTORY_UNREADABLE, what)
}

fn incomplete(what: impl Into<String>) -> Error {
    Error::new(Code::HISTORY_INCOMPLETE, what)
}

impl<R: BufRead> Reader<R> {
    /// Reads from here; the first line is looked at when the first record is asked for.
    pub fn new(from: R) -> Self {
        let names = Names { shapes: Shapes::new(), entities: HashMap::default(), words: HashMap::default() };
        let (buffer, shows) = (Vec::with_capacity(1024), Vec::new());
        let lines = Lines { from, buffer, shows, lines: 0, records: 0, settled: 0 };
        Self { lines, names, is_over: false }
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
        let said = match scan(&self.buffer, &mut self.shows) {
            Some(Scanned::Record(raw)) => {
                self.records += 1;
                check_times(raw.times(), self.settled)?;
                return Ok(Some(Heard::Raw(raw, InLine { line: &self.buffer, places: &self.shows })));
            }
            Some(Scanned::Settled(time)) => Some(Said::Settled(time)),
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
                check_times(record.raw().0.times(), self.settled)?;
                Ok(Some(Heard::Record(record)))
            }
        }
    }

    fn end(&mut self) -> Result<()> {
        if self.fill()? { Err(unreadable("something follows the end of the history")) } else { Ok(()) }
    }

    /// `None` is the end.
    fn parse(&self, names: &mut Names) -> Result<Option<Said>> {
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
        names.said(line, self.records)
    }

    /// The next line; false if there is none.
    fn fill(&mut self) -> Result<bool> {
        self.buffer.clear();
        let read = self.from.read_until(b'\n', &mut self.buffer);
        let read =
            read.map_err(|e| Error::new(Code::FILE_UNREADABLE, "reading the history failed").because(e))?;
        self.lines += u64::from(read > 0);
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

impl Shapes {
    fn new() -> Self {
        let bit = |name: &&str| 1_u64 << FIELDS.iter().position(|field| field == name).unwrap_or(63);
        let bits = |names: &[&str]| names.iter().map(bit).fold(0, |all, bit| all | bit);
        let shape = |(name, needed, more): &(&'static str, &[&str], &[&str])| {
            let (own, needed) = (bit(name), bits(needed));
            Shape { name, own, needed, allowed: own | needed | bits(more) }
        };
        Self(KINDS.iter().map(shape).collect())
    }

    /// The kind of a line with these fields.
    fn of(&self, present: u64) -> Result<&'static str> {
        let mut kinds = self.0.iter().filter(|shape| present & shape.own != 0);
        let Some(shape) = kinds.next() else {
            return Err(unreadable("no field says what kind of record this is"));
        };
        let name = |bits: u64| FIELDS.get(bits.trailing_zeros() as usize).copied().unwrap_or("?");
        if present & !shape.allowed != 0 {
            let field = name(present & !shape.allowed);
            return Err(unreadable(format!("a line of kind {:?} has no field {field:?}", shape.name)));
        }
        if shape.needed & !present != 0 {
            let field = name(shape.needed & !present);
            return Err(unreadable(format!("a line of kind {:?} needs the field {field:?}", shape.name)));
        }
        Ok(shape.name)
    }
}

/// Fields that a line of the kind is known to have.
fn must<T>(field: Option<T>) -> Result<T> {
    field.ok_or_else(|| unreadable("a field is missing"))
}

pub(super) fn digest(text: Option<&Text<'_>>) -> Result<Option<u64>> {
    let Some(Text(text)) = text else { return Ok(None) };
    let digest = u64::from_str_radix(text, 16).ok().filter(|_| !text.starts_with('+'));
    digest
        .map(Some)
        .ok_or_else(|| unreadable(format!("{text:?} is no digest: 1 to 16 hexadecimal digits are")))
}

fn span(nanos: Option<u64>) -> Option<Duration> {
    nanos.map(Duration::from_nanos)
}

impl Names {
    /// `None` is the end.
    fn said(&mut self, line: Line<'_>, records: u64) -> Result<Option<Said>> {
        let kind = self.shapes.of(line.present())?;
        let number = |field: &Option<super::line::Owned<'_, u64>>| field.as_ref().map(|number| number.0);
        let record = match kind {
            "end" => {
                let said = must(number(&line.end))?;
                if said != records {
                    let what = format!("the history had {said} records, and {records} are here");
                    return Err(incomplete(what));
                }
                return Ok(None);
            }
            "settled" => return Ok(Some(Said::Settled(must(number(&line.settled))?))),
            "tidings_history" => return Err(unreadable("a history begins in the middle of another")),
            "baseline" => Record::Baseline {
                entity: self.entity(&must(line.baseline)?)?,
                stamp: must(line.version)?.0.0,
            },
            "commit" => Record::Commit(self.commit(line)?),
            "applied" => Record::Applied(Applied {
                entity: self.entity(&must(line.applied)?)?,
                stamp: must(line.version)?.0.0,
                copy: self.word(&must(line.copy)?),
                outcome: known(&must(line.outcome)?, words::to_outcome, "outcome")?,
                at: must(line.at)?.0,
            }),
            "read" => Record::Read(self.read(line)?),
            "held" => {
                let at = must(line.at)?.0;
                let version = line.version.map(|version| version.0);
                let absent = line.absent.is_some_and(|absent| absent.0);
                let in_force = line.in_force.map(|in_force| in_force.0);
                let held = Shows { entity: must(line.held)?, version, absent, digest: line.digest, in_force };
                let shown = self.shown(&held)?;
                Record::Held { copy: self.word(&must(line.copy)?), shown, upto: must(line.upto)?.0, at }
            }
            _ => self.word_of_copy(line)?,
        };
        Ok(Some(Said::Record(record)))
    }

    fn word_of_copy(&mut self, line: Line<'_>) -> Result<Record> {
        let at = line.at.map(|at| at.0);
        let kind = line.kind.map(|kind| self.word(&kind));
        if let Some(copy) = line.subscribed {
            return Ok(Record::Subscribed { copy: self.word(&copy), kind, from: must(line.from)?.0 });
        }
        if let Some(copy) = line.marked {
            let (upto, at) = (must(line.upto)?.0, must(at)?);
            return Ok(Record::Marked { copy: self.word(&copy), kind, upto, at });
        }
        if let Some(copy) = line.lease {
            let (until, at) = (must(line.until)?.0, must(at)?);
            return Ok(Record::Lease { copy: self.word(&copy), kind, until, at });
        }
        Ok(Record::Epoch { copy: self.word(&must(line.epoch)?), at: must(at)? })
    }

    fn commit(&mut self, line: Line<'_>) -> Result<Commit> {
        let window = line.window.map(|window| window.0).map(|[from, until]| Span { from, until });
        if let Some(Span { from, until }) = window.filter(|window| window.until < window.from) {
            return Err(unreadable(format!("the window ends at {until}, before it begins at {from}")));
        }
        Ok(Commit {
            entity: self.entity(&must(line.commit)?)?,
            stamp: must(line.version)?.0.0,
            began: must(line.began)?.0,
            ended: line.ended.map(|ended| ended.0),
            deleted: line.deleted.is_some_and(|deleted| deleted.0),
            digest: digest(line.digest.as_ref())?,
            window,
            revokes: span(line.revokes.map(|revokes| revokes.0)),
        })
    }

    fn read(&mut self, line: Line<'_>) -> Result<Read> {
        let shows = must(line.shows)?;
        let shows: Result<Vec<_>> = shows.iter().map(|Object(shows)| self.shown(shows)).collect();
        let token = line.token.map(|Object(token)| self.token(&token)).transpose()?;
        Ok(Read {
            copy: self.word(&must(line.copy)?),
            session: line.session.map_or(0, |session| session.0),
            view: self.word(&must(line.read)?),
            key: must(line.key)?.0.as_ref().into(),
            shows: shows?,
            token,
            began: must(line.began)?.0,
            ended: must(line.ended)?.0,
            freshness: known(&must(line.label)?, words::to_label, "label")?,
            path: known(&must(line.path)?, words::to_path, "path")?,
            bound: span(line.bound.map(|bound| bound.0)),
        })
    }

    fn shown(&mut self, shows: &Shows<'_>) -> Result<Shown> {
        let entity = self.entity(&shows.entity)?;
        let digest = digest(shows.digest.as_ref())?;
        let in_force = shows.in_force.map(|in_force| in_force.0);
        let state = match (&shows.version, shows.absent) {
            (Some(version), false) => State::At { stamp: version.0, digest, in_force },
            (None, true) if digest.is_none() && in_force.is_none() => State::Absent,
            (None, false) => return Err(unreadable(format!("{entity} needs a version, or \"absent\":true"))),
            _ => {
                return Err(unreadable(format!(
                    "{entity} is absent, and has a version or content all the same"
                )));
            }
        };
        Ok(Shown { entity, state })
    }

    fn token(&mut self, token: &Shows<'_>) -> Result<(Entity, Stamp)> {
        let Shows { entity, version: Some(version), absent: false, digest: None, in_force: None } = token
        else {
            return Err(unreadable("a token is an entity and a version, and nothing else"));
        };
        Ok((self.entity(entity)?, version.0))
    }

    fn record(&mut self, raw: Raw<&str, &str>, shows: InLine<'_>) -> Result<Record> {
        Ok(match raw {
            Raw::Baseline { entity, stamp } => Record::Baseline { entity: self.own(entity)?, stamp },
            Raw::Commit(commit) => {
                let RawCommit { entity, stamp, began, ended, deleted, digest, window, revokes } = commit;
                let entity = self.own(entity)?;
                Record::Commit(Commit { entity, stamp, began, ended, deleted, digest, window, revokes })
            }
            Raw::Applied { copy, entity, stamp, outcome, at } => {
                let (copy, entity) = (self.own_word(copy), self.own(entity)?);
                Record::Applied(Applied { copy, entity, stamp, outcome, at })
            }
            Raw::Read(read) => {
                let RawRead { copy, session, view, key, token, .. } = read;
                let shows =
                    shows.iter().map(|(entity, state)| Ok(Shown { entity: self.own(entity)?, state }));
                let shows = shows.collect::<Result<_>>()?;
                let token = token.map(|(entity, stamp)| Ok((self.own(entity)?, stamp))).transpose()?;
                let (copy, view, key) = (self.own_word(copy), self.own_word(view), key.into());
                let RawRead { began, ended, freshness, path, bound, .. } = read;
                Record::Read(Read {
                    copy,
                    session,
                    view,
                    key,
                    shows,
                    token,
                    began,
                    ended,
                    freshness,
                    path,
                    bound,
                })
            }
            Raw::Subscribed { copy, kind, from } => {
                let (copy, kind) = (self.own_word(copy), kind.map(|kind| self.own_word(kind)));
                Record::Subscribed { copy, kind, from }
            }
            Raw::Marked { copy, kind, upto, at } => {
                let (copy, kind) = (self.own_word(copy), kind.map(|kind| self.own_word(kind)));
                Record::Marked { copy, kind, upto, at }
            }
            Raw::Epoch { copy, at } => Record::Epoch { copy: self.own_word(copy), at },
            Raw::Held { copy, entity, state, upto, at } => {
                let shown = Shown { entity: self.own(entity)?, state };
                Record::Held { copy: self.own_word(copy), shown, upto, at }
            }
            Raw::Lease { copy, kind, until, at } => {
                let (copy, kind) = (self.own_word(copy), kind.map(|kind| self.own_word(kind)));
                Record::Lease { copy, kind, until, at }
            }
        })
    }

    fn entity(&mut self, Text(text): &Text<'_>) -> Result<Entity> {
        self.own(text)
    }

    fn word(&mut self, Text(text): &Text<'_>) -> Arc<str> {
        self.own_word(text)
    }

    fn own(&mut self, text: &str) -> Result<Entity> {
        if let Some(entity) = self.entities.get(text) {
            return Ok(entity.clone());
        }
        let entity: Entity = text.own()?;
        self.entities.insert(text.into(), entity.clone());
        Ok(entity)
    }

    fn own_word(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.words.get(text) {
            return word.clone();
        }
        let word: Arc<str> = text.into();
        self.words.insert(text.into(), word.clone());
        word
    }
}

fn known<T>(Text(text): &Text<'_>, value: impl Fn(&str) -> Option<T>, what: &str) -> Result<T> {
    value(text).ok_or_else(|| unreadable(format!("the {what} {text:?} is unknown")))
}
