//! What stands between a process and what it calls: every call can be slow, lost, cut off, or done without an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidings::{Code, Error, Result};
use tidings_testkit::history::Nanos;

use super::stage::{Stage, Who};
use crate::fault::Fault;

/// One process's way to the others.
pub(super) struct Link {
    pub(super) stage: Arc<Stage>,
    pub(super) who: Who,
    /// Until when it is cut off.
    cut: AtomicU64,
    /// Until when it stands still.
    paused: AtomicU64,
}

/// What is called. The number is part of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Partitions,
    Bounds,
    Committed,
    Read,
    Append,
    Commit,
    Park,
    Scan,
    Acknowledged,
    Acknowledge,
    SetAside,
    Apply,
    Load,
}

impl Link {
    pub(super) fn new(stage: &Arc<Stage>, who: Who) -> Arc<Self> {
        let stage = stage.clone();
        Arc::new(Self { stage, who, cut: AtomicU64::new(0), paused: AtomicU64::new(0) })
    }

    /// Cut off from everything it calls until then.
    pub(super) fn cut(&self, until: Nanos) {
        self.cut.store(until, Ordering::Relaxed);
    }

    /// Standing still until then.
    pub(super) fn pause(&self, until: Nanos) {
        self.paused.store(until, Ordering::Relaxed);
    }

    /// Waits as long as the process stands still.
    pub(super) async fn stand(&self) {
        while let Some(left) = self.left(&self.paused) {
            self.stage.sleep(left).await;
        }
    }

    /// The milliseconds until then, rounded up.
    fn left(&self, until: &AtomicU64) -> Option<u32> {
        let until = Some(until.load(Ordering::Relaxed)).filter(|until| *until > 0)?;
        let left = until.checked_sub(self.stage.now()).filter(|left| *left > 0)?;
        u32::try_from(left.div_ceil(1_000_000)).ok()
    }

    /// A call on its way there.
    pub(super) async fn enter(&self, call: Call) -> Result<()> {
        self.stand().await;
        let stage = &self.stage;
        stage.step(self.who, call as u64, || format!("{call:?}"));
        stage.nap().await;
        while let Some(left) = self.left(&self.cut) {
            // Whoever calls into the void hears nothing for a while, then gives up.
            stage.sleep(left.min(15)).await;
            if stage.below(2) == 1 {
                return Err(Error::new(Code::BUSY, format!("{call:?}: no answer")));
            }
        }
        if stage.strikes(Fault::Delay) {
            stage.sleep_below(60).await;
        }
        if stage.strikes(Fault::Loss) {
            stage.step(self.who, 0x100 + call as u64, || format!("{call:?} is lost on its way"));
            return Err(Error::new(Code::BUSY, format!("{call:?} was lost")));
        }
        Ok(())
    }

    /// Its answer on the way back.
    pub(super) async fn leave<T>(&self, call: Call, answer: Result<T>) -> Result<T> {
        let stage = &self.stage;
        stage.nap().await;
        self.stand().await;
        if answer.is_ok() && stage.strikes(Fault::LostAnswer) {
            stage.step(self.who, 0x200 + call as u64, || format!("{call:?} was done, its answer is lost"));
            return Err(Error::new(Code::BUSY, format!("the answer to {call:?} was lost")));
        }
        answer
    }
}
