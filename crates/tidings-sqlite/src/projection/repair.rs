//! Putting right what a gap has left incomplete.

use rusqlite::{Transaction, TransactionBehavior};
use tidings_core::Result;

use super::missing::Missing;
use super::{SqliteProjection, lock};
use crate::fault::fault;

/// What was missing at one moment, a gap among it; see [`SqliteProjection::repair`].
#[derive(Debug, Clone)]
pub struct Gap {
    epoch: u64,
    missing: Missing,
}

impl SqliteProjection {
    /// What has to be repaired, if a gap has left the rows incomplete. It is durable: after a crash it is still there.
    #[must_use]
    pub fn gap(&self) -> Option<Gap> {
        let saved = lock(&self.saved);
        saved.missing.has_gap().then(|| Gap { epoch: saved.epoch, missing: saved.missing.clone() })
    }

    /// Waits until there is a gap to repair.
    pub async fn gap_opened(&self) -> Gap {
        loop {
            // Registered before it looks, so that nothing in between is missed.
            let opened = self.opened.notified();
            if let Some(gap) = self.gap() {
                return gap;
            }
            opened.await;
        }
    }

    /// Puts the rows right by other means than events: `change` brings them to the state of the source, as that was
    /// after `gap` was asked for (and late enough for the source to show everything that it had published by then).
    /// Events are applied before and after it, and may have brought newer rows: it must compare versions as
    /// [`Apply`](super::Apply) does.
    ///
    /// All of it is one transaction. After it, what was missing when `gap` was asked for is not missing any more; a gap
    /// that came later still is, and has to be repaired by what is read after that one. If it fails, nothing has changed.
    pub async fn repair<T: Send + 'static>(
        &self,
        gap: Gap,
        change: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (name, saved) = (self.name.clone(), self.saved.clone());
        self.worker
            .call(move |connection| {
                let (mut missing, is_newest) = {
                    let saved = lock(&saved);
                    (saved.missing.clone(), saved.epoch == gap.epoch)
                };
                let tx =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
                let changed = change(&tx)?;
                missing.repaired(&tx, &name, &gap.missing, is_newest).map_err(fault)?;
                tx.commit().map_err(fault)?;
                lock(&saved).missing = missing;
                Ok(changed)
            })
            .await
    }
}
