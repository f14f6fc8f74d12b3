//! Whether the threads that run histories are alive.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often somebody looks.
pub(crate) const BEAT: Duration = Duration::from_millis(250);

/// No history takes this long, unless it will never end.
const STUCK: Duration = Duration::from_secs(60);

/// The sign of life of one thread.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    job: AtomicUsize,
    seed: AtomicU64,
    begun: AtomicU64,
}

/// One for each thread.
pub(crate) fn several(threads: usize) -> Vec<Pulse> {
    std::iter::repeat_with(Pulse::default).take(threads.max(1)).collect()
}

impl Pulse {
    /// The history of this seed begins, for this job of several.
    pub(crate) fn at(&self, job: usize, seed: u64) {
        self.job.store(job, Ordering::Relaxed);
        self.seed.store(seed, Ordering::Relaxed);
        self.beat();
    }

    /// Another history begins that has no seed of its own.
    pub(crate) fn beat(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// The thread is through.
    pub(crate) fn rest(&self) {
        self.begun.store(u64::MAX, Ordering::Relaxed);
    }
}

/// Looks at them now and then.
pub(crate) struct Watch<'a> {
    pulses: &'a [Pulse],
    last: Vec<(u64, Instant)>,
    patience: Duration,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(pulses: &'a [Pulse]) -> Self {
        Self { pulses, last: vec![(0, Instant::now()); pulses.len()], patience: STUCK }
    }

    /// The job and the seed at which a thread has been for too long.
    pub(crate) fn stuck(&mut self) -> Option<(usize, u64)> {
        for (pulse, (begun, since)) in self.pulses.iter().zip(&mut self.last) {
            let now = pulse.begun.load(Ordering::Relaxed);
            if now != *begun {
                (*begun, *since) = (now, Instant::now());
            } else if now != u64::MAX && since.elapsed() > self.patience {
                return Some((pulse.job.load(Ordering::Relaxed), pulse.seed.load(Ordering::Relaxed)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_go_on_is_noticed_with_its_seed() {
        let pulses = several(2);
        let mut watch = Watch { patience: Duration::ZERO, ..Watch::new(&pulses) };
        pulses[0].at(3, 7);
        pulses[1].rest();
        assert_eq!(watch.stuck(), None, "both have moved");
        assert_eq!(watch.stuck(), Some((3, 7)), "one has not moved since, the other need not");
        pulses[0].beat();
        assert_eq!(watch.stuck(), None);
        assert_eq!(Watch { last: watch.last, ..Watch::new(&pulses) }.stuck(), None, "it may take a while");
    }
}
