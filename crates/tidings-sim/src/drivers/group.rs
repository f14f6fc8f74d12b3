//! The group that keeps the projection: its consumer can die, and be replaced while it still acts.

use std::sync::{Arc, Mutex, PoisonError};

use tidings::memory::MemoryLog;
use tidings::{Code, Consumer, Decision, Error, Result, Running, Start};

use super::host::settings;
use super::link::Link;
use super::shelf::{Kept, Shelf, carried};
use super::stage::{Stage, Who};
use super::wire::{LogWire, StoreWire};
use super::witness::{Of, Witness};

const NAME: &str = "group";

/// The group.
pub(super) struct Group {
    stage: Arc<Stage>,
    log: Arc<MemoryLog>,
    pub(super) link: Arc<Link>,
    pub(super) shelf: Arc<Shelf>,
    /// Whether the log keeps its position; if not, the projection does.
    by_log: bool,
    running: Mutex<Vec<Running>>,
    dump: Mutex<Option<Kept>>,
}

impl Group {
    pub(super) fn new(stage: &Arc<Stage>, log: &Arc<MemoryLog>) -> Arc<Self> {
        Arc::new(Self {
            stage: stage.clone(),
            log: log.clone(),
            link: Link::new(stage, Who::Group(0)),
            shelf: Shelf::new(stage),
            by_log: stage.below(2) == 1,
            running: Mutex::default(),
            dump: Mutex::default(),
        })
    }

    /// Starts a consumer; another may still be at work.
    pub(super) fn start(&self) -> Result<()> {
        let start = if self.by_log { Start::Group } else { Start::At(self.shelf.positions()) };
        self.stage.step(self.link.who, 0x520, || format!("a consumer starts, {start:?}"));
        let names = self.stage.names.clone();
        let store = StoreWire::new(self.shelf.clone(), &self.link);
        let witness = Witness::new(&self.stage, self.link.who, 0, Of::Shelf(self.shelf.clone()));
        let consumer = Consumer::builder(NAME, LogWire::of_group(&self.log, &self.link, NAME))
            .topics([&names.topic])
            .start(start)
            .settings(settings())
            .on_type(&names.changed, |event| match carried(event) {
                Some(_) => Ok(vec![Decision::Invalidate]),
                None => Err(Error::new(Code::DATA_UNREADABLE, format!("{} is poison", event.entity))),
            })
            .store(store)
            .observer(witness)
            .build()?;
        self.running().push(consumer.spawn());
        Ok(())
    }

    /// Ends all but the newest of its consumers.
    pub(super) fn retire(&self) {
        let mut running = self.running();
        let newest = running.pop();
        running.clear();
        running.extend(newest);
    }

    /// Ends its consumers at once.
    pub(super) fn kill(&self) {
        if !std::mem::take(&mut *self.running()).is_empty() {
            self.stage.step(self.link.who, 0x521, || "is killed".to_owned());
        }
    }

    pub(super) fn take(&self) -> Vec<Running> {
        std::mem::take(&mut *self.running())
    }

    /// Keeps a dump, to be put back some day.
    pub(super) fn save(&self) {
        *self.dump.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.shelf.dump());
    }

    /// Puts the dump back, if there is one and it holds its own position.
    pub(super) fn put_back(&self) -> bool {
        let dump = self.dump.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(dump) = dump.filter(|_| !self.by_log) else { return false };
        self.stage.step(self.link.who, 0x522, || "is put back from a dump".to_owned());
        self.shelf.restore(dump);
        true
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
