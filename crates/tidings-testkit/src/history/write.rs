//! Writing a history to a file.

use std::io::Write;
use std::time::Duration;

use tidings_core::{Code, Entity, Error, Result, Stamp, Timeline};

use super::running::Running;
use super::{Applied, Commit, InForce, Nanos, Read, Record, Shown, State, words};

/// So much is collected before it is written.
const ROOM: usize = 64 * 1024;

/// Writes a history, line by line. Without [`Writer::finish`] the history is not complete, and no reader accepts it.
#[derive(Debug)]
pub struct Writer<W: Write> {
    to: W,
    line: Lines,
    /// Where the line under way begins among those that are not written yet.
    begins: usize,
    running: Running,
    records: u64,
    settled: Nanos,
}

/// Lines that are not written yet.
#[derive(Debug)]
struct Lines(Vec<u8>);

impl<W: Write> Writer<W> {
    /// Begins a history.
    ///
    /// # Errors
    /// What the disk says.
    pub fn new(to: W) -> Result<Self> {
        let line = Lines(Vec::with_capacity(ROOM + 1024));
        let mut writer = Self { to, line, begins: 0, running: Running::default(), records: 0, settled: 0 };
        writer.line.open("tidings_history").number(words::FORMAT);
        writer.end_line()?;
        Ok(writer)
    }

    /// Adds a record. Of what ended before the last settled time the line says that it comes too late: the history can
    /// be judged, and is not clean.
    ///
    /// # Errors
    /// What the disk says.
    pub fn record(&mut self, record: &Record) -> Result<()> {
        let line = &mut self.line;
        match record {
            Record::Baseline { entity, stamp, deleted, digest } => {
                line.open("baseline").text(entity.as_str()).version(*stamp).deleted(*deleted).digest(*digest);
            }
            Record::Commit(commit) => line.commit(commit),
            Record::Applied(Applied { copy, entity, stamp, outcome, at }) => {
                line.open("applied").text(entity.as_str()).version(*stamp);
                line.field("copy").text(copy);
                line.field("outcome").text(words::outcome(*outcome)).field("at").number(*at);
            }
            Record::Read(read) => line.read(read),
            Record::Subscribed { copy, kind, from } => {
                line.open("subscribed").text(copy).kind(kind.as_deref()).field("from").number(*from);
            }
            Record::Marked { copy, kind, upto, at } => {
                line.open("marked").text(copy).kind(kind.as_deref()).field("upto").number(*upto);
                line.field("at").number(*at);
            }
            Record::Epoch { copy, at } => {
                line.open("epoch").text(copy).field("at").number(*at);
            }
            Record::Held { copy, shown, upto, at } => {
                line.open("held").text(shown.entity.as_str()).state(shown.state);
                line.field("copy").text(copy).field("upto").number(*upto).field("at").number(*at);
            }
            Record::Lease { copy, kind, until, at } => {
                line.open("lease").text(copy).kind(kind.as_deref()).field("until").number(*until);
                line.field("at").number(*at);
            }
        }
        if record.raw().0.times().is_some_and(|(_, ended)| ended < self.settled) {
            self.line.field("late").raw("true");
        }
        self.records += 1;
        self.end_line()
    }

    /// The writer's word that the records of everything that ended before this time are above.
    ///
    /// # Errors
    /// What the disk says.
    pub fn settled(&mut self, time: Nanos) -> Result<()> {
        self.settled = self.settled.max(time);
        self.line.open("settled").number(time);
        self.end_line()
    }

    /// Hands on everything that was added, for a reader that does not wait for the end.
    ///
    /// # Errors
    /// What the disk says.
    pub fn flush(&mut self) -> Result<()> {
        self.write_out()?;
        self.to.flush().map_err(failed)
    }

    /// Ends the history.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(mut self) -> Result<W> {
        self.line.open("end").number(self.records).digest(Some(self.running.digest()));
        self.end_line()?;
        self.write_out()?;
        self.to.flush().map_err(failed)?;
        Ok(self.to)
    }

    fn end_line(&mut self) -> Result<()> {
        self.line.0.extend_from_slice(b"}\n");
        self.running.line(self.line.0.get(self.begins..).unwrap_or_default());
        self.begins = self.line.0.len();
        if self.line.0.len() >= ROOM { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<()> {
        self.to.write_all(&self.line.0).map_err(failed)?;
        self.line.0.clear();
        self.begins = 0;
        Ok(())
    }
}

fn failed(error: std::io::Error) -> Error {
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull => Code::DISK_FULL,
        std::io::ErrorKind::PermissionDenied => Code::READ_ONLY,
        _ => Code::DISK_FAILED,
    };
    Error::new(code, "the history could not be written").because(error)
}

impl Lines {
    fn commit(&mut self, commit: &Commit) {
        let Commit { entity, stamp, began, ended, deleted, digest, window, revokes } = commit;
        self.open("commit").text(entity.as_str()).version(*stamp).field("began").number(*began);
        if let Some(ended) = ended {
            self.field("ended").number(*ended);
        }
        self.deleted(*deleted).digest(*digest);
        if let Some(window) = window {
            self.field("window").raw("[").number(window.from).raw(",").number(window.until).raw("]");
        }
        self.span("revokes", *revokes);
    }

    fn read(&mut self, read: &Read) {
        self.open("read").text(&read.view).field("key").text(&read.key).field("copy").text(&read.copy);
        if read.session != 0 {
            self.field("session").number(read.session);
        }
        self.field("began").number(read.began).field("ended").number(read.ended);
        self.field("label").raw("\"");
        let (word, age) = words::label(read.freshness);
        self.raw(word);
        if let Some(age) = age {
            self.number(nanos(age));
        }
        self.raw("\"").field("path").text(words::path(read.path));
        self.span("bound", read.bound);
        if let Some((entity, stamp)) = &read.token {
            self.field("token").entity(entity).version(*stamp).raw("}");
        }
        self.field("shows").raw("[");
        for (at, Shown { entity, state }) in read.shows.iter().enumerate() {
            self.raw(if at > 0 { "," } else { "" }).entity(entity).state(*state).raw("}");
        }
        self.raw("]");
    }

    fn open(&mut self, name: &str) -> &mut Self {
        self.raw("{\"").raw(name).raw("\":")
    }

    fn field(&mut self, name: &str) -> &mut Self {
        self.raw(",\"").raw(name).raw("\":")
    }

    fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            return self.raw("\"").raw(text).raw("\"");
        }
        self.raw(&serde_json::Value::from(text).to_string())
    }

    fn number(&mut self, mut number: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        while let Some(digit) = at.checked_sub(1).and_then(|before| digits.get_mut(before)) {
            *digit = b'0' + (number % 10) as u8;
            at -= 1;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.0.extend_from_slice(digits.get(at..).unwrap_or_default());
        self
    }

    fn entity(&mut self, entity: &Entity) -> &mut Self {
        self.open("entity").text(entity.as_str())
    }

    fn stamp(&mut self, stamp: Stamp) -> &mut Self {
        match stamp.timeline {
            Timeline(0) => self.number(stamp.version.number()),
            Timeline(timeline) => {
                self.raw("\"").number(u64::from(timeline)).raw(":").number(stamp.version.number()).raw("\"")
            }
        }
    }

    fn version(&mut self, stamp: Stamp) -> &mut Self {
        self.field("version").stamp(stamp)
    }

    fn state(&mut self, state: State) -> &mut Self {
        let State::At { stamp, digest, in_force } = state else { return self.field("absent").raw("true") };
        self.version(stamp).digest(digest);
        match in_force {
            None => self,
            Some(InForce::Nothing) => self.field("in_force").text("nothing"),
            Some(InForce::Version(stamp)) => self.field("in_force").stamp(stamp),
        }
    }

    fn deleted(&mut self, deleted: bool) -> &mut Self {
        if deleted { self.field("deleted").raw("true") } else { self }
    }

    /// As text: many programs read numbers of this size wrongly.
    fn digest(&mut self, digest: Option<u64>) {
        if let Some(digest) = digest {
            self.field("digest").raw(&format!("\"{digest:016x}\""));
        }
    }

    fn kind(&mut self, kind: Option<&str>) -> &mut Self {
        if let Some(kind) = kind {
            self.field("kind").text(kind);
        }
        self
    }

    fn span(&mut self, name: &str, span: Option<Duration>) {
        if let Some(span) = span {
            self.field(name).number(nanos(span));
        }
    }
}

fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(Nanos::MAX)
}
