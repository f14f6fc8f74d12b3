//! The same world, told what to do: for what once went wrong somewhere, played out step by step.
//!
//! Nothing goes wrong and nothing happens by itself. Every verb here is one step or a few of one actor, in the order in
//! which it is called; whoever is not told to go on stands still. Entities, views, relays, partitions and readers are
//! numbers from 0.
//!
//! ```
//! use tidings_sim::machines::draw::Setup;
//! use tidings_sim::machines::script::Script;
//! use tidings_sim::mutant::Mutant;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let play = |without| -> Result<_, String> {
//!     let mut script = Script::begin(Setup::quiet(), without)?;
//!     script.news(0)?;
//!     // A load reads the first version; the news of the second comes before it lands.
//!     let load = script.asks(0, 0).ok_or("nothing is cached yet")?;
//!     script.takes_ticket(load)?;
//!     script.reads(load)?;
//!     script.news(0)?;
//!     script.lands(load)?;
//!     script.gets(1, 0)?;
//!     script.comes_to_rest()?;
//!     Ok(script.broken())
//! };
//! assert_eq!(play(None)?, []);
//! assert_ne!(play(Some(Mutant::AcceptRule))?, []);
//! # Ok(())
//! # }
//! ```

use std::fmt;

use tidings_testkit::Invariant;
use tidings_testkit::judge::Judge;

use super::actors::{Actor, Actors};
use super::draw::Setup;
use super::stage::{START, Stage};
use super::{Machines, begin};
use crate::choices::Choices;
use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::tally::{Sometimes, Tally};
use crate::trace::Trace;

mod news;
mod readers;

/// How often an actor is given a turn until it stands still.
const PATIENCE: u32 = 200;
/// How often, of a thousand, a fault strikes that must.
const ALWAYS: u16 = 1000;

/// A history that is told step by step. A verb that makes no sense where it stands is an error of the script.
pub struct Script {
    world: Machines,
    setup: Setup,
    without: Option<Mutant>,
    trace: Trace,
    tally: Tally,
    now: u64,
}

/// A transaction under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction(u64);

/// A load of one view in the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load(u32);

/// What is special about a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// Nothing.
    Plain,
    /// Its event is out, and it cannot be read before [`Script::shows`] says so. The set-up's `visibility` promises how
    /// long that takes at most.
    Late,
    /// The relay cannot read it as an event.
    Unreadable,
    /// No handler can make anything of its event.
    Poison,
    /// Its content is in force so many microseconds from now (from -5 to 34), and for so many (from 5 to 44).
    InForce(i32, u32),
}

impl Script {
    /// A history of this set-up, in which a guard may be left out. The copies follow the log, which is empty.
    ///
    /// # Errors
    /// If the world cannot be built: a defect.
    pub fn begin(setup: Setup, without: Option<Mutant>) -> Result<Self, String> {
        let mut script = Self {
            world: Machines::new().map_err(|error| error.to_string())?,
            setup,
            without,
            trace: Trace::told(),
            tally: Tally::default(),
            now: START,
        };
        script.act(begin);
        (0..setup.copies).try_for_each(|copy| script.hears(copy))?;
        Ok(script)
    }

    fn act<T>(&mut self, step: impl FnOnce(&mut Stage<'_>, &mut Actors) -> T) -> T {
        self.struck(&[], vec![], step)
    }

    /// A step in which these faults strike, and this is what chance has to say.
    fn struck<T>(
        &mut self,
        faults: &[Fault],
        choices: Vec<u32>,
        step: impl FnOnce(&mut Stage<'_>, &mut Actors) -> T,
    ) -> T {
        let mut setup = self.setup;
        for fault in faults {
            if let Some(rate) = setup.rates.get_mut(*fault as usize) {
                *rate = ALWAYS;
            }
        }
        let Machines { judge, pool, actors, .. } = &mut self.world;
        let stage = &mut Stage {
            choices: &mut Choices::scripted(choices),
            trace: &mut self.trace,
            tally: &mut self.tally,
            judge,
            pool,
            setup: &setup,
            mutant: self.without,
            now: self.now + 1,
            healing: false,
        };
        let done = step(stage, actors);
        self.now = stage.now;
        done
    }

    /// One turn after the other, until there is nothing to do but to sleep on.
    fn goes_on(
        &mut self,
        who: &str,
        mut turn: impl FnMut(&mut Stage<'_>, &mut Actors) -> bool,
    ) -> Result<(), String> {
        for _ in 0..PATIENCE {
            let before = self.now;
            if !self.act(&mut turn) {
                // Nothing was done, and no time has passed.
                self.now = before;
                return Ok(());
            }
        }
        Err(format!("{who} does not stand still:\n{self:?}"))
    }

    fn actor_goes_on(&mut self, actor: Actor) -> Result<(), String> {
        self.goes_on(&format!("{actor:?}"), |stage, actors| {
            let ready = actors.is_ready(stage, actor);
            if ready {
                actors.step(stage, actor);
            }
            ready
        })
    }
}

/// The source.
impl Script {
    /// A transaction begins, and takes its place in the sequence.
    pub fn begins(&mut self, entity: usize) -> Transaction {
        Transaction(self.act(|stage, actors| actors.source.begin(stage, entity, false)))
    }

    /// A transaction that removes the entity begins.
    pub fn begins_delete(&mut self, entity: usize) -> Transaction {
        Transaction(self.act(|stage, actors| actors.source.begin(stage, entity, true)))
    }

    /// It commits: its version is assigned, its event is in the outbox, and unless it is late, its row can be read.
    pub fn commits(&mut self, Transaction(id): Transaction, row: Row) {
        let (faults, choices): (&[Fault], _) = match row {
            Row::Plain | Row::Late => (&[], vec![]),
            Row::Poison => (&[Fault::Poison], vec![0, 0]),
            Row::Unreadable => (&[Fault::Poison], vec![0, 2]),
            Row::InForce(from, span) => {
                let from = u32::try_from(from.saturating_add(5)).unwrap_or(0);
                (&[], vec![from, 2, span.saturating_sub(5)])
            }
        };
        self.struck(faults, choices, |stage, actors| actors.source.publish(stage, id));
        if row != Row::Late {
            self.shows(Transaction(id));
        }
    }

    /// Its row can be read.
    pub fn shows(&mut self, Transaction(id): Transaction) {
        self.act(|stage, actors| actors.source.show_row(stage, id));
    }

    /// Its client hears that it has committed.
    pub fn is_told(&mut self, Transaction(id): Transaction) {
        self.act(|stage, actors| actors.source.tell_client(stage, id));
    }

    /// An entity changes: all of a transaction.
    pub fn changes(&mut self, entity: usize, row: Row) {
        let transaction = self.begins(entity);
        self.commits(transaction, row);
        self.is_told(transaction);
    }

    /// An entity is removed: all of a transaction.
    pub fn is_deleted(&mut self, entity: usize) {
        let transaction = self.begins_delete(entity);
        self.commits(transaction, Row::Plain);
        self.is_told(transaction);
    }

    /// The primary is lost with all that could not be read yet, and every relay that was connected to it.
    pub fn fails_over(&mut self) {
        self.act(|stage, actors| actors.fail_over(stage));
    }
}

/// The end, and what can be asked before it.
impl Script {
    /// So many microseconds pass.
    pub const fn passes(&mut self, micros: u64) {
        self.now += micros;
    }

    /// Whether this has happened so far.
    #[must_use]
    pub fn happened(&self, what: Sometimes) -> bool {
        self.tally.sometimes(what) > 0
    }

    /// The guard that is left out.
    #[must_use]
    pub const fn without(&self) -> Option<Mutant> {
        self.without
    }

    /// Everything drains, every view is read once more, and what every copy holds is compared with the source.
    ///
    /// # Errors
    /// If it does not come to rest.
    pub fn comes_to_rest(&mut self) -> Result<(), String> {
        self.act(|stage, actors| actors.heal(stage))
    }

    /// The promises that the judge finds broken.
    #[must_use]
    pub fn broken(mut self) -> Vec<Invariant> {
        self.act(|stage, actors| actors.source.record(stage));
        let judge: &mut Judge = &mut self.world.judge;
        judge.finish();
        judge.found().iter().map(|found| found.invariant).collect()
    }
}

/// The timeline.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.timeline().iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
