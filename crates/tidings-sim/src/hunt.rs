//! Leaves out one guard after the other, and looks how many seeds it takes to notice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};

use crate::choices::Choices;
use crate::mutant::Mutant;
use crate::pulse::{self, BEAT, Pulse, Watch};
use crate::runner::Runner;
use crate::tally::Tally;
use crate::trace::Trace;
use crate::world::Depth;
use crate::worlds::Worlds;

/// Where the batches start: far from each other.
const APART: u64 = 1_000_000_007;

/// How many seeds a batch takes at most before its mutant has survived it. A batch ends with the first that notices.
pub const MOST_SEEDS: u64 = 2_000_000;

/// What is to be hunted.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Only at this depth.
    pub depth: Option<Depth>,
    /// Only this one.
    pub mutant: Option<Mutant>,
    /// How many batches of seeds, each from another start.
    pub batches: u32,
    /// How many seeds a batch may take; `None` for [`MOST_SEEDS`].
    pub seeds: Option<u64>,
    /// On how many threads.
    pub threads: usize,
}

/// How one mutant fared at one depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunted {
    /// The guard that was left out.
    pub mutant: Mutant,
    /// At which depth.
    pub depth: Depth,
    /// How many seeds each batch took, in order; a batch that never found it is not here.
    pub needed: Vec<u64>,
    /// How many batches never found it.
    pub missed: u32,
    /// How many seeds each of them could take.
    pub limit: u64,
    /// Which promises it broke, in how many batches.
    pub broke: BTreeMap<String, u32>,
    /// Seeds that fail with all guards in place too: they say nothing of the mutant, and were passed over.
    pub passed_over: u64,
}

impl Hunted {
    /// How many batches there were.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.needed.len().saturating_add(usize::try_from(self.missed).unwrap_or(usize::MAX))
    }

    /// The median of the seeds that were needed, where a batch that found nothing needed more than any other; `None` if
    /// the median batch found nothing: then the mutant has survived.
    #[must_use]
    pub fn median(&self) -> Option<u64> {
        self.needed.get(self.batches().saturating_sub(1) / 2).copied()
    }

    /// Whether it was not found, or only by luck.
    #[must_use]
    pub fn survived(&self) -> bool {
        self.median().is_none()
    }
}

/// One batch.
#[derive(Debug, Clone, Copy)]
struct Job {
    mutant: Mutant,
    depth: Depth,
    batch: u32,
    limit: u64,
}

/// What came of it.
#[derive(Debug)]
struct Caught {
    needed: Option<u64>,
    broke: String,
    passed_over: u64,
}

/// What can be heard of a hunt while it goes on.
#[derive(Debug)]
pub enum News<'a> {
    /// All batches of this one are through.
    Hunted(&'a Hunted),
    /// So many batches of all of them are done.
    Progress {
        /// Done.
        done: usize,
        /// All of them.
        all: usize,
    },
    /// The history of this seed has not ended for a minute, and a thread cannot be stopped.
    Stuck {
        /// Without this guard,
        mutant: Mutant,
        /// at this depth.
        depth: Depth,
        /// The seed.
        seed: u64,
    },
}

/// Hunts all mutants of the plan; those that were not hunted to the end when `stop` became true are left out.
pub fn run(
    plan: &Plan,
    worlds: Worlds<'_>,
    stop: &AtomicBool,
    listen: &mut dyn FnMut(News<'_>),
) -> Vec<Hunted> {
    let jobs = jobs(plan);
    let next = AtomicUsize::new(0);
    let pulses = pulse::several(plan.threads);
    let mut hunted: Vec<Hunted> = Vec::new();
    let mut done = 0;
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for pulse in &pulses {
            let (send, jobs, next) = (send.clone(), &jobs, &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&job) = jobs.get(at) else { break };
                    let Some(caught) = hunt(at, job, worlds, stop, pulse) else { break };
                    // The other end waits for all of them.
                    let _ = send.send((job, caught));
                }
                pulse.rest();
            });
        }
        drop(send);
        let mut watch = Watch::new(&pulses);
        loop {
            match receive.recv_timeout(BEAT) {
                Ok((job, caught)) => {
                    done += 1;
                    if let Some(hunted) = note(&mut hunted, job, caught)
                        && u32::try_from(hunted.batches()) == Ok(plan.batches)
                    {
                        listen(News::Hunted(hunted));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            listen(News::Progress { done, all: jobs.len() });
            let stuck = watch.stuck().and_then(|(at, seed)| Some((jobs.get(at)?, seed)));
            if let Some((&Job { mutant, depth, .. }, seed)) = stuck {
                listen(News::Stuck { mutant, depth, seed });
            }
        }
    });
    hunted.retain(|hunted| u32::try_from(hunted.batches()) == Ok(plan.batches));
    hunted.sort_by_key(|hunted| (hunted.mutant, hunted.depth == Depth::Drivers));
    hunted
}

fn jobs(plan: &Plan) -> Vec<Job> {
    let mut jobs = Vec::new();
    for &mutant in Mutant::ALL.iter().filter(|mutant| plan.mutant.is_none_or(|only| only == **mutant)) {
        for &depth in mutant.depths().iter().filter(|depth| plan.depth.is_none_or(|only| only == **depth)) {
            let limit = plan.seeds.unwrap_or(MOST_SEEDS);
            jobs.extend((0..plan.batches).map(|batch| Job { mutant, depth, batch, limit }));
        }
    }
    jobs
}

/// Runs seeds until one notices what is missing; `None` if it was stopped.
fn hunt(at: usize, job: Job, worlds: Worlds<'_>, stop: &AtomicBool, pulse: &Pulse) -> Option<Caught> {
    let mut runner = Runner::new(worlds, job.depth, Some(job.mutant));
    let (mut choices, mut trace, mut tally) = (Choices::seeded(0), Trace::hashed(), Tally::default());
    let mut passed_over = 0;
    for index in 0..job.limit {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let seed = (u64::from(job.batch) * APART).wrapping_add(index);
        pulse.at(at, seed);
        choices.reseed(seed);
        trace.clear();
        let Some(broken) = runner.run(&mut choices, &mut trace, &mut tally) else { continue };
        let mut whole = Runner::new(worlds, job.depth, None);
        if whole.run(&mut Choices::seeded(seed), &mut Trace::hashed(), &mut Tally::default()).is_some() {
            passed_over += 1;
            continue;
        }
        let invariant = broken.invariant.map(|invariant| format!("{invariant:?}"));
        let broke = invariant.unwrap_or_else(|| "no end".to_owned());
        return Some(Caught { needed: Some(index + 1), broke, passed_over });
    }
    Some(Caught { needed: None, broke: String::new(), passed_over })
}

/// What is known by now of the mutant that this batch was about.
fn note(hunted: &mut Vec<Hunted>, job: Job, caught: Caught) -> Option<&Hunted> {
    let Job { mutant, depth, limit, .. } = job;
    let known = hunted.iter().position(|hunted| hunted.mutant == mutant && hunted.depth == depth);
    let at = known.unwrap_or_else(|| {
        let (needed, missed, broke) = (Vec::new(), 0, BTreeMap::new());
        hunted.push(Hunted { mutant, depth, needed, missed, limit, broke, passed_over: 0 });
        hunted.len() - 1
    });
    let hunted = hunted.get_mut(at)?;
    hunted.passed_over += caught.passed_over;
    match caught.needed {
        Some(needed) => {
            let place = hunted.needed.partition_point(|other| *other <= needed);
            hunted.needed.insert(place, needed);
            *hunted.broke.entry(caught.broke).or_default() += 1;
        }
        None => hunted.missed += 1,
    }
    Some(hunted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_found_nothing_needed_more_than_any_other() {
        for (needed, missed, median) in [
            (vec![1, 5, 9], 0, Some(5)),
            (vec![1, 5, 9], 2, Some(9)),
            (vec![1, 5, 9], 3, Some(9)),
            (vec![1, 5], 3, None),
            (vec![], 5, None),
            (vec![7], 0, Some(7)),
        ] {
            let (mutant, depth) = (Mutant::FloorMax, Depth::Core);
            let hunted =
                Hunted { mutant, depth, needed, missed, limit: 10, broke: BTreeMap::new(), passed_over: 0 };
            assert_eq!((hunted.median(), hunted.survived()), (median, median.is_none()), "{hunted:?}");
        }
    }
}
