//! Removing what is old.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::port::{Log, Read, ReadLimit, Record, Retention};
use tidings_core::{Data, Offset};

use super::{Desk, LogHome, must, open, sample};

const HOUR: Duration = Duration::from_secs(3600);

impl Desk {
    async fn retain(&self, retention: Retention) -> u64 {
        must("retain", self.log.retain(retention).await)
    }

    async fn remove_everything(&self) {
        self.retain(Retention { age: None, bytes: Some(0) }).await;
    }

    /// Reading from before the earliest record is a gap that leads to it, and never an empty or a later answer.
    async fn assert_gap_before(&self, earliest: u64) {
        for from in [0, earliest - 1] {
            match self.answer(from, ReadLimit::default()).await {
                Read::Gap { resume } => assert_eq!(resume, Offset(earliest), "from {from}"),
                Read::Records(records) => panic!(
                    "{} records from {from} although the earliest kept is {earliest}: must be a gap",
                    records.len()
                ),
            }
        }
    }
}

/// No limit, or limits that nothing exceeds, remove nothing.
pub async fn retention_without_limits_removes_nothing(log: Arc<dyn Log>) {
    let desk = Desk::new(log, "retention-none").await;
    desk.append(1..=5).await;
    for retention in [
        Retention::default(),
        Retention { age: Some(HOUR), bytes: None },
        Retention { age: None, bytes: Some(u64::MAX >> 1) },
        Retention { age: Some(HOUR), bytes: Some(u64::MAX >> 1) },
    ] {
        assert_eq!(desk.retain(retention).await, 0, "{retention:?}");
    }
    assert_eq!(desk.bounds().await, (0, 5));
}

/// Beyond a size, the oldest records go, and as many as is said.
pub async fn retention_by_size_removes_the_oldest(log: Arc<dyn Log>) {
    let desk = Desk::new(log, "retention-size").await;
    desk.remove_everything().await;
    let mut event = sample::event("page/1", 1);
    event.data = Data::Json(format!("\"{}\"", "x".repeat(10_000)).into());
    let batch: Vec<_> = (0..40).map(|_| desk.write(Record::Event(Arc::new(event.clone())))).collect();
    must("append", desk.log.append(&batch).await);
    let removed = desk.retain(Retention { age: None, bytes: Some(200_000) }).await;
    let (earliest, head) = desk.bounds().await;
    assert_eq!((removed, head), (earliest, 40), "the count is of what went");
    assert!((15..=30).contains(&earliest), "{earliest} of 40 records of 10 kB went, to keep 200 kB");
    desk.assert_gap_before(earliest).await;
    assert_eq!(desk.everything(0).await.len() as u64, head - earliest);
}

/// What was appended longer ago than the age goes; what is younger stays.
pub async fn retention_by_age_removes_the_oldest(home: &dyn LogHome) {
    let desk = Desk::new(open(home).await, "retention-age").await;
    let apart = Duration::from_millis(100);
    for attempt in 0..50 {
        desk.remove_everything().await;
        let start = desk.bounds().await.1;
        desk.append([1, 2]).await;
        home.pass(apart / 10).await;
        let between = home.now();
        home.pass(apart).await;
        let second = home.now();
        desk.append([3]).await;
        let called = home.now();
        let removed = desk.retain(Retention { age: Some(called.since(between)), bytes: None }).await;
        // A machine that stalls here lets the last record grow too old as well: that run says nothing.
        if home.now().since(called) + apart / 10 < second.since(between) {
            assert_eq!(removed, 2, "attempt {attempt}");
            assert_eq!(desk.bounds().await, (start + 2, start + 3));
            desk.assert_gap_before(start + 2).await;
            return;
        }
    }
    panic!("the machine is too busy: 50 runs, in none of which 90 ms were enough to call retain");
}

/// Offsets and committed positions outlive the records, also over a restart.
pub async fn offsets_continue_after_everything_was_removed(home: &dyn LogHome) {
    let desk = Desk::new(open(home).await, "retention-all").await;
    desk.append(1..=5).await;
    must("commit", desk.log.commit("search", &[desk.at(3)]).await);
    desk.remove_everything().await;
    assert_eq!(desk.bounds().await, (5, 5));
    drop(desk);
    let desk = Desk::new(open(home).await, "retention-all").await;
    assert_eq!(desk.bounds().await, (5, 5), "after a restart");
    let committed = must("committed", desk.log.committed("search", &desk.partition(0)).await);
    assert_eq!(committed, Some(Offset(3)));
    desk.assert_gap_before(5).await;
    desk.append([6]).await;
    assert_eq!(desk.bounds().await, (5, 6));
    assert_eq!(super::versions(&desk.everything(0).await), [6]);
}
