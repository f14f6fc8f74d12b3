//! What a consumer says of itself, written down for the judge.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidings::{Event, Fence, Observer, Outcome, Partition, Position, Time};
use tidings_testkit::history::Nanos;
use tidings_testkit::judge::Applied;

use super::shelf::Shelf;
use super::stage::{Stage, Who, ms, nanos_at};
use crate::tally::Sometimes;

/// Whose word it is.
pub(super) enum Of {
    /// A host's copy.
    Fence(Arc<Fence>),
    /// A group's projection.
    Shelf(Arc<Shelf>),
}

/// Hears a consumer.
pub(super) struct Witness {
    stage: Arc<Stage>,
    who: Who,
    copy: u32,
    of: Of,
    epochs: AtomicU64,
    /// By partition, the newest mark that it was told of after everything that came before it.
    marks: Mutex<Vec<Option<Time>>>,
}

impl Witness {
    pub(super) fn new(stage: &Arc<Stage>, who: Who, copy: u32, of: Of) -> Arc<Self> {
        let marks = Mutex::new(vec![None; stage.draw.partitions as usize]);
        Arc::new(Self { stage: stage.clone(), who, copy, of, epochs: AtomicU64::new(0), marks })
    }

    /// The copy's number: a projection that was put back is another.
    fn copy(&self) -> u32 {
        match &self.of {
            Of::Fence(_) => self.copy,
            Of::Shelf(shelf) => shelf.copy(),
        }
    }

    /// Notes an epoch if one was opened since the last time.
    fn note_epochs(&self, at: Nanos) {
        let Of::Fence(fence) = &self.of else { return };
        let epochs = fence.epochs();
        if self.epochs.swap(epochs, Ordering::Relaxed) != epochs {
            self.stage.with(|book| book.judge.epoch(self.copy, at));
        }
    }
}

impl Observer for Witness {
    fn began(&self, positions: &[Position]) {
        let at = self.stage.step(self.who, 0x400, || {
            let from: Vec<_> = positions.iter().map(ToString::to_string).collect();
            format!("follows from {}", from.join(", "))
        });
        self.note_epochs(at);
        if let Of::Fence(_) = self.of {
            self.stage.with(|book| book.judge.subscribed(self.copy, None, at));
        }
    }

    fn outcomes(&self, outcomes: &[(Arc<Event>, Outcome)]) {
        let at = self.stage.step(self.who, 0x401, || {
            let told = outcomes
                .iter()
                .map(|(event, outcome)| format!("{} {} {outcome:?}", event.entity, event.stamp));
            format!("has dealt with {}", told.collect::<Vec<_>>().join(", "))
        });
        self.note_epochs(at);
        // What a projection took in counts from when it was durable, which it says itself.
        let Of::Fence(_) = self.of else { return };
        let copy = self.copy;
        self.stage.with(|book| {
            for (event, outcome) in outcomes {
                let Some(entity) = self.stage.names.number(&event.entity) else { continue };
                if *outcome == Outcome::Superseded {
                    book.tally.happened(Sometimes::OldNews);
                }
                book.judge.applied(&Applied { copy, entity, stamp: event.stamp, outcome: *outcome, at });
            }
        });
    }

    fn caught_up(&self, partition: &Partition, time: Time) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mark) = marks.get_mut(partition.index as usize) {
            *mark = Some(time).max(*mark);
        }
        let known = marks.iter().copied().min().flatten();
        drop(marks);
        let Some(upto) = known.map(nanos_at) else { return };
        let at = self.stage.step(self.who, 0x402, || format!("knows everything up to {:.3} ms", ms(upto)));
        self.note_epochs(at);
        let copy = self.copy();
        self.stage.with(|book| book.judge.marked(copy, None, upto, at));
    }

    fn gap(&self, partition: &Partition, why: &str) {
        let at = self.stage.step(self.who, 0x403, || format!("has a gap in {partition}: {why}"));
        let copy = self.copy();
        let of_fence = matches!(self.of, Of::Fence(_));
        self.note_epochs(at);
        self.stage.with(|book| {
            if !of_fence {
                book.judge.epoch(copy, at);
            }
            book.judge.subscribed(copy, None, at);
        });
    }
}
