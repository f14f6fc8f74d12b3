//! A durable projection: what a group's consumer keeps of every entity, with its own position, in one place.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidings::{Data, Event, Offset, Outcome, Position, Result, Stamp, Time};
use tidings_core::port::{Batch, Boxed, Store};
use tidings_testkit::history::{Nanos, State};
use tidings_testkit::judge::{Applied, Shown};

use super::draw::EARLY;
use super::stage::Stage;
use crate::fault::Fault;
use crate::mutant::Mutant;

/// The projection.
pub(super) struct Shelf {
    stage: Arc<Stage>,
    copy: AtomicU32,
    kept: Mutex<Kept>,
}

/// Everything that survives its process.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    known: Vec<Known>,
    positions: Vec<Offset>,
    marks: Vec<Option<Time>>,
    at: Nanos,
}

/// What is kept of one entity.
#[derive(Debug, Clone, Copy)]
struct Known {
    stamp: Stamp,
    /// `None`: an event of that version is set aside, so nobody knows.
    state: Option<State>,
}

impl Shelf {
    pub(super) fn new(stage: &Arc<Stage>) -> Arc<Self> {
        let nothing = Known { stamp: Stamp::default(), state: Some(State::Absent) };
        let partitions = stage.draw.partitions as usize;
        let kept = Kept {
            known: vec![nothing; stage.names.entities.len()],
            positions: vec![Offset(0); partitions],
            marks: vec![None; partitions],
            at: 0,
        };
        let copy = stage.new_copy();
        stage.with(|book| book.judge.subscribed(copy, None, 0));
        Arc::new(Self { stage: stage.clone(), copy: AtomicU32::new(copy), kept: Mutex::new(kept) })
    }

    pub(super) fn copy(&self) -> u32 {
        self.copy.load(Ordering::Relaxed)
    }

    fn kept<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        act(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where its consumer goes on.
    pub(super) fn positions(&self) -> Vec<Position> {
        let topic = &self.stage.names.topic;
        let position = |(index, offset): (u32, &Offset)| Position {
            partition: tidings::Partition { topic: topic.clone(), index },
            offset: *offset,
        };
        self.kept(|kept| (0..).zip(&kept.positions).map(position).collect())
    }

    /// The source time up to which it has taken in everything.
    pub(super) fn caught_up(&self) -> Option<Time> {
        self.kept(|kept| kept.marks.iter().copied().min().flatten())
    }

    /// What it holds of this entity, if it knows.
    pub(super) fn look(&self, entity: u32) -> Option<Shown> {
        let state = self.kept(|kept| kept.known.get(entity as usize).and_then(|known| known.state))?;
        Some(Shown { entity, state })
    }

    /// A dump of everything.
    pub(super) fn dump(&self) -> Kept {
        self.kept(|kept| Kept { at: self.stage.now(), ..kept.clone() })
    }

    /// Put back from a dump: it is another copy from now on, which has not heard what came after the dump.
    pub(super) fn restore(&self, dump: Kept) {
        let (copy, from) = (self.stage.new_copy(), dump.at);
        self.stage.with(|book| {
            book.judge.subscribed(self.copy(), None, Nanos::MAX);
            book.judge.subscribed(copy, None, from);
        });
        self.copy.store(copy, Ordering::Relaxed);
        self.kept(|kept| *kept = dump);
    }

    /// Takes one event in, unless it is old news, and writes down what became of it: it is durable from here on.
    fn take(&self, kept: &mut Kept, event: &Event, parked: bool, at: Nanos) {
        let Some(entity) = self.stage.names.number(&event.entity) else { return };
        let Some(known) = kept.known.get_mut(entity as usize) else { return };
        let news = known.stamp < event.stamp;
        if news || self.stage.lacks(Mutant::DriverProjectionVersion) {
            let state = (!parked).then(|| carried(event)).flatten();
            *known = Known { stamp: event.stamp, state };
        }
        let outcome = match (parked, news) {
            (true, _) => Outcome::Parked,
            (false, true) => Outcome::Applied,
            (false, false) => Outcome::Superseded,
        };
        let applied = Applied { copy: self.copy(), entity, stamp: event.stamp, outcome, at };
        self.stage.with(|book| book.judge.applied(&applied));
    }

    fn file(kept: &mut Kept, next: &Position) {
        if let Some(offset) = kept.positions.get_mut(next.partition.index as usize) {
            *offset = next.offset.max(*offset);
        }
    }

    /// What it may have missed is read from the source.
    async fn repair(&self) {
        if self.stage.draw.has(Fault::EarlyEvent) {
            // What was published in the gap may not be readable yet.
            self.stage.sleep(EARLY).await;
        }
        let now = self.stage.now();
        self.kept(|kept| {
            for (entity, known) in (0..).zip(&mut kept.known) {
                let row = self.stage.with(|book| book.truth.read(entity, now));
                if let Some(row) = row.filter(|row| row.stamp >= known.stamp) {
                    *known = Known { stamp: row.stamp, state: Some(row.shown()) };
                }
            }
        });
    }
}

impl Store for Shelf {
    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            if self.stage.lacks(Mutant::DriverProjectionPosition) {
                self.kept(|kept| Self::file(kept, batch.next));
                self.stage.sleep_below(20).await;
            }
            let at = self.stage.now();
            self.kept(|kept| {
                batch.events.iter().for_each(|event| self.take(kept, event, false, at));
                batch.parked.iter().for_each(|event| self.take(kept, event, true, at));
                Self::file(kept, batch.next);
                let mark = kept.marks.get_mut(batch.next.partition.index as usize);
                if let Some(mark) = mark {
                    *mark = batch.caught_up.max(*mark);
                }
            });
            Ok(())
        })
    }

    fn open_epoch<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.repair().await;
            Ok(())
        })
    }
}

/// The state that an event carries; `None` if it cannot be read.
pub(super) fn carried(event: &Event) -> Option<State> {
    let Data::Json(text) = &event.data else { return None };
    match text.parse::<u64>().ok()? {
        0 => Some(State::Absent),
        digest => Some(State::At { stamp: event.stamp, digest: Some(digest), in_force: None }),
    }
}
