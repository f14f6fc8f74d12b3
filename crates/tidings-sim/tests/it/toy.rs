//! A tiny world, to test what runs worlds: messages about one register reach one copy in any order.
//!
//! Its guard is a floor; without it (`floor-max`) the copy goes back. Defects of its own are planted by [`Defect`].

use tidings_sim::choices::Choices;
use tidings_sim::fault::Fault;
use tidings_sim::mutant::Mutant;
use tidings_sim::tally::{Sometimes, Tally};
use tidings_sim::trace::Trace;
use tidings_sim::world::{Broken, Depth, World};
use tidings_testkit::Invariant;

/// What is wrong with a toy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// It remembers something of the histories before, so that the same seed gives another one.
    Leaks,
    /// Nothing happens in it.
    Idles,
    /// It says that it can do what it never does.
    Boasts,
    /// Some of its histories panic.
    Panics,
    /// It fails also with its guard in place.
    Fails,
    /// It fails in two ways, and the one is easier to come by than the other.
    FailsAndPanics,
    /// No two of its violations are alike.
    FailsInManyWays,
}

#[derive(Debug)]
pub(crate) struct Toy {
    defect: Defect,
    histories: u64,
    /// A history has begun here and not come to its end.
    is_halfway: bool,
    sent: Vec<u32>,
}

/// Where the campaigns get it from.
pub(crate) fn toys(defect: Defect) -> impl Fn(Depth) -> Box<dyn World> + Sync {
    move |_| Box::new(Toy { defect, histories: 0, is_halfway: false, sent: Vec::new() })
}

impl World for Toy {
    fn run(
        &mut self,
        choices: &mut Choices,
        mutant: Option<Mutant>,
        trace: &mut Trace,
        tally: &mut Tally,
    ) -> Option<Broken> {
        self.histories += 1;
        self.sent.clear();
        if self.defect == Defect::FailsInManyWays {
            let what = format!("x{}", "y".repeat(choices.below(20) as usize));
            return Some(Broken { invariant: None, what });
        }
        if self.defect == Defect::Leaks {
            trace.step(self.histories);
        }
        if std::mem::replace(&mut self.is_halfway, true) {
            trace.step(u64::MAX);
        }
        if self.defect == Defect::Idles {
            return None;
        }
        let fails = matches!(self.defect, Defect::Fails | Defect::FailsAndPanics);
        let panics = matches!(self.defect, Defect::Panics | Defect::FailsAndPanics);
        let guarded = mutant != Some(Mutant::FloorMax) && !fails;
        let (mut version, mut held, mut seen) = (0, 0, 0);
        for step in 0..choices.below(30) {
            tally.operations += 1;
            match choices.below(4) {
                0 => trace.tell(|| format!("{step:>4} rest")),
                1 => {
                    version += 1;
                    tally.commits += 1;
                    self.sent.push(version);
                    trace.tell(|| format!("{step:>4} commit {version}"));
                }
                2 if !self.sent.is_empty() => {
                    let at = choices.below(self.sent.len() as u32) as usize;
                    if at > 0 {
                        tally.struck(Fault::Reorder);
                    }
                    let message = self.sent.remove(at);
                    if panics && message == 3 {
                        // As a panic, without a word on the terminal.
                        std::panic::resume_unwind(Box::new(format!("three was delivered at step {step}")));
                    }
                    if message > held || !guarded {
                        held = message;
                    } else {
                        tally.happened(Sometimes::OldNews);
                    }
                    trace.step(u64::from(message));
                    trace.tell(|| format!("{step:>4} message {message} arrives, held {held}"));
                }
                _ => {
                    tally.reads += 1;
                    tally.happened(Sometimes::Hit);
                    trace.step(u64::from(held) << 8);
                    trace.tell(|| format!("{step:>4} read {held}"));
                    if held < seen {
                        self.is_halfway = false;
                        // Two kinds of sentence, of which the second becomes the first when it is made smaller.
                        let late = if step > 15 { ", late" } else { "" };
                        let what = format!("a read shows {held} after {seen}{late}");
                        return Some(Broken { invariant: Some(Invariant::I1), what });
                    }
                    seen = held;
                }
            }
        }
        self.is_halfway = false;
        None
    }

    fn can(&self) -> (&[Fault], &[Sometimes]) {
        const HAPPEN: &[Sometimes] = &[Sometimes::Hit, Sometimes::OldNews];
        match self.defect {
            Defect::Boasts => (&[Fault::Reorder, Fault::Kill], &[Sometimes::Hit, Sometimes::Gap]),
            _ => (&[Fault::Reorder], HAPPEN),
        }
    }
}
