//! The driver of a consumer: it waits, calls and reports; what to do next is decided by [`tidings_core::consumer`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidings_core::consumer::{Action, Input, Settings};
use tidings_core::port::{Batch, Boxed, Log, Parked, Parking, ReadLimit, Store};
use tidings_core::{Error, Event, Offset, Outcome, Partition, Position, Result, Topic};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::relay::random;
use crate::running::{Running, Stopping, persist};

mod builder;
mod rules;

pub use builder::ConsumerBuilder;
use rules::Rules;

/// Where a consumer begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At the head, with copies that start empty; every copy reads everything, and no position is kept.
    Head,
    /// Where the group of the consumer's name left off; the beginning if it never was. Its positions are kept.
    Group,
    /// At these positions, which the caller keeps (a projection does, in its own transaction); the beginning of any
    /// partition that is not named.
    At(Vec<Position>),
}

/// Hears what becomes of each event. Called on the consumer's task: be quick.
pub trait Observer: Send + Sync {
    /// These events' effects are done. An event may come more than once.
    fn outcomes(&self, outcomes: &[(Arc<Event>, Outcome)]);
}

/// Follows topics of the log and keeps stores honest by the rules of the service that owns them.
pub struct Consumer {
    name: Arc<str>,
    log: Arc<dyn Log>,
    parking: Arc<dyn Parking>,
    topics: Vec<Topic>,
    start: Start,
    settings: Settings,
    rules: Rules,
    stores: Vec<Arc<dyn Store>>,
    observers: Vec<Arc<dyn Observer>>,
    counts: Arc<ConsumerCounts>,
}

/// Running totals of a consumer.
#[derive(Debug, Default)]
pub struct ConsumerCounts {
    applied: AtomicU64,
    superseded: AtomicU64,
    parked: AtomicU64,
    gaps: AtomicU64,
    failures: AtomicU64,
}

impl ConsumerCounts {
    /// Events whose own decision took effect, repeats included.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// Events in whose place a newer one of the same batch took effect.
    #[must_use]
    pub fn superseded(&self) -> u64 {
        self.superseded.load(Ordering::Relaxed)
    }

    /// Events set aside.
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.parked.load(Ordering::Relaxed)
    }

    /// How often something had been missed.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// Calls that failed; those that could be repeated were.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

impl Consumer {
    /// Starts the settings of a consumer. `log` is also where it parks events, if it can.
    #[must_use]
    pub fn builder<L: Log + Parking + 'static>(name: &str, log: Arc<L>) -> ConsumerBuilder {
        ConsumerBuilder::new(name, log.clone(), log)
    }

    /// Its running totals, which outlive it.
    #[must_use]
    pub fn counts(&self) -> Arc<ConsumerCounts> {
        self.counts.clone()
    }

    /// Starts it on the current runtime.
    #[must_use]
    pub fn spawn(self) -> Running {
        let name = format!("the consumer {}", self.name);
        Running::spawn(name, |stopping| Arc::new(self).run(stopping))
    }

    async fn run(self: Arc<Self>, stopping: Stopping) -> Result<()> {
        let positions = persist(|| Box::pin(self.positions())).await?;
        let partitions: Vec<_> = positions.iter().map(|position| position.partition.clone()).collect();
        // Only now: what was filled before these positions were found may have missed something.
        for store in &self.stores {
            persist(|| store.begin(&self.name, &partitions)).await?;
        }
        let mut lanes = JoinSet::new();
        for position in positions {
            lanes.spawn(Lane { consumer: self.clone(), position }.run(stopping.clone()));
        }
        while let Some(ended) = lanes.join_next().await {
            match ended {
                Ok(result) => result?,
                Err(failure) if failure.is_panic() => std::panic::resume_unwind(failure.into_panic()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    async fn positions(&self) -> Result<Vec<Position>> {
        let mut positions = Vec::new();
        for topic in &self.topics {
            for index in 0..self.log.partitions(topic).await? {
                let partition = Partition { topic: topic.clone(), index };
                let offset = match &self.start {
                    Start::Head => self.log.bounds(&partition).await?.1,
                    // If the beginning is gone, reading from 0 says so: it is a gap, not a detail.
                    Start::Group => self.log.committed(&self.name, &partition).await?.unwrap_or_default(),
                    Start::At(known) => {
                        let known = known.iter().find(|position| position.partition == partition);
                        known.map(|position| position.offset).unwrap_or_default()
                    }
                };
                positions.push(Position { partition, offset });
            }
        }
        Ok(positions)
    }

    fn count(&self, outcomes: &[(Arc<Event>, Outcome)]) {
        for (_, outcome) in outcomes {
            let counter = match outcome {
                Outcome::Applied => &self.counts.applied,
                Outcome::Superseded => &self.counts.superseded,
                Outcome::Parked => &self.counts.parked,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One partition of a consumer.
struct Lane {
    consumer: Arc<Consumer>,
    position: Position,
}

impl Lane {
    async fn run(self, mut stopping: Stopping) -> Result<()> {
        let consumer = &self.consumer;
        let clock = Clock::system();
        let durable = consumer.start == Start::Group;
        let mut machine = tidings_core::consumer::Consumer::new(durable, consumer.settings);
        let mut action = Action::Start;
        loop {
            let input = match action {
                Action::Drained => return Ok(()),
                Action::Stop(error) => {
                    return Err(error.at(format!("{} at {}", consumer.name, self.position)));
                }
                Action::Wait(offset, at_most) => {
                    let positions = [self.at(offset)];
                    tokio::select! {
                        waited = self.wait(&positions, at_most) => self.answer(waited),
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
            action = machine.on(clock.elapsed(), random(&clock), &consumer.rules, input);
            let outcomes = machine.outcomes();
            if !outcomes.is_empty() {
                consumer.count(&outcomes);
                consumer.observers.iter().for_each(|observer| observer.outcomes(&outcomes));
            }
        }
    }

    async fn perform(&self, action: Action, machine: &tidings_core::consumer::Consumer) -> Input {
        let consumer = &self.consumer;
        match action {
            Action::Start => Input::Started(self.position.offset),
            Action::Read(offset) => match consumer.log.read(&self.at(offset), ReadLimit::default()).await {
                Ok(read) => Input::Read(read),
                Err(error) => self.answer(Err(error)),
            },
            Action::OpenEpoch(why) => {
                consumer.counts.gaps.fetch_add(1, Ordering::Relaxed);
                let mut result = Ok(());
                for store in &consumer.stores {
                    result = result.and(store.open_epoch(&why).await);
                }
                self.answer(result)
            }
            Action::Park => self.answer(self.park(machine).await),
            Action::Apply => self.answer(self.apply(machine).await),
            Action::Commit(offset) => {
                self.answer(consumer.log.commit(&consumer.name, &[self.at(offset)]).await)
            }
            Action::Wait(..) | Action::Backoff(_) | Action::Drained | Action::Stop(_) => Input::Done,
        }
    }

    async fn park(&self, machine: &tidings_core::consumer::Consumer) -> Result<()> {
        let parked: Vec<_> = machine
            .planned()
            .parked
            .iter()
            .map(|(offset, event, reason)| Parked {
                position: self.at(*offset),
                event: event.clone(),
                reason: reason.clone(),
            })
            .collect();
        self.consumer.parking.park(&self.consumer.name, &parked).await
    }

    async fn apply(&self, machine: &tidings_core::consumer::Consumer) -> Result<()> {
        let planned = machine.planned();
        let Some(next) = planned.next else { return Ok(()) };
        let next = self.at(next);
        let parked: Vec<_> = planned.parked.iter().map(|(_, event, _)| event.clone()).collect();
        for store in &self.consumer.stores {
            let batch = Batch {
                consumer: &self.consumer.name,
                actions: &planned.actions,
                events: &planned.events,
                parked: &parked,
                next: &next,
                caught_up: planned.caught_up,
            };
            store.apply(batch).await?;
        }
        Ok(())
    }

    fn wait<'a>(
        &'a self,
        positions: &'a [Position],
        at_most: Option<std::time::Duration>,
    ) -> Boxed<'a, Result<()>> {
        let waiting = self.consumer.log.wait(positions);
        match at_most {
            None => waiting,
            Some(at_most) => {
                Box::pin(async move { tokio::time::timeout(at_most, waiting).await.unwrap_or(Ok(())) })
            }
        }
    }

    fn at(&self, offset: Offset) -> Position {
        Position { partition: self.position.partition.clone(), offset }
    }

    fn answer(&self, result: Result<(), Error>) -> Input {
        match result {
            Ok(()) => Input::Done,
            Err(error) => {
                self.consumer.counts.failures.fetch_add(1, Ordering::Relaxed);
                Input::Failed(error)
            }
        }
    }
}
