//! Whoever reads: through views, with sessions and tokens, past every cache, and from the projection.

use std::sync::Arc;

use tidings::{Cached, Direct, Error, Fill, Freshness, Path, Result, Stamp};
use tidings_testkit::history::{Nanos, State};
use tidings_testkit::judge::{Read, Shown};

use super::draw::{Draw, LAG, Shape, Spec};
use super::group::Group;
use super::host::{Host, Process};
use super::load::{Answer, Answered, entities};
use super::names::{BARE, FIRST, SECOND};
use super::stage::{Stage, Who, nanos_at, wall_at};
use crate::mutant::Mutant;
use crate::tally::Sometimes;

/// One reader.
pub(super) struct Reader {
    pub(super) stage: Arc<Stage>,
    pub(super) number: u32,
    pub(super) hosts: Vec<Arc<Host>>,
    pub(super) group: Option<Arc<Group>>,
}

/// Whose reads they are, and where.
struct Session {
    number: u32,
    process: Arc<Process>,
}

/// One read of one view.
struct Ask {
    place: usize,
    key: u32,
    token: Option<(u32, Stamp)>,
}

impl Reader {
    fn who(&self) -> Who {
        Who::Reader(self.number)
    }

    /// Reads as often as the history says.
    pub(super) async fn run(self) {
        let home = self.stage.below(self.stage.draw.hosts);
        let only = self.hosts.is_empty();
        let mut session: Option<Session> = None;
        for _ in 0..self.stage.draw.reads {
            self.stage.sleep_below(self.stage.draw.span).await;
            if let Some(group) = &self.group
                && (only || self.stage.below(5) == 4)
            {
                self.read_projection(group);
                continue;
            }
            let Some(host) = self.hosts.get(home as usize) else { continue };
            host.link.stand().await;
            let Some(process) = host.process() else {
                session = None;
                continue;
            };
            if session.as_ref().is_none_or(|session| !Arc::ptr_eq(&session.process, &process)) {
                session = Some(Session { number: self.stage.new_session(), process: process.clone() });
            }
            if let Some(session) = &session {
                self.read(session).await;
            }
        }
    }

    async fn read(&self, session: &Session) {
        let place = self.stage.below(u32::try_from(session.process.views.len()).unwrap_or(1)) as usize;
        let Some(spec) = self.stage.draw.specs.get(place) else { return };
        let key = if spec.shape == Shape::Item { self.stage.below(2) } else { FIRST };
        let kind = self.stage.below(8);
        let token = (kind >= 6).then(|| self.token(spec.shape, key)).flatten();
        let ask = Ask { place, key, token };
        match kind {
            5 => self.read_directly(session, &ask).await,
            _ => self.read_view(session, &ask, kind).await,
        }
    }

    /// The version of an entity shown there that somebody was told of, as if the reader had written it.
    fn token(&self, shape: Shape, key: u32) -> Option<(u32, Stamp)> {
        let entity = entities(shape, key).first().copied()?;
        let row = self.stage.with(|book| book.truth.acknowledged(entity))?;
        Some((entity, row.stamp))
    }

    async fn read_view(&self, session: &Session, ask: &Ask, kind: u32) {
        let process = &session.process;
        let began = self.stage.step(self.who(), 0x700 + u64::from(ask.key), || {
            let token = ask
                .token
                .map_or(String::new(), |(entity, stamp)| format!(", entity {entity} at {stamp} or later"));
            format!("asks copy {} for key {} of view {}{token}", process.copy, ask.key, ask.place)
        });
        // Some callers do not wait for long, and leave others waiting for their load.
        let patience = if kind == 2 { Some(1 + self.stage.below(25)) } else { None };
        let answer = tokio::select! {
            biased;
            () = process.killed.notified() => return,
            answer = self.ask(process, ask, kind) => answer,
            () = self.stage.sleep(patience.unwrap_or_default()), if patience.is_some() => {
                self.stage.step(self.who(), 0x702, || "waits no longer".to_owned());
                return;
            }
        };
        match answer {
            Some(Ok(hit)) => self.record(session, ask, began, &hit),
            Some(Err(error)) => {
                self.stage.happened(Sometimes::Refused);
                self.stage.step(self.who(), 0x701, || format!("is refused: {error}"));
            }
            None => {}
        }
    }

    async fn ask(&self, process: &Process, ask: &Ask, kind: u32) -> Option<Result<Cached<Answer>>> {
        let view = process.views.get(ask.place)?;
        let loader = process.loaders.get(ask.place)?;
        let names = &self.stage.names;
        if kind == 4 && ask.token.is_none() {
            return view.cached(&ask.key).map(Ok);
        }
        let mut early: Option<Answered> = None;
        if self.stage.lacks(Mutant::TicketBeforeRead) {
            early = Some(loader.read_all(ask.key, None).await);
            self.stage.sleep_below(LAG).await;
        }
        let load = |fill: Fill| loader.clone().load(ask.key, fill, early.clone());
        let token = ask.token.and_then(|(number, stamp)| Some((names.entity(number)?, stamp)));
        Some(match token {
            Some(token) if !self.stage.lacks(Mutant::DriverToken) => {
                view.get_at_least(&ask.key, token, load).await
            }
            _ if kind == 3 => view.read(&ask.key).await,
            _ => view.get(&ask.key, load).await,
        })
    }

    fn record(&self, session: &Session, ask: &Ask, began: Nanos, hit: &Cached<Answer>) {
        let stage = &self.stage;
        let Some(spec) = stage.draw.specs.get(ask.place) else { return };
        let absent = [Shown {
            entity: entities(spec.shape, ask.key).first().copied().unwrap_or(FIRST),
            state: State::Absent,
        }];
        let shows = hit.value().map_or(absent.as_slice(), |answer| &answer.shows);
        let certificate = hit.certificate();
        let ended = stage.step(self.who(), 0x710 + shows.iter().map(weight).sum::<u64>(), || {
            format!("is told {}: {} ({:?})", told(shows), certificate.freshness, certificate.path)
        });
        self.tally(hit, ask);
        let process = &session.process;
        let answer = Read {
            copy: process.copy,
            session: if claims_nothing(certificate.freshness) { 0 } else { session.number },
            token: ask.token,
            began,
            ended,
            freshness: certificate.freshness,
            path: certificate.path,
            bound: process.views.get(ask.place).map(tidings::View::bound),
        };
        stage.with(|book| book.tally.reads += 1);
        judge(stage, spec, answer, shows);
    }

    fn tally(&self, hit: &Cached<Answer>, ask: &Ask) {
        let certificate = hit.certificate();
        let stage = &self.stage;
        match (certificate.path, certificate.freshness) {
            (_, Freshness::Stale(_)) => stage.happened(Sometimes::LabelledStale),
            (_, Freshness::Unverified) => stage.happened(Sometimes::LabelledUnverified),
            (Path::L1, _) => stage.happened(Sometimes::Hit),
            (Path::Source, _) => stage.happened(Sometimes::Kept),
            _ => {}
        }
        if ask.token.is_some() && certificate.path != Path::L1 {
            stage.happened(Sometimes::TokenMissed);
        }
        if hit.value().is_none() {
            stage.happened(Sometimes::Absent);
        }
    }

    /// Past every cache.
    async fn read_directly(&self, session: &Session, ask: &Ask) {
        let stage = &self.stage;
        let Some(spec) = stage.draw.specs.get(ask.place) else { return };
        let Some(entity) = entities(spec.shape, ask.key).first().copied() else { return };
        let began = stage.step(self.who(), 0x720, || format!("reads entity {entity} directly"));
        let read = async || {
            stage.nap().await;
            Ok::<_, Error>(stage.with(|book| book.truth.read(entity, stage.now())))
        };
        let Ok(row) = Direct::read(read).await else { return };
        let state = row.value().as_ref().map_or(State::Absent, super::truth::Row::shown);
        let shows = [Shown { entity, state }];
        let ended = stage.step(self.who(), 0x721 + weight(&shows[0]), || format!("reads {}", told(&shows)));
        let read = Read {
            copy: session.process.copy,
            session: 0,
            token: None,
            began,
            ended,
            freshness: Freshness::Direct,
            path: Path::SourceUnkept,
            bound: None,
        };
        stage.with(|book| {
            book.tally.reads += 1;
            book.judge.read(read, &shows);
        });
    }

    /// What the projection says, no older than its marks.
    fn read_projection(&self, group: &Group) {
        let stage = &self.stage;
        let entity = [FIRST, SECOND, BARE][stage.below(3) as usize % 3];
        let began = stage.step(self.who(), 0x730, || format!("asks the projection for entity {entity}"));
        let Some(shown) = group.shelf.look(entity) else { return };
        let known = group.shelf.caught_up();
        let freshness = known.map_or(Freshness::Unverified, |known| {
            Freshness::Within(wall_at(began).since(wall_at(nanos_at(known))))
        });
        let shows = [shown];
        let ended = stage
            .step(self.who(), 0x731 + weight(&shows[0]), || format!("is told {}: {freshness}", told(&shows)));
        let read = Read {
            copy: group.shelf.copy(),
            session: 0,
            token: None,
            began,
            ended,
            freshness,
            path: Path::L1,
            bound: None,
        };
        stage.with(|book| {
            book.tally.reads += 1;
            book.judge.read(read, &shows);
        });
    }
}

/// Hands an answer to the judge: what nobody can keep an order of, apart from the rest.
pub(super) fn judge(stage: &Stage, spec: &Spec, read: Read, shows: &[Shown]) {
    let [mut ordered, mut loose] = [const { Vec::new() }; 2];
    for shown in shows {
        if is_loose(&stage.draw, spec, shown) { &mut loose } else { &mut ordered }.push(*shown);
    }
    let token_in =
        |shows: &[Shown]| read.token.filter(|(entity, _)| shows.iter().any(|shown| shown.entity == *entity));
    if !ordered.is_empty() {
        let read = Read { token: token_in(&ordered), ..read };
        stage.with(|book| book.judge.read(read, &ordered));
    }
    if !loose.is_empty() {
        let read = Read { copy: stage.stranger(), session: 0, token: token_in(&loose), ..read };
        stage.with(|book| book.judge.read(read, &loose));
    }
}

/// Whether nobody can keep an order of answers that show this: it was read without a version, and another view, another
/// key or the one before it was dropped has shown it too; or no view teaches the others, since none hears marks. They are
/// judged for truth all the same.
fn is_loose(draw: &Draw, spec: &Spec, shown: &Shown) -> bool {
    let is_bare = spec.shape == Shape::Listing || shown.entity == BARE;
    let shows = |spec: &&Spec| {
        [FIRST, SECOND].into_iter().any(|key| entities(spec.shape, key).contains(&shown.entity))
    };
    let is_shared = || draw.specs.iter().filter(shows).count() > 1;
    is_bare && is_shared() || !draw.specs.iter().any(|spec| spec.heard)
}

/// A session is not held to answers that say themselves that they may be anything.
const fn claims_nothing(freshness: Freshness) -> bool {
    matches!(freshness, Freshness::Stale(_) | Freshness::Unverified)
}

pub(super) fn told(shows: &[Shown]) -> String {
    let one = |shown: &Shown| match shown.state {
        State::At { stamp, in_force: None, .. } => format!("entity {} at version {stamp}", shown.entity),
        State::At { stamp, in_force: Some(holds), .. } => {
            format!("entity {} at version {stamp}, in force {holds:?}", shown.entity)
        }
        State::Absent => format!("entity {} absent", shown.entity),
    };
    shows.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A number that differs with what is shown, for the trace.
pub(super) fn weight(shown: &Shown) -> u64 {
    match shown.state {
        State::At { stamp, .. } => {
            (u64::from(stamp.timeline.0) << 12 | stamp.version.number()) << 4 | u64::from(shown.entity)
        }
        State::Absent => 0xFF0 | u64::from(shown.entity),
    }
}
