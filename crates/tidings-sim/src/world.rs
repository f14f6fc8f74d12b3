//! What a depth of the simulator has to offer.

use std::fmt;
use std::str::FromStr;

use tidings_testkit::Invariant;

use crate::choices::Choices;
use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::tally::{Sometimes, Tally};
use crate::trace::Trace;

/// How much of the shipped code a world runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// The pure machines and rules alone, under the world's own scheduler.
    Core,
    /// The real drivers, caches and fence, on a paused runtime with ports in memory.
    Drivers,
}

impl Depth {
    /// Both.
    pub const ALL: &'static [Self] = &[Self::Core, Self::Drivers];
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Core => "core",
            Self::Drivers => "drivers",
        })
    }
}

impl FromStr for Depth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "core" => Ok(Self::Core),
            "drivers" => Ok(Self::Drivers),
            _ => Err(format!("{text:?} is no depth; core and drivers are")),
        }
    }
}

/// A promise that did not hold in one history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which; `None` if the history did not come to its end (a hang, or a driver that gave up).
    pub invariant: Option<Invariant>,
    /// What happened, in a sentence.
    pub what: String,
}

/// A world: one after the other, it runs small histories, each in the same memory.
pub trait World {
    /// Runs one history and has it judged. The same choices (and mutant) give the same history, to the last step.
    fn run(
        &mut self,
        choices: &mut Choices,
        mutant: Option<Mutant>,
        trace: &mut Trace,
        tally: &mut Tally,
    ) -> Option<Broken>;

    /// Which faults can strike here, and what happens here now and then. A long campaign in which one of them never did
    /// fails: it has proved nothing of it.
    fn can(&self) -> (&[Fault], &[Sometimes]);
}
