//! Which worlds run at which depth: the one place that knows them all.

use crate::choices::Choices;
use crate::drivers::Drivers;
use crate::fault::Fault;
use crate::machines::Machines;
use crate::machines::shared::Shared;
use crate::mutant::Mutant;
use crate::tally::{Sometimes, Tally};
use crate::trace::Trace;
use crate::world::{Broken, Depth, World};

/// Where new worlds come from: [`world`], and a toy in tests.
pub type Worlds<'a> = &'a (dyn Fn(Depth) -> Box<dyn World> + Sync);

/// A new world of this depth. Each thread of a campaign has its own.
#[must_use]
pub fn world(depth: Depth) -> Box<dyn World> {
    match depth {
        Depth::Core => Box::new(Several::new(vec![made(Machines::new()), Box::new(Shared::new())])),
        Depth::Drivers => made(Drivers::new()),
    }
}

fn made<W: World + 'static>(world: tidings::Result<W>) -> Box<dyn World> {
    match world {
        Ok(world) => Box::new(world),
        Err(error) => Box::new(Unmade(error.to_string())),
    }
}

/// A world that could not be made. It breaks at the first history: a campaign in it must not look good.
struct Unmade(String);

impl World for Unmade {
    fn run(&mut self, _: &mut Choices, _: Option<Mutant>, _: &mut Trace, _: &mut Tally) -> Option<Broken> {
        Some(Broken { invariant: None, what: format!("there is no world: {}", self.0) })
    }

    fn can(&self) -> (&[Fault], &[Sometimes]) {
        (&[], &[])
    }
}

/// Several worlds of one depth: the first choice of a history says which of them it is about.
pub struct Several {
    worlds: Vec<Box<dyn World>>,
    faults: Vec<Fault>,
    sometimes: Vec<Sometimes>,
}

impl Several {
    /// These worlds, each as often as the others.
    #[must_use]
    pub fn new(worlds: Vec<Box<dyn World>>) -> Self {
        let (mut faults, mut sometimes) = (Vec::new(), Vec::new());
        for world in &worlds {
            let (strike, happen) = world.can();
            faults.extend(strike.iter().copied().filter(|fault| !faults.contains(fault)).collect::<Vec<_>>());
            sometimes
                .extend(happen.iter().copied().filter(|what| !sometimes.contains(what)).collect::<Vec<_>>());
        }
        Self { worlds, faults, sometimes }
    }
}

impl World for Several {
    fn run(
        &mut self,
        choices: &mut Choices,
        mutant: Option<Mutant>,
        trace: &mut Trace,
        tally: &mut Tally,
    ) -> Option<Broken> {
        let which = choices.below(u32::try_from(self.worlds.len()).unwrap_or(u32::MAX));
        let world = self.worlds.get_mut(usize::try_from(which).unwrap_or(usize::MAX))?;
        trace.step(u64::from(which));
        world.run(choices, mutant, trace, tally)
    }

    fn can(&self) -> (&[Fault], &[Sometimes]) {
        (&self.faults, &self.sometimes)
    }
}
