//! The core depth: the shipped machines and rules, pure, under a scheduler of our own.
//!
//! No runtime and no clock: a step is whatever one actor does between two moments at which another could do something,
//! it takes a microsecond, and chance says who is next. The world plays the drivers. It performs the actions of
//! [`tidings_core::relay::Relay`] and [`tidings_core::consumer::Consumer`] against ports of its own, and builds a
//! process's cache on [`tidings_core::fence`], as the toolkit does with atomics and locks.
//!
//! - [`draw`]: how big a history is, and what can go wrong in it;
//! - `source`, `log`: the truth with its outbox and replicas, and the log;
//! - `relay`, `consumer`: the shipped machines, and the drivers' part of them; `rules`: what consumers decide;
//! - `copy`, `projection`: what is kept honest; `reader`: who looks;
//! - `actors`: all of them; `mishap`: what goes wrong by itself; `heal`: the end, and the comparison of end states;
//! - [`script`]: a world that does what it is told, step by step.

use tidings_testkit::judge::Judge;

use crate::choices::Choices;
use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::tally::{Sometimes, Tally};
use crate::trace::Trace;
use crate::world::{Broken, World};

mod actors;
mod consumer;
mod copy;
pub mod draw;
mod heal;
mod log;
mod mishap;
mod pool;
mod projection;
mod reader;
mod relay;
mod rules;
pub mod script;
pub mod shared;
mod source;
mod stage;

use actors::{Actor, Actors};
use draw::Setup;
use pool::Pool;
use stage::{START, Stage};

/// How many steps there are at most once everything was committed and read that is to be.
const AFTERWARDS: u32 = 16;

/// The world of the core depth.
pub struct Machines {
    judge: Judge,
    pool: Pool,
    actors: Actors,
    turns: Vec<Actor>,
}

impl Machines {
    /// A world without a history.
    ///
    /// # Errors
    /// If the names it gives its entities are refused: a defect.
    pub fn new() -> tidings_core::Result<Self> {
        Ok(Self { judge: Judge::default(), pool: Pool::new()?, actors: Actors::default(), turns: Vec::new() })
    }

    /// What a violated history says of itself.
    fn verdict(&mut self, ended: Result<(), String>) -> Option<Broken> {
        self.judge.finish();
        let found = self.judge.found().first();
        let broken = found.map(|found| Broken { invariant: Some(found.invariant), what: found.what.clone() });
        broken.or_else(|| ended.err().map(|what| Broken { invariant: None, what }))
    }
}

impl World for Machines {
    fn run(
        &mut self,
        choices: &mut Choices,
        mutant: Option<Mutant>,
        trace: &mut Trace,
        tally: &mut Tally,
    ) -> Option<Broken> {
        let setup = Setup::draw(choices);
        self.judge.reset();
        let Self { judge, pool, actors, turns } = self;
        let stage = &mut Stage {
            choices,
            trace,
            tally,
            judge,
            pool,
            setup: &setup,
            mutant,
            now: START,
            healing: false,
        };
        begin(stage, actors);
        line_up(&setup, turns);
        let mut left = setup.steps;
        while left > 0 {
            left -= 1;
            if actors.is_over(stage) {
                left = left.min(AFTERWARDS);
            }
            // Zero is "no further step".
            let turn = stage.choices.below(u32::try_from(turns.len() * 16).unwrap_or(u32::MAX)) as usize;
            if turn == 0 {
                break;
            }
            stage.now += 1;
            actors.source.keep_promises(stage);
            let from = turn % turns.len();
            let next = (0..turns.len()).map(|offset| turns[(from + offset) % turns.len()]);
            if let Some(actor) = next.into_iter().find(|actor| actors.is_ready(stage, *actor)) {
                stage.tally.operations += 1;
                actors.step(stage, actor);
            }
        }
        let ended = actors.heal(stage);
        actors.source.record(stage);
        tally.histories += 1;
        self.verdict(ended)
    }

    fn can(&self) -> (&[Fault], &[Sometimes]) {
        (FAULTS, SOMETIMES)
    }
}

/// A history begins.
fn begin(stage: &mut Stage<'_>, actors: &mut Actors) {
    for _ in 0..stage.setup.entities {
        stage.judge.entity(0);
    }
    actors.reset(stage);
    stage.tell(|| format!("           {:?}", stage_words(stage.setup)));
    if stage.setup.skew != 0 {
        stage.tally.struck(Fault::ClockSkew);
    }
    if stage.setup.relays > 1 {
        stage.tally.struck(Fault::TwoRelays);
    }
}

fn stage_words(setup: &Setup) -> String {
    let views: Vec<_> = setup.views[..setup.view_count].iter().map(|view| format!("{view:?}")).collect();
    format!(
        "{:?}, {} copies, {:?}, {}",
        &setup.natures[..setup.entities],
        setup.copies,
        setup.projection,
        views.join("; ")
    )
}

/// Everybody gets a turn; what waits for nobody, more than one.
fn line_up(setup: &Setup, turns: &mut Vec<Actor>) {
    turns.clear();
    turns.extend([Actor::Writer; 2]);
    turns.extend((0..setup.relays).map(Actor::Relay));
    for copy in 0..setup.copies {
        turns.extend(std::iter::repeat_n(Actor::Feed(copy), setup.turns.feeds));
        turns.extend(std::iter::repeat_n(Actor::Loads(copy), setup.turns.loads));
    }
    if setup.projection.is_some() {
        turns.push(Actor::Group);
    }
    turns.extend((0..setup.readers).flat_map(|reader| [Actor::Reader(reader); 2]));
    turns.extend(std::iter::repeat_n(Actor::Mishap, setup.turns.mishaps));
}

const FAULTS: &[Fault] = &[
    Fault::Delay,
    Fault::Loss,
    Fault::Double,
    Fault::LostAnswer,
    Fault::Kill,
    Fault::Pause,
    Fault::ClockSkew,
    Fault::LaggingRead,
    Fault::EarlyEvent,
    Fault::Truncation,
    Fault::Rebalance,
    Fault::Wipe,
    Fault::OldDump,
    Fault::Poison,
    Fault::SlowSource,
    Fault::Pressure,
    Fault::Failover,
    Fault::TwoRelays,
    Fault::LateCommit,
];

const SOMETIMES: &[Sometimes] = &[
    Sometimes::Hit,
    Sometimes::Kept,
    Sometimes::BelowFloor,
    Sometimes::Moved,
    Sometimes::NewEpoch,
    Sometimes::Forgotten,
    Sometimes::LabelledStale,
    Sometimes::LabelledUnverified,
    Sometimes::Refused,
    Sometimes::TokenMissed,
    Sometimes::Parked,
    Sometimes::Gap,
    Sometimes::NewTimeline,
    Sometimes::OldNews,
    Sometimes::Absent,
];
