//! The suite that every log runs.

use std::sync::Arc;

use tidings_core::Result;
use tidings_core::port::{Boxed, Log};
use tidings_kafka::{KafkaLog, KafkaSettings};
use tidings_testkit::conformance::{self, LogHome};

use crate::support::{broker, settings};

struct Home(KafkaSettings);

impl LogHome for Home {
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Log>>> {
        let log = KafkaLog::open(self.0.clone());
        Box::pin(async { Ok(log? as Arc<dyn Log>) })
    }

    /// A batch is one request per partition; nothing ties them together.
    fn is_atomic(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_does_what_every_log_does() {
    let Some(broker) = broker() else { return };
    for partitions in [1, 4] {
        let mut settings = settings(&broker, partitions);
        settings.removes = true;
        conformance::log::run_all(&Home(settings)).await;
    }
}
