//! The driver of the relay: it waits, calls and reports; what to do next is decided by [`tidings_core::relay`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidings_core::port::{Log, Outbox, Record};
use tidings_core::relay::{Action, Input, Settings};
use tidings_core::{Error, Result, Topic};
use tokio::time::Instant;

use crate::running::{Running, Stopping, persist, random};

/// Carries committed events from one outbox to a topic of the log. A topic has one source: its marks speak for one.
pub struct Relay {
    topic: Topic,
    outbox: Arc<dyn Outbox>,
    log: Arc<dyn Log>,
    settings: Settings,
    counts: Arc<RelayCounts>,
}

/// Running totals of a relay.
#[derive(Debug, Default)]
pub struct RelayCounts {
    published: AtomicU64,
    parked: AtomicU64,
    failures: AtomicU64,
}

impl RelayCounts {
    /// Events appended to the log, repeats included.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Rows set aside.
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.parked.load(Ordering::Relaxed)
    }

    /// Calls that failed; those that could be repeated were.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

impl Relay {
    /// A relay with default settings.
    #[must_use]
    pub fn new(topic: Topic, outbox: Arc<dyn Outbox>, log: Arc<dyn Log>) -> Self {
        Self { topic, outbox, log, settings: Settings::default(), counts: Arc::default() }
    }

    /// With these settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Its running totals, which outlive it.
    #[must_use]
    pub fn counts(&self) -> Arc<RelayCounts> {
        self.counts.clone()
    }

    /// Starts it on the current runtime.
    #[must_use]
    pub fn spawn(self) -> Running {
        Running::spawn(format!("the relay of {}", self.topic), |stopping| self.run(stopping))
    }

    async fn run(self, stopping: Stopping) -> Result<()> {
        let started = Instant::now();
        let partitions = persist(|| self.log.partitions(&self.topic)).await?;
        let mut machine = tidings_core::relay::Relay::new(self.topic.clone(), partitions, self.settings);
        let mut action = Action::Start;
        loop {
            let input = match action {
                Action::Drained => return Ok(()),
                Action::Stop(error) => return Err(error),
                Action::Wait { after, at_most } => {
                    // No branch starves: whether to stop is asked below, too, each time around.
                    tokio::select! {
                        biased;
                        waited = self.outbox.wait(after, at_most) => self.answer(waited, |()| Input::Done),
                        () = stopping.asked(), if !machine.is_draining() => Input::Done,
                    }
                }
                Action::Backoff(pause) => {
                    tokio::time::sleep(pause).await;
                    Input::Done
                }
                other => self.perform(other, &machine).await,
            };
            if stopping.is_asked() && !machine.is_draining() {
                machine.drain();
            }
            let now = started.elapsed();
            action = machine.on(now, random(now), input);
        }
    }

    async fn perform(&self, action: Action, machine: &tidings_core::relay::Relay) -> Input {
        match action {
            Action::Start => self.answer(self.outbox.acknowledged().await, Input::Started),
            Action::Scan { after, limit } => {
                self.answer(self.outbox.scan(after, limit).await, Input::Scanned)
            }
            Action::Park { cursor, reason } => {
                self.counts.parked.fetch_add(1, Ordering::Relaxed);
                self.answer(self.outbox.park(cursor, &reason).await, |()| Input::Done)
            }
            Action::Append => {
                let batch = machine.batch();
                let events = batch.iter().filter(|append| matches!(append.record, Record::Event(_))).count();
                self.answer(self.log.append(batch).await, |()| {
                    self.counts.published.fetch_add(events as u64, Ordering::Relaxed);
                    Input::Done
                })
            }
            Action::Acknowledge(cursor) => {
                self.answer(self.outbox.acknowledge(cursor).await, |()| Input::Done)
            }
            Action::Wait { .. } | Action::Backoff(_) | Action::Drained | Action::Stop(_) => Input::Done,
        }
    }

    fn answer<T>(&self, result: Result<T, Error>, input: impl FnOnce(T) -> Input) -> Input {
        match result {
            Ok(value) => input(value),
            Err(error) => {
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                Input::Failed(error)
            }
        }
    }
}
