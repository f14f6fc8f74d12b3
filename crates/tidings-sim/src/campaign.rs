//! Many histories, one seed after the other, on all cores.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::finding::{Finding, kind};
use crate::mutant::Mutant;
use crate::pulse::{self, BEAT, Watch};
use crate::shrink::Effort;
use crate::world::{Broken, Depth};
use crate::worlds::Worlds;

mod totals;
mod worker;

pub use totals::{MOST_TRACES, Totals};

/// So many seeds are taken at once: what the threads share is looked at once for all of them.
const BLOCK: u64 = 64;

/// More kinds of violations than this are only counted.
const MOST_FINDINGS: usize = 5;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// At which depth.
    pub depth: Depth,
    /// Without which guard.
    pub mutant: Option<Mutant>,
    /// The first seed.
    pub from: u64,
    /// How many seeds; `None` for as many as there is time for.
    pub seeds: Option<u64>,
    /// For how long.
    pub time: Option<Duration>,
    /// On how many threads.
    pub threads: usize,
    /// How hard to try to make a failing history smaller.
    pub effort: Effort,
}

/// What can be heard of a campaign while it runs.
#[derive(Debug)]
pub enum News<'a> {
    /// How far it is.
    Progress {
        /// Seeds done.
        done: u64,
        /// Seeds that broke a promise.
        violations: u64,
        /// Since the start.
        elapsed: Duration,
    },
    /// A violation of a new kind, made small.
    Found(&'a Finding),
    /// The history of this seed has not ended for a minute, and a thread cannot be stopped.
    Stuck(u64),
}

/// Runs the plan to its end, or until `stop` is true.
pub fn run(plan: &Plan, worlds: Worlds<'_>, stop: &AtomicBool, listen: &mut dyn FnMut(News<'_>)) -> Totals {
    let started = Instant::now();
    let shared = Shared {
        plan,
        worlds,
        stop,
        deadline: plan.time.map(|time| started + time),
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        violations: AtomicU64::new(0),
        kinds: Mutex::default(),
    };
    let pulses = pulse::several(plan.threads);
    let mut totals = Totals::new(plan.depth);
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for pulse in &pulses {
            let (send, shared) = (send.clone(), &shared);
            scope.spawn(move || {
                let totals = worker::work(shared, pulse, &send);
                // The other end waits for this.
                let _ = send.send(worker::Word::Done(Box::new(totals)));
            });
        }
        drop(send);
        let mut watch = Watch::new(&pulses);
        loop {
            match receive.recv_timeout(BEAT) {
                Ok(worker::Word::Found(finding)) => {
                    // Two kinds can turn out to be one when they are small.
                    if !totals.findings.iter().any(|known| kind(&known.broken) == kind(&finding.broken)) {
                        listen(News::Found(&finding));
                        totals.findings.push(*finding);
                    }
                }
                Ok(worker::Word::Done(part)) => totals.add(*part),
                Err(RecvTimeoutError::Timeout) => shared.beat(started, &mut watch, listen),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    totals.finish(plan, started.elapsed(), stop.load(Ordering::Relaxed));
    totals
}

/// What the threads of a campaign share.
struct Shared<'a> {
    plan: &'a Plan,
    worlds: Worlds<'a>,
    stop: &'a AtomicBool,
    deadline: Option<Instant>,
    next: AtomicU64,
    done: AtomicU64,
    violations: AtomicU64,
    kinds: Mutex<BTreeSet<String>>,
}

impl Shared<'_> {
    /// The next seeds to run, as numbers from 0; `None` when there are no more.
    fn block(&self) -> Option<std::ops::Range<u64>> {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if late || self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let start = self.next.fetch_add(BLOCK, Ordering::Relaxed);
        let end = self.plan.seeds.unwrap_or(u64::MAX).min(start.saturating_add(BLOCK));
        (start < end).then_some(start..end)
    }

    /// Whether this is the first violation of its kind, and there are not too many kinds yet.
    fn is_news(&self, broken: &Broken) -> bool {
        self.violations.fetch_add(1, Ordering::Relaxed);
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.len() < MOST_FINDINGS && kinds.insert(kind(broken))
    }

    fn beat(&self, started: Instant, watch: &mut Watch<'_>, listen: &mut dyn FnMut(News<'_>)) {
        let done = self.done.load(Ordering::Relaxed);
        let violations = self.violations.load(Ordering::Relaxed);
        listen(News::Progress { done, violations, elapsed: started.elapsed() });
        if let Some((_, seed)) = watch.stuck() {
            listen(News::Stuck(seed));
        }
    }
}
