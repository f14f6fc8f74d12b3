//! One partition of a consumer: waits, calls, reports.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidings_core::consumer::{Action, Consumer as Machine, Input};
use tidings_core::error::Kind;
use tidings_core::port::{Batch, Boxed, Parked, ReadLimit};
use tidings_core::{Error, Offset, Position, Result, Time};
use tokio::time::Instant;

use super::{Consumer, Observer, Start};
use crate::running::{Stopping, random};

/// One partition of a consumer.
pub(super) struct Lane {
    pub(super) consumer: Arc<Consumer>,
    pub(super) position: Position,
    /// Asked when the partition goes to another member.
    pub(super) leaving: Stopping,
}

impl Lane {
    pub(super) async fn run(self, stopping: Stopping) -> Result<()> {
        let consumer = &self.consumer;
        let started = Instant::now();
        let durable = consumer.start == Start::Group;
        let mut machine = Machine::new(durable, consumer.settings);
        let mut action = Action::Start;
        loop {
            let mut told = None;
            let is_commit = matches!(action, Action::Commit(_));
            let input = match action {
                Action::Drained => return Ok(()),
                Action::Stop(error) => {
                    return Err(error.at(format!("{} at {}", consumer.name, self.position)));
                }
                Action::Wait(offset, at_most) => {
                    let positions = [self.at(offset)];
                    // No branch starves: whether to stop is asked below, too, each time around.
                    tokio::select! {
                        biased;
                        waited = self.wait(&positions, at_most) => self.answer(waited),
                        () = self.leaving.asked(), if !machine.is_leaving() => Input::Done,
                        () = stopping.asked(), if !machine.is_draining() => Input::Done,
                    }
                }
                Action::Backoff(pause) => {
                    tokio::time::sleep(pause).await;
                    Input::Done
                }
                other => {
                    told = Told::by(&other, &machine);
                    self.perform(other, &machine).await
                }
            };
            if stopping.is_asked() && !machine.is_draining() {
                machine.drain();
            }
            if self.leaving.is_asked() {
                machine.leave();
            }
            if is_commit && consumer.member.is_some() && is_fenced(&input) {
                // Another member has the partition, and applies what was not committed.
                return Ok(());
            }
            let told = told.filter(|_| matches!(input, Input::Done));
            let now = started.elapsed();
            action = machine.on(now, random(now), &consumer.rules, input);
            let outcomes = machine.outcomes();
            if !outcomes.is_empty() {
                consumer.count(&outcomes);
                consumer.observers.iter().for_each(|observer| observer.outcomes(&outcomes));
            }
            if let Some(told) = told {
                consumer.observers.iter().for_each(|observer| self.tell(&**observer, &told));
            }
        }
    }

    async fn perform(&self, action: Action, machine: &Machine) -> Input {
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
            Action::Commit(offset) => self.answer(consumer.commit(self.at(offset)).await),
            Action::Wait(..) | Action::Backoff(_) | Action::Drained | Action::Stop(_) => Input::Done,
        }
    }

    async fn park(&self, machine: &Machine) -> Result<()> {
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

    async fn apply(&self, machine: &Machine) -> Result<()> {
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

    fn wait<'a>(&'a self, positions: &'a [Position], at_most: Option<Duration>) -> Boxed<'a, Result<()>> {
        let waiting = self.consumer.log.wait(positions);
        match at_most {
            None => waiting,
            Some(at_most) => {
                Box::pin(async move { tokio::time::timeout(at_most, waiting).await.unwrap_or(Ok(())) })
            }
        }
    }

    fn tell(&self, observer: &dyn Observer, told: &Told) {
        match told {
            Told::CaughtUp(time) => observer.caught_up(&self.position.partition, *time),
            Told::Gap(why) => observer.gap(&self.position.partition, why),
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

fn is_fenced(input: &Input) -> bool {
    matches!(input, Input::Failed(error) if error.kind() == Kind::Fenced)
}

/// What observers hear once an action is done, beside outcomes.
enum Told {
    CaughtUp(Time),
    Gap(String),
}

impl Told {
    fn by(action: &Action, machine: &Machine) -> Option<Self> {
        match action {
            Action::Apply => machine.planned().caught_up.map(Self::CaughtUp),
            Action::OpenEpoch(why) => Some(Self::Gap(why.clone())),
            _ => None,
        }
    }
}
