//! The suite that every log runs.

use std::sync::Arc;

use tidings_core::port::{Boxed, Log, Parked, Parking};
use tidings_core::{Code, Error, Result};
use tidings_kafka::{KafkaLog, KafkaSettings};
use tidings_testkit::conformance::{self, LogHome, ParkingHome};

use crate::support::{at, broker, event, settings};

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

impl ParkingHome for Home {
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Parking>>> {
        let log = KafkaLog::open(self.0.clone());
        Box::pin(async { Ok(log? as Arc<dyn Parking>) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_parked_is_kept_as_every_parking_keeps_it() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, 4);
    conformance::parking::run_all(&Home(settings.clone())).await;
    // Names that Kafka would not take, or hold for the same.
    let log = KafkaLog::open(settings).unwrap();
    for group in ["a/b c", "a.b", "a_b", "größe"] {
        assert_eq!(log.parked(group, 1).await.unwrap().1, 0);
        log.park(group, &[parked(group)]).await.unwrap();
        let (listed, total) = log.parked(group, 1).await.unwrap();
        assert_eq!((listed[0].reason.what(), total), (group.to_owned(), 1));
    }
}

fn parked(why: &str) -> Parked {
    let event = Arc::new(event("price/1", 1));
    Parked { position: at(0, 0), event, reason: Error::new(Code::DATA_UNREADABLE, why) }
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
