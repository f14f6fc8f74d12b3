//! Where the source stood when this copy's knowledge begins.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidings_core::shared::level::Source;
use tidings_core::shared::{AsOf, Ground};
use tidings_core::{Code, Error, Result};
use tokio::runtime::Handle;

use super::guarded;
use crate::fence::Fence;

pub(super) type Tell = Box<dyn Fn(&Error) + Send + Sync>;

/// How long the source may take to say where it stands.
const PATIENCE: Duration = Duration::from_secs(5);
/// It is not asked again sooner than this.
const AGAIN: Duration = Duration::from_secs(1);

/// What is known of the source's position, and the question that is under way.
pub(super) struct Footing {
    source: Arc<dyn Source>,
    state: Mutex<State>,
    tell: Tell,
}

#[derive(Default)]
struct State {
    ground: Option<(u32, Ground)>,
    /// For which epoch it was asked last, and when.
    asked: Option<(u32, Duration)>,
    is_asking: bool,
    /// How often it did not say.
    failures: u64,
    /// Why not, if that was said since it last did.
    said: Option<Code>,
}

impl Footing {
    pub(super) fn new(source: Arc<dyn Source>, tell: Tell) -> Self {
        Self { source, state: Mutex::default(), tell }
    }

    pub(super) fn telling(&self, tell: Tell) -> Self {
        Self::new(self.source.clone(), tell)
    }

    /// How often the source did not say where it stands.
    pub(super) fn failures(&self) -> u64 {
        self.state.lock().failures
    }

    /// What this epoch of the view stands on, if it is known.
    pub(super) fn ground(&self, epoch: u32) -> Option<Ground> {
        self.state.lock().ground.filter(|(of, _)| *of == epoch).map(|(_, ground)| ground)
    }

    /// Whether it is known, or soon may be.
    pub(super) fn is_near(&self, epoch: u32) -> bool {
        let state = self.state.lock();
        state.is_asking || state.ground.is_some_and(|(of, _)| of == epoch)
    }

    /// Sees to it that the position is known for this epoch, which is open already. In the background: no read waits.
    pub(super) fn seek(self: &Arc<Self>, fence: &Arc<Fence>, epoch: u32) {
        if self.ground(epoch).is_none() {
            self.ask(fence, epoch);
        }
    }

    /// Asks the source where it stands, unless that was done just now.
    pub(super) fn ask(self: &Arc<Self>, fence: &Arc<Fence>, epoch: u32) {
        let now = fence.clock().elapsed();
        let covers = now.saturating_sub(fence.settings().visible_within);
        // What was published before the epoch may not be readable yet, and then the position would not cover it.
        let Ok(runtime) = Handle::try_current() else { return };
        if covers < fence.followed_since() {
            return;
        }
        let mut state = self.state.lock();
        let is_recent = |(of, when): (u32, Duration)| of == epoch && now.saturating_sub(when) < AGAIN;
        if state.is_asking || state.asked.is_some_and(is_recent) {
            return;
        }
        (state.is_asking, state.asked) = (true, Some((epoch, now)));
        drop(state);
        let asking = Asking(self.clone());
        runtime.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, asking.0.source.position()).await;
            let late = |_| {
                let what = format!("the source did not say within {PATIENCE:?} where it stands");
                Err(Error::new(Code::LOAD_TIMEOUT, what))
            };
            asking.0.note(epoch, covers, answer.unwrap_or_else(late));
        });
    }

    /// Without an answer nothing of the shared level is taken, and reads go to the source. That is right, and costs, and nothing
    /// else would tell.
    fn note(&self, epoch: u32, covers: Duration, answer: Result<AsOf>) {
        let mut state = self.state.lock();
        match answer {
            Ok(least) => (state.ground, state.said) = (Some((epoch, Ground { least, covers })), None),
            Err(error) => {
                state.failures += 1;
                let is_said = state.said.replace(error.code()) == Some(error.code());
                drop(state);
                if !is_said {
                    guarded(|| (self.tell)(&error));
                }
            }
        }
    }
}

/// A question under way; it ends when dropped, whatever came of it.
struct Asking(Arc<Footing>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.state.lock().is_asking = false;
    }
}
