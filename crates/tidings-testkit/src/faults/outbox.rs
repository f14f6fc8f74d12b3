//! An outbox that fails on script.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::port::{Boxed, Cursor, Outbox, Scan};
use tidings_core::{Code, Error, Result};

use super::{Call, Fault, Script, Turn};

/// A real outbox behind a [`Script`].
pub struct FaultyOutbox {
    inner: Arc<dyn Outbox>,
    script: Script,
}

impl FaultyOutbox {
    /// This outbox, with the script's faults.
    #[must_use]
    pub fn new(inner: Arc<dyn Outbox>, script: Script) -> Arc<Self> {
        Arc::new(Self { inner, script })
    }
}

fn twist(turn: &mut Turn, scan: &mut Scan) {
    for fault in turn.twists() {
        let at = turn.rng.below(scan.rows.len());
        let Some(row) = scan.rows.get_mut(at) else { continue };
        match fault {
            Fault::Double => {
                let again = row.clone();
                scan.rows.insert(at, again);
            }
            Fault::Garble => {
                let error = Error::new(Code::DATA_UNREADABLE, "scripted: damaged on its way");
                row.event = Err(Arc::new(error));
            }
            _ => continue,
        }
        turn.note(&fault);
    }
}

impl Outbox for FaultyOutbox {
    fn scan(&self, after: Cursor, limit: usize) -> Boxed<'_, Result<Scan>> {
        Box::pin(async move {
            let mut turn = self.script.begin(Call::Scan).await?;
            let mut scan = self.inner.scan(after, limit).await?;
            twist(&mut turn, &mut scan);
            turn.answer(Ok(scan))
        })
    }

    fn acknowledged(&self) -> Boxed<'_, Result<Cursor>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::Acknowledged).await?;
            turn.answer(self.inner.acknowledged().await)
        })
    }

    fn acknowledge(&self, cursor: Cursor) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::Acknowledge).await?;
            turn.answer(self.inner.acknowledge(cursor).await)
        })
    }

    fn park<'a>(&'a self, cursor: Cursor, reason: &'a Error) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::Park).await?;
            turn.answer(self.inner.park(cursor, reason).await)
        })
    }

    fn wait(&self, after: Cursor, at_most: Duration) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::Wait).await?;
            turn.answer(self.inner.wait(after, at_most).await)
        })
    }
}

impl fmt::Debug for FaultyOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyOutbox").field("script", &self.script).finish_non_exhaustive()
    }
}
