//! Loaders: what a service's own code does on a miss. They read the source, or a replica of it that lags, take their
//! time, fail at times, and declare what they read.

use std::sync::Arc;

use tidings::{BoxError, Fill, Loaded};
use tidings_testkit::history::{Nanos, State};
use tidings_testkit::judge::Shown;

use super::draw::{LAG, Shape, Spec};
use super::link::{Call, Link};
use super::names::{BARE, Family, REGION, SECOND, WINDOWED};
use super::stage::{ms, wall_at};
use super::truth::Row;
use crate::fault::Fault;
use crate::mutant::Mutant;

/// What views hold.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) shows: Vec<Shown>,
}

/// The loader of one view of one host.
#[derive(Clone)]
pub(super) struct Loader {
    pub(super) link: Arc<Link>,
    pub(super) spec: Spec,
}

impl Loader {
    /// The load of `key`. What it read before it was asked to, if that guard is left out, is `early`.
    pub(super) async fn load(
        self,
        key: u32,
        fill: Fill,
        early: Option<Answered>,
    ) -> Result<Loaded<Answer>, BoxError> {
        self.link.enter(Call::Load).await?;
        if self.link.stage.strikes_often(Fault::SlowSource) {
            let longest = if self.link.stage.below(4) == 3 { 600 } else { 150 };
            self.link.stage.sleep_below(longest).await;
            if self.link.stage.below(3) == 2 {
                return Err("the source failed".into());
            }
        }
        let answered = match early {
            Some(answered) => answered,
            None => self.read_all(key, Some(&fill)).await,
        };
        answered.declare(&self, &fill);
        self.link.stage.nap().await;
        self.link.stand().await;
        let version = answered.version();
        Ok(match (answered.value(), version) {
            (None, _) => Loaded::absent(),
            (Some(value), Some(version)) => Loaded::new(version, value),
            (Some(value), None) => Loaded::unversioned(value),
        })
    }

    /// Reads everything that the answer shows, one after the other.
    pub(super) async fn read_all(&self, key: u32, fill: Option<&Fill>) -> Answered {
        let mut parts: Vec<Part> = Vec::with_capacity(2);
        for entity in entities(self.spec.shape, key) {
            // A listing is one query: all of it is of one moment.
            let part = match parts.last().filter(|_| self.spec.shape == Shape::Listing) {
                Some(first) => self.part(*entity, first.seen_at, first.lags),
                None => self.read(*entity, fill).await,
            };
            parts.push(part);
        }
        let boundary = (self.spec.shape == Shape::Windowed).then(|| self.in_force(&mut parts)).flatten();
        Answered { parts, boundary }
    }

    async fn read(&self, entity: u32, fill: Option<&Fill>) -> Part {
        let stage = &self.link.stage;
        stage.nap().await;
        let lag = if stage.strikes_often(Fault::LaggingRead) { 1 + stage.below(LAG) } else { 0 };
        let seen_at = stage.now().saturating_sub(u64::from(lag) * 1_000_000);
        if lag > 0
            && let Some(fill) = fill
            && self.is_below(entity, seen_at, fill)
            && stage.below(2) == 1
        {
            // The replica lacks what is known to exist: the primary has it.
            return self.part(entity, stage.now(), false);
        }
        self.part(entity, seen_at, lag > 0)
    }

    /// What is found of the entity by whoever sees the state of this moment.
    fn part(&self, entity: u32, seen_at: Nanos, lags: bool) -> Part {
        let stage = &self.link.stage;
        let row = self.look(entity, seen_at);
        stage.step(self.link.who, 0x300 + u64::from(entity), || {
            let found = row.map_or("nothing".to_owned(), |row| format!("version {}", row.stamp));
            let lagging = if lags { format!(", as of {:.3} ms", ms(seen_at)) } else { String::new() };
            format!("loads entity {entity}: {found}{lagging}")
        });
        let state = row.map_or(State::Absent, |row| row.shown());
        Part { shown: Shown { entity, state }, row, seen_at, lags }
    }

    fn look(&self, entity: u32, at: Nanos) -> Option<Row> {
        self.link.stage.with(|book| book.truth.read(entity, at))
    }

    fn is_below(&self, entity: u32, at: Nanos, fill: &Fill) -> bool {
        let Some(named) = self.link.stage.names.entity(entity) else { return false };
        let floor = fill.floor(named.kind(), named.id());
        floor.is_some_and(|floor| self.look(entity, at).is_none_or(|row| row.stamp < floor))
    }

    /// What is in force of the one entity shown, and until when.
    fn in_force(&self, parts: &mut [Part]) -> Option<Nanos> {
        let [part] = parts else { return None };
        let row = part.row?;
        let stage = &self.link.stage;
        let now = stage.now();
        let (holds, boundary) = stage.with(|book| book.truth.in_force(part.shown.entity, &row, now));
        if let State::At { in_force, .. } = &mut part.shown.state {
            *in_force = Some(holds);
        }
        boundary
    }
}

/// What was read of one entity.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) shown: Shown,
    row: Option<Row>,
    seen_at: Nanos,
    lags: bool,
}

/// What a load has read.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    parts: Vec<Part>,
    /// The answer may be another from here on.
    boundary: Option<Nanos>,
}

impl Answered {
    /// Only one entity is shown, and it is not there.
    fn is_absent(&self) -> bool {
        matches!(self.parts.as_slice(), [Part { shown: Shown { state: State::Absent, .. }, .. }])
    }

    fn value(&self) -> Option<Answer> {
        let shows = || self.parts.iter().map(|part| part.shown).collect();
        (!self.is_absent()).then(|| Answer { shows: shows() })
    }

    fn version(&self) -> Option<tidings::Version> {
        match self.parts.as_slice() {
            [Part { row: Some(row), shown, .. }] if shown.entity != BARE => Some(row.stamp.version),
            _ => None,
        }
    }

    fn declare(&self, loader: &Loader, fill: &Fill) {
        let stage = &loader.link.stage;
        for (place, part) in self.parts.iter().enumerate() {
            if place > 0 && stage.lacks(Mutant::DriverDependency) {
                continue;
            }
            let Some(entity) = stage.names.entity(part.shown.entity) else { continue };
            let bare = stage.names.family(part.shown.entity) == Family::Bare;
            let (kind, id) = (entity.kind(), entity.id());
            match part.row {
                _ if loader.spec.shape == Shape::Listing => fill.depends_on_region(REGION.0, REGION.1),
                Some(row) if !bare => fill.depends_at(kind, id, row.stamp),
                _ => fill.depends_unversioned(kind, id),
            }
            self.date(loader, fill, part);
        }
        if let Some(boundary) = self.boundary
            && !stage.lacks(Mutant::DriverValidUntil)
        {
            fill.valid_until(wall_at(boundary));
        }
    }

    /// Says how old the state is that was read, unless all of them are the present.
    fn date(&self, loader: &Loader, fill: &Fill, part: &Part) {
        let stage = &loader.link.stage;
        if !self.parts.iter().any(|part| part.lags) || stage.lacks(Mutant::DriverAsOf) {
            return;
        }
        if stage.lacks(Mutant::DriverInStep) {
            fill.in_step();
        }
        fill.as_of(wall_at(part.seen_at));
    }
}

/// The entities that this key of a view of this shape shows.
pub(super) fn entities(shape: Shape, key: u32) -> &'static [u32] {
    match shape {
        Shape::Item if key == SECOND => &[1],
        Shape::Item => &[0],
        Shape::Pair | Shape::Listing => &[0, 1],
        Shape::Bare => &[BARE],
        Shape::Mixed => &[0, BARE],
        Shape::Windowed => &[WINDOWED],
    }
}
