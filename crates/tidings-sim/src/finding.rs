//! A violation, made small, with what is needed to see it again.

use crate::choices::Choices;
use crate::mutant::Mutant;
use crate::runner::{Runner, Told};
use crate::shrink::{Effort, shrink};
use crate::tally::Tally;
use crate::token::{Start, Token};
use crate::trace::Trace;
use crate::world::{Broken, Depth};
use crate::worlds::Worlds;

/// One violation.
#[derive(Debug)]
pub struct Finding {
    /// The seed that it was found with.
    pub seed: u64,
    /// The promise that did not hold, in the small history.
    pub broken: Broken,
    /// How large the history of the seed is.
    pub before: Size,
    /// How large the small one is.
    pub after: Size,
    /// How many others were tried on the way.
    pub tries: u64,
    /// What happens in the small one.
    pub timeline: Vec<String>,
    /// What stands for it on a command line.
    pub token: Token,
    /// Its choices alone give the violation again. If not, the token is the seed, and the world is not deterministic.
    pub reproduced: bool,
}

/// How large a history is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Choices made.
    pub choices: usize,
    /// Steps of all actors.
    pub operations: u64,
}

impl Size {
    const fn of(told: &Told) -> Self {
        Self { choices: told.made.len(), operations: told.operations }
    }
}

/// The same for violations that are the same but for their numbers.
pub(crate) fn kind(broken: &Broken) -> String {
    let mut kind = broken.invariant.map_or_else(|| "-".to_owned(), |invariant| format!("{invariant:?}"));
    kind.push(' ');
    for letter in broken.what.chars() {
        if !letter.is_ascii_digit() {
            kind.push(letter);
        } else if !kind.ends_with('#') {
            kind.push('#');
        }
    }
    kind
}

/// Looks for the smallest history that fails in the same way.
pub(crate) struct Search<'a> {
    runner: Runner<'a>,
    depth: Depth,
    mutant: Option<Mutant>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(worlds: Worlds<'a>, depth: Depth, mutant: Option<Mutant>) -> Self {
        Self { runner: Runner::new(worlds, depth, mutant), depth, mutant }
    }

    /// The finding for this seed; `beat` is called before each try.
    pub(crate) fn shrunk(
        &mut self,
        seed: u64,
        broken: &Broken,
        made: &[u32],
        effort: Effort,
        beat: &dyn Fn(),
    ) -> Finding {
        let whole = self.runner.tell(Choices::seeded(seed));
        let (script, tries) = shrink(made, effort, &mut |script| {
            beat();
            let mut choices = Choices::scripted(script.to_vec());
            let now = self.runner.run(&mut choices, &mut Trace::hashed(), &mut Tally::default())?;
            is_same(broken, &now).then(|| choices.made().to_vec())
        });
        let small = self.runner.tell(Choices::scripted(script.clone()));
        let before = Size::of(&whole);
        let again = small.broken.clone().filter(|now| is_same(broken, now));
        let (told, broken, start, reproduced) = match again {
            Some(now) => (small, now, Start::Script(script), true),
            None => (whole, broken.clone(), Start::Seed(seed), false),
        };
        let after = Size::of(&told);
        let token = Token { depth: self.depth, mutant: self.mutant, start };
        Finding { seed, broken, before, after, tries, timeline: told.timeline, token, reproduced }
    }
}

/// The same promise; where none is named, the same words.
fn is_same(one: &Broken, other: &Broken) -> bool {
    one.invariant == other.invariant && (one.invariant.is_some() || kind(one) == kind(other))
}
