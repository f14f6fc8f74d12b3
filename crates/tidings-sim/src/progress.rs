//! How far it is, on one line that is written over again; only where somebody looks.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::report::grouped;

/// The line.
pub(crate) struct Progress {
    shown: bool,
    is_on: bool,
    started: Instant,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { shown: false, is_on: std::io::stderr().is_terminal(), started: Instant::now() }
    }

    /// A campaign is this far.
    pub(crate) fn campaign(&mut self, done: u64, violations: u64, end: (Option<u64>, Option<Duration>)) {
        let elapsed = self.started.elapsed();
        let rate = done as f64 / elapsed.as_secs_f64().max(1e-3);
        let mut line = format!("{} histories, {} a second", grouped(done), grouped(rate as u64));
        if let Some(left) = left(done, elapsed, rate, end) {
            line.push_str(&format!(", {} left", clock(left)));
        }
        if violations > 0 {
            line.push_str(&format!(", {} violations", grouped(violations)));
        }
        self.show(&line);
    }

    /// A hunt is this far.
    pub(crate) fn hunt(&mut self, done: usize, all: usize) {
        let elapsed = self.started.elapsed().as_secs_f64();
        let left = elapsed / done.max(1) as f64 * all.saturating_sub(done) as f64;
        self.show(&format!("{done} of {all} batches, about {} left", clock(Duration::from_secs_f64(left))));
    }

    /// Takes the line away, for something else to be printed.
    pub(crate) fn clear(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
            self.shown = false;
        }
    }

    fn show(&mut self, line: &str) {
        if self.is_on {
            eprint!("\r\x1b[K{line}");
            self.shown = true;
            // A terminal that cannot be written to has nobody who looks.
            let _ = std::io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Whichever comes first, of the seeds and of the time.
fn left(
    done: u64,
    elapsed: Duration,
    rate: f64,
    (seeds, time): (Option<u64>, Option<Duration>),
) -> Option<Duration> {
    let seeds = seeds
        .filter(|_| rate > 0.0)
        .and_then(|seeds| Duration::try_from_secs_f64(seeds.saturating_sub(done) as f64 / rate).ok());
    let time = time.map(|time| time.saturating_sub(elapsed));
    seeds.into_iter().chain(time).min()
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_first_is_what_is_left() {
        let seconds = Duration::from_secs;
        for (seeds, time, expected) in [
            (Some(1000), None, Some(seconds(9))),
            (Some(1000), Some(seconds(3)), Some(seconds(2))),
            (None, Some(seconds(30)), Some(seconds(29))),
            (None, None, None),
            (Some(50), None, Some(seconds(0))),
        ] {
            assert_eq!(left(100, seconds(1), 100.0, (seeds, time)), expected, "{seeds:?} {time:?}");
        }
        assert_eq!(left(0, seconds(1), 0.0, (Some(1), None)), None);
    }

    #[test]
    fn times_are_written_as_people_say_them() {
        for (time, text) in [(5, "5 s"), (65, "1 min 5 s"), (7260, "2 h 1 min")] {
            assert_eq!(clock(Duration::from_secs(time)), text);
        }
    }
}
