//! The in-memory ports keep what their ports promise.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidings_core::event::Draft;
use tidings_core::port::{Append, Boxed, Cursor, Log, Outbox, Parking, Record};
use tidings_core::{
    Data, Entity, Offset, Partition, Position, Result, Stamp, Timeline, Topic, Version, Window,
};
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

fn drafts(ids: &[&str]) -> Vec<Draft> {
    let draft = |id: &&str| Draft {
        kind: "pricing.Changed".into(),
        entity: Entity::new("price", id).unwrap(),
        version: None,
        window: Window::default(),
        traceparent: None,
        data: Data::Empty,
    };
    ids.iter().map(draft).collect()
}

fn stamp(timeline: u32, version: u64) -> Stamp {
    Stamp { timeline: Timeline(timeline), version: Version::new(version).unwrap() }
}

#[tokio::test(start_paused = true)]
async fn a_failover_issues_versions_again_in_a_new_timeline() {
    let outbox = MemoryOutbox::new("/pricing");
    assert_eq!(outbox.commit(&drafts(&["1", "1", "1"])).unwrap().last(), Some(&stamp(0, 3)));
    let entity = drafts(&["1"]).remove(0).entity;
    // The relay has published two rows; the copy that takes over knows one.
    outbox.acknowledge(Cursor(2)).await.unwrap();
    assert_eq!(outbox.fail_over(Cursor(1), &[(entity, Version::new(1).unwrap())]), Timeline(1));
    assert!(
        outbox.scan(Cursor(2), 9).await.unwrap().rows.is_empty(),
        "the third row was lost with the source"
    );
    // Nothing to read: it must not come back at once, or a relay would spin.
    let (before, most) = (tokio::time::Instant::now(), Duration::from_secs(1));
    outbox.wait(Cursor(2), most).await.unwrap();
    assert_eq!(before.elapsed(), most);
    assert_eq!(outbox.commit(&drafts(&["1", "2"])).unwrap(), [stamp(1, 2), stamp(1, 1)]);
    assert_eq!(outbox.timeline(), Timeline(1));
    let rows = outbox.scan(Cursor(2), 9).await.unwrap().rows;
    let seen: Vec<_> = rows.into_iter().map(|row| (row.cursor.0, row.event.unwrap().stamp)).collect();
    assert_eq!(seen, [(4, stamp(1, 2)), (5, stamp(1, 1))]);
}

/// With one thread and a paused clock, a run must be the same each time.
#[tokio::test(start_paused = true)]
async fn those_who_wait_are_woken_in_the_order_they_came() {
    let (outbox, log) = (MemoryOutbox::new("/pricing"), MemoryLog::new(NonZeroU32::MIN));
    let (woken, waiting) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    let at =
        Position { partition: Partition { topic: Topic::new("t").unwrap(), index: 0 }, offset: Offset(0) };
    for number in 0..20 {
        let (outbox, log, woken, at) = (outbox.clone(), log.clone(), woken.clone(), at.clone());
        let waiting = waiting.clone();
        tasks.spawn(async move {
            waiting.fetch_add(1, Ordering::SeqCst);
            if number < 10 {
                outbox.wait(Cursor(0), Duration::MAX).await.unwrap();
            } else {
                log.wait(&[at]).await.unwrap();
            }
            woken.lock().push(number);
        });
    }
    while tasks.len() > waiting.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    outbox.commit(&drafts(&["1"])).unwrap();
    let record = Record::Gap("a gap".into());
    log.append(&[Append { partition: at.partition, record }]).await.unwrap();
    tasks.join_all().await;
    assert_eq!(*woken.lock(), (0..20).collect::<Vec<_>>());
}
