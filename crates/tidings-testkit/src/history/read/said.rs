//! From a line's fields to the record that they are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Entity, Result, Stamp};

use super::super::line::{Line, Object, Owned, Shows, Text};
use super::super::raw::{Name, Raw, RawCommit, RawRead};
use super::super::running::Running;
use super::super::{Applied, Commit, Read, Record, Shown, Span, State, words};
use super::shape::Shapes;
use super::{InLine, Said, incomplete, unreadable};
use crate::checker::hash::FastHash;

/// Names that come again and again, so that each is kept once.
#[derive(Debug, Default)]
pub(super) struct Names {
    shapes: Shapes,
    entities: HashMap<Box<str>, Entity, FastHash>,
    words: HashMap<Box<str>, Arc<str>, FastHash>,
}

const ALTERED: &str = "the lines above are not those that were written: one is changed, lost, doubled or misplaced; \
    whoever changed it on purpose takes the digest out of this line";

/// Fields that a line of the kind is known to have.
fn must<T>(field: Option<T>) -> Result<T> {
    field.ok_or_else(|| unreadable("a field is missing"))
}

pub(in crate::history) fn digest(text: Option<&Text<'_>>) -> Result<Option<u64>> {
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
    pub(super) fn said(&mut self, line: Line<'_>, records: u64, running: Running) -> Result<Option<Said>> {
        let kind = self.shapes.of(line.present())?;
        let number = |field: &Option<Owned<'_, u64>>| field.as_ref().map(|number| number.0);
        let record = match kind {
            "end" => {
                let said = must(number(&line.end))?;
                if said != records {
                    let what = format!("the history had {said} records, and {records} are here");
                    return Err(incomplete(what));
                }
                if digest(line.digest.as_ref())?.is_some_and(|digest| digest != running.digest()) {
                    return Err(unreadable(ALTERED));
                }
                return Ok(None);
            }
            "settled" => return Ok(Some(Said::Settled(must(number(&line.settled))?))),
            "tidings_history" => return Err(unreadable("a history begins in the middle of another")),
            "baseline" => Record::Baseline {
                entity: self.entity(&must(line.baseline)?)?,
                stamp: must(line.version)?.0.0,
                deleted: line.deleted.is_some_and(|deleted| deleted.0),
                digest: digest(line.digest.as_ref())?,
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

    pub(super) fn record(&mut self, raw: Raw<&str, &str>, shows: InLine<'_>) -> Result<Record> {
        Ok(match raw {
            Raw::Baseline { entity, stamp, deleted, digest } => {
                Record::Baseline { entity: self.own(entity)?, stamp, deleted, digest }
            }
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
