//! How things are measured: in turns, in CPU time where no disk is involved, with the same keys for everybody.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

/// One of those that are compared. `run` does one round and returns its figure.
pub(crate) struct Contender<'a> {
    run: Box<dyn FnMut() -> Result<f64> + 'a>,
}

pub(crate) fn contender<'a>(run: impl FnMut() -> Result<f64> + 'a) -> Contender<'a> {
    Contender { run: Box::new(run) }
}

/// The figures of each contender, one per round. They take turns, and every other round goes backwards, so that
/// nobody always follows the same one. A round before the first warms up.
pub(crate) fn take_turns(rounds: usize, contenders: &mut [Contender<'_>]) -> Result<Vec<Vec<f64>>> {
    let mut figures = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..=rounds {
        let mut order: Vec<_> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let figure = (contenders[index].run)()?;
            if round > 0 {
                figures[index].push(figure);
            }
        }
    }
    Ok(figures)
}

/// How much is done: the whole measure, or a small part of it.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    quick: bool,
}

impl Scale {
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick }
    }

    pub(crate) fn name(self) -> &'static str {
        if self.quick { "quick" } else { "whole" }
    }

    pub(crate) fn of(self, whole: usize, part: usize) -> usize {
        if self.quick { part } else { whole }
    }

    /// Rounds of what takes seconds.
    pub(crate) fn rounds(self) -> usize {
        self.of(3, 1)
    }
}

/// Waits until something is done, looking often.
pub(crate) fn wait(what: &str, at_most: Duration, done: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + at_most;
    while !done() {
        if Instant::now() > deadline {
            bail!("{what} was not done after {at_most:?}");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}

/// What is used to run ours: as many threads as the machine that the targets are for has cores.
pub(crate) fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// CPU time of this thread.
pub(crate) fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

/// CPU time of all threads of this process.
pub(crate) fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

/// CPU time of the children of this process that have ended, to some hundredths of a second.
pub(crate) fn children_cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name may have spaces in it, but is in parentheses.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    match (ticks(13), ticks(14)) {
        (Some(user), Some(system)) => Ok(Duration::from_millis(10 * (user + system))),
        _ => bail!("/proc/self/stat has no times of children"),
    }
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Nanoseconds of this thread's CPU time per operation.
pub(crate) fn cpu_per(operations: usize, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = thread_cpu();
    work()?;
    Ok(nanos(thread_cpu() - before) / operations as f64)
}

pub(crate) fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// The output of a future that does not have to wait for anything.
pub(crate) fn at_once<F: Future>(future: F) -> Result<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => bail!("a future that should have been ready had to wait"),
    }
}

/// The value below which this share of the samples lies.
pub(crate) fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let index = (samples.len() as f64 * share) as usize;
    samples.get(index.min(samples.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// What is said of delays.
pub(crate) const SHARES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

/// The middle, and how late the late ones are: for each of [`SHARES`] a figure of each round.
#[derive(Debug, Default)]
pub(crate) struct Delays(pub(crate) [Vec<f64>; 3]);

impl Delays {
    pub(crate) fn add(&mut self, mut round: Vec<f64>) {
        for (figures, (share, _)) in self.0.iter_mut().zip(SHARES) {
            figures.push(quantile(&mut round, share));
        }
    }
}

/// Random numbers that are the same in every run (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The numbers below `end` in random order.
    pub(crate) fn shuffled(&mut self, end: usize) -> Vec<usize> {
        let mut numbers: Vec<_> = (0..end).collect();
        for last in (1..end).rev() {
            numbers.swap(last, self.below(last + 1));
        }
        numbers
    }

    /// So many draws of the numbers below `end`, Zipf distributed; which are popular is random.
    pub(crate) fn zipf(&mut self, end: usize, exponent: f64, draws: usize) -> Vec<usize> {
        let mut total = 0.0;
        let weights = (1..=end).map(|rank| {
            total += (rank as f64).powf(-exponent);
            total
        });
        let cumulative: Vec<f64> = weights.collect();
        let by_rank = self.shuffled(end);
        let mut draw = || {
            let at = self.unit() * total;
            let rank = cumulative.partition_point(|weight| *weight < at);
            by_rank[rank.min(end - 1)]
        };
        (0..draws).map(|_| draw()).collect()
    }
}
