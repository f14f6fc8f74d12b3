//! Brokers that stop, die and come back.

use std::time::{Duration, Instant};

use services::Kafka;
use tidings_core::Code;
use tidings_core::port::{Log, Read, ReadLimit};
use tidings_kafka::KafkaSettings;
use tokio::time::timeout;

use crate::support::{at, broker, event, log, records, settings, versions, write};

const LONG: Duration = Duration::from_secs(90);

fn quick(bootstrap: &str) -> KafkaSettings {
    let mut settings = settings(bootstrap, 1);
    settings.timeout = Duration::from_secs(2);
    settings.append_timeout = Duration::from_secs(3);
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stops_is_waited_out_and_nothing_is_lost() {
    if broker().is_none() {
        return;
    }
    let mut kafka = Kafka::start(&[]).unwrap();
    let log = log(quick(&kafka.bootstrap())).await;
    log.append(&[write(0, event("price/1", 1))]).await.unwrap();
    assert_eq!(versions(&records(&*log, at(0, 0)).await), [1]);

    kafka.pause().unwrap();
    let began = Instant::now();
    let lost = log.append(&[write(0, event("price/1", 2))]).await.unwrap_err();
    assert_eq!(lost.code(), Code::KAFKA_UNREACHABLE, "{lost}");
    let unread = log.read(&at(0, 1), ReadLimit::default()).await.unwrap_err();
    assert_eq!(unread.code(), Code::KAFKA_UNREACHABLE, "{unread}");
    // Silence for longer than the brokers may be silent is told to those who wait.
    let positions = [at(0, 1)];
    let waited = timeout(LONG, log.wait(&positions)).await.expect("a wait at a lost broker ends");
    assert_eq!(waited.unwrap_err().code(), Code::KAFKA_UNREACHABLE);
    let uncommitted = log.commit("search", &[at(0, 1)]).await.unwrap_err();
    assert_eq!(uncommitted.code(), Code::KAFKA_UNREACHABLE, "{uncommitted}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    kafka.resume().unwrap();
    append_until_done(&*log, 2).await;

    kafka.kill().unwrap();
    let lost = log.append(&[write(0, event("price/1", 3))]).await.unwrap_err();
    assert_eq!(lost.code(), Code::KAFKA_UNREACHABLE, "{lost}");
    kafka.restart().unwrap();
    append_until_done(&*log, 3).await;
    append_until_done(&*log, 4).await;

    let found = timeout(LONG, async {
        loop {
            match log.read(&at(0, 0), ReadLimit::default()).await {
                Ok(Read::Records(records)) => return versions(&records),
                Ok(Read::Gap { .. }) => panic!("nothing was removed"),
                Err(error) => assert_eq!(error.kind(), tidings_core::error::Kind::Retry, "{error}"),
            }
        }
    });
    // An append that failed may have been done, so an event may stand there twice; none is missing or out of order.
    let mut found = found.await.expect("reading works again");
    found.dedup();
    assert_eq!(found, [1, 2, 3, 4]);
}

async fn append_until_done(log: &dyn Log, version: u64) {
    let done = timeout(LONG, async {
        while let Err(error) = log.append(&[write(0, event("price/1", version))]).await {
            assert_eq!(error.kind(), tidings_core::error::Kind::Retry, "{error}");
        }
    });
    done.await.expect("the broker is back");
}

/// A reader that is overtaken by the removal of what it has not read hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_removed_under_a_reader_is_a_gap() {
    let Some(broker) = broker() else { return };
    let mut settings = settings(&broker, 1);
    settings.removes = true;
    // Almost nothing is fetched ahead.
    settings.limits.bytes = 40_000;
    settings.fetch_bytes = 1;
    let log = log(settings).await;
    let mut large = event("page/1", 1);
    large.data = tidings_core::Data::Json(format!("\"{}\"", "x".repeat(30_000)).into());
    for _ in 0..10 {
        let batch: Vec<_> = (0..10).map(|_| write(0, large.clone())).collect();
        log.append(&batch).await.unwrap();
    }
    let one = ReadLimit { records: 1, bytes: usize::MAX };
    let Read::Records(first) = log.read(&at(0, 0), one).await.unwrap() else { panic!("a gap") };
    assert_eq!(first.len(), 1);
    log.retain(tidings_core::port::Retention { age: None, bytes: Some(0) }).await.unwrap();
    let mut next = 1;
    let resume = timeout(LONG, async {
        loop {
            match log.read(&at(0, next), one).await.unwrap() {
                Read::Gap { resume } => return resume.0,
                Read::Records(records) => {
                    assert_eq!(records.len(), 1, "nothing at {next}, although it was removed");
                    assert_eq!(records[0].offset.0, next, "skipped in silence");
                    next += 1;
                }
            }
        }
    });
    assert_eq!(resume.await.unwrap(), 100);
    assert!(next < 100, "everything was fetched ahead, so nothing was shown");
}
