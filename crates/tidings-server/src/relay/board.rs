//! What is known of the running relay, for people, probes and metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::RelayCounts;
use tidings_core::error::Policy;
use tidings_core::{Code, Error, Result, Time};
use tokio::sync::watch;
use tokio::time::Instant;

/// An answer that takes longer than this makes the relay unready.
const SLOW: Duration = Duration::from_secs(5);

/// What the relay is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// It looks for its source and its log.
    Starting,
    /// Another relay leads.
    StandingBy,
    /// It relays.
    Leading,
    /// It finishes.
    Draining,
}

/// Everything that is known.
pub(crate) struct Board {
    pub(crate) source: Side,
    pub(crate) log: Side,
    topic: String,
    phase: Mutex<Phase>,
    paused: watch::Sender<bool>,
    holding: AtomicBool,
    counts: Mutex<Counts>,
    /// By the database's clock, everything committed until then was read.
    read_up_to: Mutex<Option<Time>>,
}

/// What drivers before this one have done, and the one at work.
#[derive(Default)]
struct Counts {
    before: [u64; 3],
    now: Option<Arc<RelayCounts>>,
}

/// One of the two ends.
pub(crate) struct Side {
    name: &'static str,
    trouble: Mutex<Option<Error>>,
    asked_at: Mutex<Option<Instant>>,
    failures: AtomicU64,
}

/// What `tidings relay status` prints.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) topic: String,
    pub(crate) phase: Phase,
    /// Whether it was asked to hold.
    pub(crate) paused: bool,
    /// Whether it does.
    pub(crate) holding: bool,
    pub(crate) ready: bool,
    pub(crate) published: u64,
    pub(crate) parked: u64,
    pub(crate) failures: u64,
    /// Why the source does not answer.
    pub(crate) source: Option<String>,
    /// Why the log does not answer.
    pub(crate) log: Option<String>,
    /// By the database's clock, everything committed until then was read.
    pub(crate) read_up_to: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Side {
    fn new(name: &'static str) -> Self {
        Self { name, trouble: Mutex::default(), asked_at: Mutex::default(), failures: AtomicU64::new(0) }
    }

    /// A call that should be answered soon begins.
    pub(crate) fn asks(&self) {
        *lock(&self.asked_at) = Some(Instant::now());
    }

    /// How a call ended. What changes is said once.
    pub(crate) fn note<T>(&self, result: &Result<T>) {
        *lock(&self.asked_at) = None;
        let mut trouble = lock(&self.trouble);
        match result {
            Ok(_) => {
                if trouble.take().is_some() {
                    eprintln!("tidings: the {} answers again", self.name);
                }
            }
            // What is wrong with a single event says nothing about the end it goes to.
            Err(error) if error.kind().policy() == Policy::Park => {}
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                // What stops the relay is said when it stops.
                let passes = error.kind().policy() == Policy::Backoff;
                if passes && trouble.as_ref().is_none_or(|known| known.code() != error.code()) {
                    eprintln!("tidings: {error}");
                }
                *trouble = Some(error.clone());
            }
        }
    }

    fn trouble(&self) -> Option<String> {
        if let Some(error) = &*lock(&self.trouble) {
            return Some(error.to_string());
        }
        let since = (*lock(&self.asked_at))?.elapsed();
        (since > SLOW).then(|| format!("the {} has not answered for {} s", self.name, since.as_secs()))
    }
}

impl Board {
    pub(crate) fn new(topic: &str) -> Self {
        Self {
            source: Side::new("source"),
            log: Side::new("log"),
            topic: topic.to_owned(),
            phase: Mutex::new(Phase::Starting),
            paused: watch::channel(false).0,
            holding: AtomicBool::new(false),
            counts: Mutex::default(),
            read_up_to: Mutex::default(),
        }
    }

    /// What it is about from now on; said if it is news.
    pub(crate) fn enter(&self, phase: Phase) {
        if std::mem::replace(&mut *lock(&self.phase), phase) != phase {
            eprintln!(
                "tidings: {}",
                match phase {
                    Phase::Starting => "starting",
                    Phase::StandingBy => "another relay leads; standing by",
                    Phase::Leading => "leading",
                    Phase::Draining => "draining",
                }
            );
        }
    }

    /// A driver begins to count.
    pub(crate) fn count(&self, now: Arc<RelayCounts>) {
        let before = self.totals();
        *lock(&self.counts) = Counts { before, now: Some(now) };
    }

    fn totals(&self) -> [u64; 3] {
        let counts = lock(&self.counts);
        let [published, parked, failures] = counts.before;
        match &counts.now {
            Some(now) => [published + now.published(), parked + now.parked(), failures + now.failures()],
            None => counts.before,
        }
    }

    pub(crate) fn read_up_to(&self, time: Time) {
        *lock(&self.read_up_to) = Some(time);
    }

    /// Whether it was asked to hold; resolves when that changes.
    pub(crate) fn paused(&self) -> watch::Receiver<bool> {
        self.paused.subscribe()
    }

    /// From now on nothing is read until it is resumed, or it goes on.
    pub(crate) fn hold(&self, holding: bool) {
        self.holding.store(holding, Ordering::Relaxed);
    }

    pub(crate) fn pause(&self, paused: bool) {
        if self.paused.send_replace(paused) != paused {
            eprintln!("tidings: {}", if paused { "paused" } else { "resumed" });
        }
    }

    /// Whether it does what it is for. One that stands by does: it waits for its turn.
    pub(crate) fn status(&self) -> Status {
        let phase = *lock(&self.phase);
        let [published, parked, failures] = self.totals();
        let (source, log) = (self.source.trouble(), self.log.trouble());
        let ready = match phase {
            Phase::Leading => source.is_none() && log.is_none(),
            Phase::StandingBy => log.is_none(),
            Phase::Starting | Phase::Draining => false,
        };
        Status {
            topic: self.topic.clone(),
            phase,
            paused: *self.paused.borrow(),
            holding: self.holding.load(Ordering::Relaxed),
            ready,
            published,
            parked,
            failures,
            source,
            log,
            read_up_to: lock(&self.read_up_to).map(|time| time.to_string()),
        }
    }

    /// For Prometheus.
    pub(crate) fn metrics(&self) -> String {
        let status = self.status();
        let [source, log] = [&self.source, &self.log].map(|side| side.failures.load(Ordering::Relaxed));
        let mut text = String::new();
        let mut add = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
            text += &format!("# HELP tidings_relay_{name} {help}\n# TYPE tidings_relay_{name} {kind}\n");
            for (labels, value) in values {
                text += &format!("tidings_relay_{name}{labels} {value}\n");
            }
        };
        let flag = |is: bool| [("", u64::from(is))];
        add(
            "published_total",
            "counter",
            "Events appended to the log, repeats included.",
            &[("", status.published)],
        );
        add("parked_total", "counter", "Events set aside.", &[("", status.parked)]);
        let failed = [("{end=\"source\"}", source), ("{end=\"log\"}", log)];
        add("failures_total", "counter", "Calls that failed.", &failed);
        let up = [
            ("{end=\"source\"}", u64::from(status.source.is_none())),
            ("{end=\"log\"}", u64::from(status.log.is_none())),
        ];
        add("up", "gauge", "Whether that end answers.", &up);
        add("leading", "gauge", "Whether this relay leads.", &flag(status.phase == Phase::Leading));
        add("paused", "gauge", "Whether it was paused.", &flag(status.paused));
        add("ready", "gauge", "Whether it is ready.", &flag(status.ready));
        if let Some(time) = *lock(&self.read_up_to) {
            let seconds = u64::try_from(time.micros() / 1_000_000).unwrap_or_default();
            let help = "By the database's clock, all that was committed until then was read.";
            add("read_up_to_seconds", "gauge", help, &[("", seconds)]);
        }
        text
    }
}

/// Whether this failure only says that it is another relay's turn.
pub(crate) fn is_turn_of_another(error: &Error) -> bool {
    matches!(error.code(), Code::LEASE_TAKEN | Code::FENCED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_fails_makes_it_unready_until_it_answers() {
        let board = Board::new("pricing");
        assert!(!board.status().ready, "not before it leads");
        board.enter(Phase::Leading);
        assert!(board.status().ready);
        board.log.note::<()>(&Err(Error::new(Code::KAFKA_UNREACHABLE, "away")));
        let status = board.status();
        assert!(!status.ready && status.log.is_some_and(|log| log.contains("TD6001")));
        board.log.note::<()>(&Err(Error::new(Code::OVERSIZED, "one event")));
        assert!(!board.status().ready, "an event that is refused is no answer to the other question");
        board.log.note(&Ok(()));
        assert!(board.status().ready);
        assert!(board.metrics().contains("tidings_relay_failures_total{end=\"log\"} 1\n"));
    }
}
