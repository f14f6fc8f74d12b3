//! Appending and reading.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::port::{Append, Log, Read, ReadLimit, Record};
use tidings_core::{Code, Error, Offset, Partition, Position};

use super::{Desk, LogHome, event_of, mark, must, numbered, offsets, open, sample, versions};

/// Offsets count from 0, one by one, in the order appended, across batches.
pub async fn offsets_start_at_zero_and_have_no_holes(log: Arc<dyn Log>) {
    let desk = Desk::new(log, "offsets").await;
    assert_eq!(desk.bounds().await, (0, 0), "a new partition");
    must("append nothing", desk.log.append(&[]).await);
    for batch in [1..=3, 4..=4, 5..=20] {
        desk.append(batch).await;
    }
    let all = desk.everything(0).await;
    assert_eq!(offsets(&all), (0..20).collect::<Vec<_>>());
    assert_eq!(versions(&all), (1..=20).collect::<Vec<_>>());
    assert_eq!(desk.bounds().await, (0, 20));
    let from_the_middle = desk.answer(11, ReadLimit::default()).await;
    assert_eq!(offsets(&desk.records(from_the_middle)), (11..20).collect::<Vec<_>>());
}

/// Events of every shape, and the marks between them, come back equal and in order.
pub async fn records_come_back_as_they_were_written(log: Arc<dyn Log>) {
    let desk = Desk::new(log, "round-trip").await;
    let events = sample::varied();
    let mut batch = vec![desk.write(mark(-5))];
    for (number, event) in (0..).zip(&events) {
        batch.push(desk.write(Record::Event(Arc::new(event.clone()))));
        batch.push(desk.write(mark(number)));
    }
    batch.push(desk.write(Record::Gap("row 7 is no event".into())));
    must("append", desk.log.append(&batch).await);
    let all = desk.everything(0).await;
    assert_eq!(all.len(), batch.len());
    for (stored, written) in all.iter().zip(&batch) {
        match (&stored.record, &written.record) {
            (Record::Event(read), Record::Event(written)) => assert_eq!(read, written),
            (Record::Mark(read), Record::Mark(written)) => assert_eq!(read, written),
            (Record::Gap(read), Record::Gap(written)) => assert_eq!(read, written),
            (read, written) => panic!("{read:?} was written as {written:?}"),
        }
    }
}

/// A reader sees all of a batch or none of it, in every partition it spans, also while it is being written.
pub async fn a_batch_becomes_visible_together(log: Arc<dyn Log>) {
    const BATCHES: u64 = 60;
    const SIZE: u64 = 5;
    let desk = Arc::new(Desk::new(log, "atomic").await);
    let last = desk.partition(desk.partitions - 1);
    let writer = {
        let (desk, last) = (desk.clone(), last.clone());
        tokio::spawn(async move {
            for n in 0..BATCHES {
                let mut batch: Vec<_> = (0..SIZE).map(|i| desk.write(numbered(1 + n * SIZE + i))).collect();
                batch.push(Append { partition: last.clone(), record: numbered(1 + n) });
                must("append", desk.log.append(&batch).await);
                tokio::task::yield_now().await;
            }
        })
    };
    let per_batch = if desk.partitions == 1 { SIZE + 1 } else { SIZE };
    super::super::within("reading beside a writer", async {
        loop {
            let far = must("bounds", desk.log.bounds(&last).await).1.0
                / if desk.partitions == 1 { per_batch } else { 1 };
            let here = desk.bounds().await.1;
            assert_eq!(here % per_batch, 0, "part of a batch is visible");
            assert!(here / per_batch >= far, "{far} batches in one partition, {here} records in the other");
            let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
            let read = desk.records(desk.answer(0, limit).await).len() as u64;
            assert!(read >= here, "{read} records are read below the head {here}");
            assert_eq!(read % per_batch, 0, "part of a batch is read");
            if here == BATCHES * per_batch {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    if let Err(error) = writer.await {
        panic!("the writer: {error}");
    }
}

/// What a reader sees of a partition beside a writer has no holes and only grows, and an append that has returned is
/// seen whole, in every partition it spans.
pub async fn a_batch_becomes_visible_in_order(log: Arc<dyn Log>) {
    const BATCHES: u64 = 30;
    const SIZE: u64 = 5;
    let desk = Arc::new(Desk::new(log, "in-order").await);
    let last = desk.partition(desk.partitions - 1);
    let (done, returned) = tokio::sync::watch::channel(0);
    let writer = {
        let (desk, last) = (desk.clone(), last.clone());
        tokio::spawn(async move {
            for n in 0..BATCHES {
                let mut batch: Vec<_> = (0..SIZE).map(|i| desk.write(numbered(1 + n * SIZE + i))).collect();
                batch.push(Append { partition: last.clone(), record: mark(n as i64) });
                must("append", desk.log.append(&batch).await);
                done.send_replace(n + 1);
            }
        })
    };
    super::super::within("reading beside a writer", async {
        let mut seen = 0;
        while seen < BATCHES * SIZE {
            let whole = *returned.borrow();
            let records = desk.everything(0).await;
            let versions = versions(&records);
            let count = versions.len() as u64;
            assert_eq!(versions, (1..=count).collect::<Vec<_>>(), "a hole, or another order");
            assert!(
                count >= seen.max(whole * SIZE),
                "{count} after {seen}, {whole} batches were acknowledged"
            );
            let marks = desk.everything(last.index).await;
            let marks = marks.iter().filter(|stored| matches!(stored.record, Record::Mark(_))).count() as u64;
            assert!(marks >= whole, "{marks} marks of {whole} acknowledged");
            seen = count;
            tokio::task::yield_now().await;
        }
    })
    .await;
    if let Err(error) = writer.await {
        panic!("the writer: {error}");
    }
}

/// A batch with one record that cannot be written is refused whole.
pub async fn a_refused_batch_leaves_nothing(log: Arc<dyn Log>) {
    let desk = Desk::new(log, "refused").await;
    desk.append([1]).await;
    let unreadable = Record::Unreadable(Arc::new(Error::new(Code::RECORD_UNREADABLE, "not a record")));
    let nowhere = Partition { topic: desk.topic.clone(), index: desk.partitions };
    for (bad, why) in [
        (desk.write(unreadable), "an unreadable record"),
        (Append { partition: nowhere, record: numbered(3) }, "a partition that does not exist"),
    ] {
        let batch = [desk.write(numbered(2)), bad, desk.write(numbered(4))];
        assert!(desk.log.append(&batch).await.is_err(), "{why} was accepted");
        assert_eq!(versions(&desk.everything(0).await), [1], "after {why}");
    }
    desk.append([2]).await;
    assert_eq!(offsets(&desk.everything(0).await), [0, 1], "offsets go on without a hole");
}

/// Writers at the same time: nothing lost, no holes, each writer's order and each batch's order kept.
pub async fn concurrent_appends_leave_no_hole(log: Arc<dyn Log>) {
    const WRITERS: u64 = 4;
    const BATCHES: u64 = 15;
    let desk = Arc::new(Desk::new(log, "concurrent").await);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let desk = desk.clone();
            tokio::spawn(async move {
                for n in 0..BATCHES {
                    desk.append((0..3).map(|i| 1 + writer * 1000 + n * 3 + i)).await;
                }
            })
        })
        .collect();
    for writer in writers {
        if let Err(error) = super::super::within("a writer", writer).await {
            panic!("a writer: {error}");
        }
    }
    let all = desk.everything(0).await;
    assert_eq!(offsets(&all), (0..WRITERS * BATCHES * 3).collect::<Vec<_>>());
    for writer in 0..WRITERS {
        let mut own = versions(&all);
        own.retain(|v| v / 1000 == writer);
        let written: Vec<_> = (1..=BATCHES * 3).map(|v| writer * 1000 + v).collect();
        assert_eq!(own, written, "writer {writer}");
    }
}

/// A read returns no more records than asked for, stops at the byte limit, and always returns one.
pub async fn reads_keep_their_limits(log: Arc<dyn Log>) {
    let desk = Desk::new(log, "limits").await;
    desk.append(1..=10).await;
    for (records, bytes, expected) in
        [(1, usize::MAX, 1), (4, usize::MAX, 4), (usize::MAX, usize::MAX, 10), (10, 1, 1), (10, 0, 1)]
    {
        let read = desk.records(desk.answer(0, ReadLimit { records, bytes }).await);
        assert_eq!(offsets(&read), (0..expected).collect::<Vec<_>>(), "{records} records, {bytes} bytes");
    }
    let mut big = sample::event("page/1", 1);
    big.data = tidings_core::Data::Json(format!("\"{}\"", "x".repeat(10_000)).into());
    let topic = Desk::new(desk.log.clone(), "limits-in-bytes").await;
    let batch: Vec<_> = (0..20).map(|_| topic.write(Record::Event(Arc::new(big.clone())))).collect();
    must("append", topic.log.append(&batch).await);
    let read = topic.records(topic.answer(0, ReadLimit { records: 100, bytes: 45_000 }).await);
    assert!((2..=6).contains(&read.len()), "{} records of 10 kB in a read of 45 kB", read.len());
}

/// At the head there is nothing yet; beyond it, nothing that was ever there: a gap, with a place to go on.
pub async fn the_head_is_empty_and_beyond_it_is_a_gap(log: Arc<dyn Log>) {
    let desk = Desk::new(log, "head").await;
    for records in [0, 3] {
        desk.append(1..=records).await;
        let head = desk.bounds().await.1;
        let at_head = desk.answer(head, ReadLimit::default()).await;
        assert_eq!(desk.records(at_head).len(), 0, "at the head {head}");
        for beyond in [head + 1, head + 1000, i64::MAX as u64] {
            match desk.answer(beyond, ReadLimit::default()).await {
                Read::Gap { resume } => assert!(resume.0 <= head, "resume {resume}, head {head}"),
                Read::Records(records) => {
                    panic!("{} records at {beyond}, beyond the head {head}: must be a gap", records.len())
                }
            }
        }
    }
}

/// The number of partitions never changes, and each is read and written on its own.
pub async fn partitions_are_fixed(home: &dyn LogHome) {
    let desk = Desk::new(open(home).await, "partitions").await;
    for index in 0..desk.partitions {
        let batch = [Append { partition: desk.partition(index), record: numbered(u64::from(index) + 1) }];
        must("append", desk.log.append(&batch).await);
    }
    let count = desk.partitions;
    drop(desk);
    let desk = Desk::new(open(home).await, "partitions").await;
    assert_eq!(desk.partitions, count, "after a restart");
    for index in 0..count {
        let all = desk.everything(index).await;
        assert_eq!((offsets(&all), versions(&all)), (vec![0], vec![u64::from(index) + 1]));
    }
}

/// What an append returned for is there after a restart, and offsets continue.
pub async fn appends_survive_a_restart(home: &dyn LogHome) {
    Desk::new(open(home).await, "restart").await.append(1..=5).await;
    let desk = Desk::new(open(home).await, "restart").await;
    desk.append([6]).await;
    let all = desk.everything(0).await;
    assert_eq!((offsets(&all), versions(&all)), ((0..6).collect(), (1..=6).collect()));
}

/// A time leads to the first record appended at or after it.
pub async fn a_time_leads_to_its_offset(home: &dyn LogHome) {
    // Wider than the resolution of the coarsest clock in use (milliseconds).
    let apart = Duration::from_millis(20);
    let desk = Desk::new(open(home).await, "times").await;
    let find = async |time| must("offset_at", desk.log.offset_at(&desk.partition(0), time).await);
    assert_eq!(find(home.now()).await, Offset(0), "an empty partition");
    let mut between = Vec::new();
    for n in 0..3 {
        between.push(home.now().plus(apart));
        home.pass(2 * apart).await;
        desk.append([2 * n + 1, 2 * n + 2]).await;
    }
    for (n, time) in (0..).zip(between) {
        assert_eq!(find(time).await, Offset(2 * n), "before append {n}");
    }
    assert_eq!(find(home.now().plus(Duration::from_secs(3600))).await, Offset(6), "the future");
    assert_eq!(find(tidings_core::Time::from_micros(0)).await, Offset(0), "long ago");
}

/// A damaged record is one unreadable answer at its offset; its neighbours are read as before.
pub async fn an_unreadable_record_is_an_answer(home: &dyn LogHome) {
    let desk = Desk::new(open(home).await, "damage").await;
    desk.append(1..=3).await;
    let damaged: Position = desk.at(1);
    drop(desk);
    if !must("damage", home.damage(&damaged).await) {
        return;
    }
    let desk = Desk::new(open(home).await, "damage").await;
    let all = desk.everything(0).await;
    assert_eq!(offsets(&all), [0, 1, 2]);
    assert!(all.iter().map(|s| event_of(s).is_some()).eq([true, false, true]), "{all:?}");
    match all.get(1).map(|stored| &stored.record) {
        Some(Record::Unreadable(error)) => assert_eq!(error.code(), Code::RECORD_UNREADABLE),
        other => panic!("{other:?} where a record was damaged"),
    }
}
