//! The source's outbox at the other end of a link.

use std::sync::Arc;
use std::time::Duration;

use tidings::memory::MemoryOutbox;
use tidings::{Error, Result};
use tidings_core::port::{Boxed, Cursor, Outbox, Scan};

use super::super::link::{Call, Link};
use crate::fault::Fault;
use crate::mutant::Mutant;

/// The outbox as one relay reaches it.
pub(in super::super) struct OutboxWire {
    outbox: Arc<MemoryOutbox>,
    link: Arc<Link>,
}

impl OutboxWire {
    pub(in super::super) fn new(outbox: &Arc<MemoryOutbox>, link: &Arc<Link>) -> Arc<Self> {
        Arc::new(Self { outbox: outbox.clone(), link: link.clone() })
    }

    async fn scan_on(&self, after: Cursor, limit: usize) -> Result<Scan> {
        let mut scan = self.outbox.scan(after, limit).await?;
        let stage = &self.link.stage;
        if stage.lacks(Mutant::DriverCompleteScan) {
            scan.complete = true;
        }
        if stage.lacks(Mutant::DriverRowGap) {
            let last = scan.rows.last().map(|row| row.cursor);
            scan.rows.retain(|row| row.event.is_ok());
            if let Some(last) = last.filter(|_| scan.rows.is_empty() && !scan.complete) {
                return Box::pin(self.scan_on(last, limit)).await;
            }
        }
        if stage.lacks(Mutant::DriverAckAfterAppend)
            && let Some(last) = scan.rows.last()
        {
            self.outbox.acknowledge(last.cursor).await?;
        }
        if let Some(row) = scan.rows.last().cloned()
            && stage.strikes(Fault::Double)
        {
            scan.rows.push(row);
        }
        Ok(scan)
    }
}

impl Outbox for OutboxWire {
    fn scan(&self, after: Cursor, limit: usize) -> Boxed<'_, Result<Scan>> {
        Box::pin(async move {
            self.link.enter(Call::Scan).await?;
            self.link.leave(Call::Scan, self.scan_on(after, limit).await).await
        })
    }

    fn acknowledged(&self) -> Boxed<'_, Result<Cursor>> {
        Box::pin(async move {
            self.link.enter(Call::Acknowledged).await?;
            self.link.leave(Call::Acknowledged, self.outbox.acknowledged().await).await
        })
    }

    fn acknowledge(&self, cursor: Cursor) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            self.link.enter(Call::Acknowledge).await?;
            self.link.leave(Call::Acknowledge, self.outbox.acknowledge(cursor).await).await
        })
    }

    fn park<'a>(&'a self, cursor: Cursor, reason: &'a Error) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.link.enter(Call::SetAside).await?;
            self.link.leave(Call::SetAside, self.outbox.park(cursor, reason).await).await
        })
    }

    fn wait(&self, after: Cursor, at_most: Duration) -> Boxed<'_, Result<()>> {
        self.outbox.wait(after, at_most)
    }
}
