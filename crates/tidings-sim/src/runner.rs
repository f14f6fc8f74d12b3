//! Runs one history after the other, also one that panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::choices::Choices;
use crate::mutant::Mutant;
use crate::tally::Tally;
use crate::token::{Start, Token};
use crate::trace::Trace;
use crate::world::{Broken, Depth, World};
use crate::worlds::Worlds;

/// A world in which histories are run.
pub struct Runner<'a> {
    worlds: Worlds<'a>,
    depth: Depth,
    mutant: Option<Mutant>,
    world: Box<dyn World>,
}

/// One history, looked at closely.
#[derive(Debug)]
pub struct Told {
    /// The promise that did not hold.
    pub broken: Option<Broken>,
    /// Every choice that was made.
    pub made: Vec<u32>,
    /// What happened, line by line.
    pub timeline: Vec<String>,
    /// Steps of all actors.
    pub operations: u64,
    /// Equal for equal histories.
    pub hash: u64,
}

impl<'a> Runner<'a> {
    /// A new world of this depth, without one of its guards if a mutant is named.
    #[must_use]
    pub fn new(worlds: Worlds<'a>, depth: Depth, mutant: Option<Mutant>) -> Self {
        Self { worlds, depth, mutant, world: worlds(depth) }
    }

    /// The world.
    #[must_use]
    pub fn world(&self) -> &dyn World {
        self.world.as_ref()
    }

    /// Runs one history. One that panics is broken, and its world is not used again.
    pub fn run(&mut self, choices: &mut Choices, trace: &mut Trace, tally: &mut Tally) -> Option<Broken> {
        let (world, mutant) = (&mut self.world, self.mutant);
        let result = catch_unwind(AssertUnwindSafe(|| world.run(choices, mutant, trace, tally)));
        result.unwrap_or_else(|payload| {
            self.world = (self.worlds)(self.depth);
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a word");
            Some(Broken { invariant: None, what: format!("panicked: {text}") })
        })
    }

    /// Runs one history and tells what happened.
    pub fn tell(&mut self, mut choices: Choices) -> Told {
        let (mut trace, mut tally) = (Trace::told(), Tally::default());
        let broken = self.run(&mut choices, &mut trace, &mut tally);
        Told {
            broken,
            made: choices.made().to_vec(),
            timeline: trace.timeline().to_vec(),
            operations: tally.operations,
            hash: trace.hash(),
        }
    }
}

/// The history that a token stands for.
#[must_use]
pub fn replay(worlds: Worlds<'_>, token: &Token) -> Told {
    let choices = match &token.start {
        Start::Seed(seed) => Choices::seeded(*seed),
        Start::Script(script) => Choices::scripted(script.clone()),
    };
    Runner::new(worlds, token.depth, token.mutant).tell(choices)
}
