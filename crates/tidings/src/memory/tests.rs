//! The in-memory ports keep what their ports promise.

use std::num::NonZeroU32;
use std::sync::Arc;

use tidings_core::event::Draft;
use tidings_core::port::{Boxed, Cursor, Log, Outbox, Parking};
use tidings_core::{Position, Result, Stamp};
use tidings_testkit::conformance::{self, LogHome, OutboxHome, ParkingHome};

use super::{MemoryLog, MemoryOutbox};

struct LogInMemory(Arc<MemoryLog>);

impl LogHome for LogInMemory {
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Log>>> {
        Box::pin(async { Ok(self.0.clone() as Arc<dyn Log>) })
    }

    fn damage<'a>(&'a self, at: &'a Position) -> Boxed<'a, Result<bool>> {
        Box::pin(async { Ok(self.0.damage(at)) })
    }
}

struct OutboxInMemory(Arc<MemoryOutbox>);

impl OutboxHome for OutboxInMemory {
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Outbox>>> {
        Box::pin(async { Ok(self.0.clone() as Arc<dyn Outbox>) })
    }

    fn commit<'a>(&'a self, drafts: &'a [Draft]) -> Boxed<'a, Result<Vec<Stamp>>> {
        Box::pin(async { self.0.commit(drafts) })
    }

    fn roll_back<'a>(&'a self, _drafts: &'a [Draft]) -> Boxed<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn parked(&self) -> Boxed<'_, Result<Vec<Cursor>>> {
        Box::pin(async { Ok(self.0.parked().into_iter().map(|(cursor, _)| cursor).collect()) })
    }

    fn damage(&self, at: Cursor) -> Boxed<'_, Result<bool>> {
        Box::pin(async move { Ok(self.0.damage(at)) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_conforms() {
    for partitions in [1, 4] {
        let partitions = NonZeroU32::new(partitions).unwrap();
        conformance::log::run_all(&LogInMemory(MemoryLog::new(partitions))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_conforms() {
    conformance::outbox::run_all(&OutboxInMemory(MemoryOutbox::new("/conformance"))).await;
}

impl ParkingHome for LogInMemory {
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Parking>>> {
        Box::pin(async { Ok(self.0.clone() as Arc<dyn Parking>) })
    }
}

#[tokio::test]
async fn the_parking_conforms() {
    let log = MemoryLog::new(NonZeroU32::MIN);
    conformance::parking::run_all(&LogInMemory(log)).await;
}
