//! The driver of a consumer: it waits, calls and reports; what to do next is decided by [`tidings_core::consumer`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidings_core::consumer::Settings;
use tidings_core::port::{Log, Membership, Parking, Store};
use tidings_core::{Event, Outcome, Partition, Position, Result, Time, Topic};
use tokio::task::JoinSet;

use crate::running::{Running, Stopping, persist};

mod builder;
mod lane;
mod rules;
mod share;

pub use builder::ConsumerBuilder;
use lane::Lane;
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

/// Hears what becomes of each event. Called on the consumer's tasks, after the fact: be quick.
pub trait Observer: Send + Sync {
    /// These events' effects are done. An event may come more than once.
    fn outcomes(&self, outcomes: &[(Arc<Event>, Outcome)]);

    /// Every store follows these positions from now on. Those that keep no position of their own have opened an epoch.
    /// A consumer that shares a group's work says so of each share that it is given.
    fn began(&self, positions: &[Position]) {
        let _ = positions;
    }

    /// What this partition's source had committed before `time`, by its own clock, has been applied by every store, but
    /// for what was parked or a gap. Comes after the outcomes of the same batch.
    fn caught_up(&self, partition: &Partition, time: Time) {
        let _ = (partition, time);
    }

    /// Something was missed in this partition: every store has opened an epoch. Comes before anything of the
    /// same batch is applied.
    fn gap(&self, partition: &Partition, why: &str) {
        let _ = (partition, why);
    }
}

/// Follows topics of the log and keeps stores honest by the rules of the service that owns them.
pub struct Consumer {
    name: Arc<str>,
    log: Arc<dyn Log>,
    parking: Arc<dyn Parking>,
    topics: Vec<Topic>,
    start: Start,
    member: Option<Arc<dyn Membership>>,
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
        if let Some(member) = self.member.clone() {
            return share::run(self, member, stopping).await;
        }
        let positions = persist(|| Box::pin(self.positions())).await?;
        self.begin(&positions).await?;
        let mut lanes = JoinSet::new();
        for position in positions {
            let lane = Lane { consumer: self.clone(), position, leaving: Stopping::default() };
            lanes.spawn(lane.run(stopping.clone()));
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

    /// Only now, when the positions are known: what was filled before they were found may have missed something.
    async fn begin(&self, positions: &[Position]) -> Result<()> {
        let partitions: Vec<_> = positions.iter().map(|position| position.partition.clone()).collect();
        for store in &self.stores {
            persist(|| store.begin(&self.name, &partitions)).await?;
        }
        self.observers.iter().for_each(|observer| observer.began(positions));
        Ok(())
    }

    async fn commit(&self, position: Position) -> Result<()> {
        match &self.member {
            Some(member) => member.commit(&[position]).await,
            None => self.log.commit(&self.name, &[position]).await,
        }
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
