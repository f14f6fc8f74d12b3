//! The relays: one, or two that know nothing of each other, on one outbox.

use std::sync::{Arc, Mutex, PoisonError};

use tidings::memory::{MemoryLog, MemoryOutbox};
use tidings::{Relay, Running};
use tidings_core::relay::Settings;

use super::host::backoff;
use super::link::Link;
use super::stage::{Stage, Who};
use super::wire::{LogWire, OutboxWire};

/// A place where a relay runs.
pub(super) struct RelayPost {
    stage: Arc<Stage>,
    who: Who,
    outbox: Arc<MemoryOutbox>,
    log: Arc<MemoryLog>,
    pub(super) link: Arc<Link>,
    running: Mutex<Option<Running>>,
}

impl RelayPost {
    pub(super) fn new(
        stage: &Arc<Stage>,
        number: u32,
        outbox: &Arc<MemoryOutbox>,
        log: &Arc<MemoryLog>,
    ) -> Arc<Self> {
        let who = Who::Relay(number);
        Arc::new(Self {
            stage: stage.clone(),
            who,
            outbox: outbox.clone(),
            log: log.clone(),
            link: Link::new(stage, who),
            running: Mutex::new(None),
        })
    }

    pub(super) fn start(&self) {
        let stage = &self.stage;
        stage.step(self.who, 0x510, || "starts".to_owned());
        let outbox = OutboxWire::new(&self.outbox, &self.link);
        let log = LogWire::new(&self.log, &self.link);
        let settings = Settings {
            batch: stage.draw.batch,
            mark_every: stage.draw.mark_every,
            acknowledge_every: stage.draw.settle_every,
            backoff: backoff(),
            ..Settings::default()
        };
        let relay = Relay::new(stage.names.topic.clone(), outbox, log).settings(settings);
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(relay.spawn());
    }

    pub(super) fn take(&self) -> Option<Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the relay at once; it starts again from what the outbox knows to be published.
    pub(super) fn kill(&self) {
        if self.take().is_some() {
            self.stage.step(self.who, 0x511, || "is killed".to_owned());
        }
    }
}
