//! What this log does beyond the common suite.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::Connection;
use tempfile::TempDir;
use tidings_core::port::{Append, Log, Read, ReadLimit, Record};
use tidings_core::{Code, Mark, Offset, Time, Topic};
use tidings_sqlite::{LogSettings, SqliteLog, system_clock};
use tokio::time::timeout;

use crate::support::{DEADLINE, at, event, everything, partition, versions, write};

fn home() -> (TempDir, std::path::PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log.db");
    (dir, path)
}

/// Two handles stand for two processes: nothing is shared but the file.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_without_holes_and_wake_each_other() {
    let (_dir, path) = home();
    let logs = [SqliteLog::open(&path).unwrap(), SqliteLog::open(&path).unwrap()];
    let writers: Vec<_> = (0..2)
        .map(|n: usize| {
            let log = logs[n].clone();
            tokio::spawn(async move {
                for version in 1..=50 {
                    let batch = [1, 2].map(|i| write(event(&format!("price/{n}-{i}"), version, 10)));
                    log.append(&batch).await.unwrap();
                }
            })
        })
        .collect();
    let reader = logs[0].clone();
    let follow = async {
        let mut next = 0;
        while next < 200 {
            reader.wait(&[at(next)]).await.unwrap();
            if let Read::Records(records) = reader.read(&at(next), ReadLimit::default()).await.unwrap() {
                next += records.len() as u64;
            }
        }
    };
    timeout(DEADLINE, follow).await.expect("the follower is never woken");
    for writer in writers {
        writer.await.unwrap();
    }
    let all = versions(&everything(&*logs[1]).await);
    for entity in ["price/0-1", "price/0-2", "price/1-1", "price/1-2"] {
        assert!(all.iter().filter(|(e, _)| e == entity).map(|(_, v)| *v).eq(1..=50), "{entity}");
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_unsort_the_append_times() {
    let (_dir, path) = home();
    let micros = Arc::new(AtomicI64::new(0));
    let clock = micros.clone();
    let clock = Arc::new(move || Time::from_micros(clock.load(Ordering::SeqCst)));
    let log = SqliteLog::open_with(&path, LogSettings::default(), clock).unwrap();
    for (version, time) in (1..).zip([100, 200, 50, 150, 300]) {
        micros.store(time, Ordering::SeqCst);
        log.append(&[write(event("price/1", version, 1))]).await.unwrap();
    }
    for (time, expected) in [(0, 0), (100, 0), (101, 1), (200, 1), (201, 4), (300, 4), (301, 5)] {
        let found = log.offset_at(&partition(0), Time::from_micros(time)).await.unwrap();
        assert_eq!(found, Offset(expected), "at {time}");
    }
}

#[tokio::test]
async fn a_refused_call_does_not_harm_those_that_share_its_transaction() {
    let (_dir, path) = home();
    let log = SqliteLog::open(&path).unwrap();
    let nowhere =
        Append { partition: partition(7), record: Record::Mark(Mark { time: Time::default(), head: 0 }) };
    let (good, bad) = ([write(event("price/1", 1, 1))], [write(event("price/2", 1, 1)), nowhere]);
    let huge = [write(event("price/3", 1, 2 << 20))];
    let done = tokio::join!(log.append(&good), log.append(&bad), log.append(&huge), log.append(&good));
    assert!(done.0.is_ok() && done.3.is_ok());
    assert_eq!(done.1.unwrap_err().code(), Code::SETTING_INVALID);
    assert_eq!(done.2.unwrap_err().code(), Code::OVERSIZED);
    let one = ("price/1".to_owned(), 1);
    assert_eq!(versions(&everything(&*log).await), [one.clone(), one]);
}

#[tokio::test]
async fn an_append_whose_caller_has_gone_is_whole_or_absent() {
    let (_dir, path) = home();
    let settings = LogSettings { queue_bytes: 1, ..LogSettings::default() };
    let log = SqliteLog::open_with(&path, settings, system_clock()).unwrap();
    let batch: Vec<_> = (0..300).map(|n| write(event(&format!("price/{n}"), 1, 1000))).collect();
    for _ in 0..20 {
        let mut append = log.append(&batch);
        let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(append.as_mut().poll(cx).is_ready()));
        poll.await;
        drop(append);
    }
    log.append(&batch).await.unwrap();
    assert_eq!(everything(&*log).await.len() % batch.len(), 0);
}

#[tokio::test]
async fn topics_and_groups_are_listed() {
    let (_dir, path) = home();
    let settings = LogSettings { partitions: 3, ..LogSettings::default() };
    let log = SqliteLog::open_with(&path, settings, system_clock()).unwrap();
    assert_eq!(log.partitions(&partition(0).topic).await.unwrap(), 3);
    drop(log);
    let log = SqliteLog::open(&path).unwrap();
    assert_eq!(log.partitions(&partition(0).topic).await.unwrap(), 3, "the number is fixed");
    assert_eq!(log.partitions(&Topic::new("catalog").unwrap()).await.unwrap(), 1);
    let names: Vec<_> = log.topics().await.unwrap().into_iter().map(|(t, n)| (t.to_string(), n)).collect();
    assert_eq!(names, [("catalog".to_owned(), 1), ("pricing".to_owned(), 3)]);
    log.commit("search", &[at(5)]).await.unwrap();
    log.commit("search", &[at(4)]).await.unwrap();
    assert_eq!(log.groups().await.unwrap(), [("search".to_owned(), at(4))]);
    assert_eq!(log.commit("a\nb", &[at(1)]).await.unwrap_err().code(), Code::NAME_INVALID);
}

/// Nothing removes a record but retention; should it happen, the answer is a gap, and never a silent skip.
#[tokio::test]
async fn a_hole_made_by_hand_is_a_gap() {
    let (_dir, path) = home();
    let log = SqliteLog::open(&path).unwrap();
    let batch: Vec<_> = (1..=6).map(|version| write(event("price/1", version, 1))).collect();
    log.append(&batch).await.unwrap();
    let offset = "place & ((1 << 40) - 1)";
    Connection::open(&path)
        .unwrap()
        .execute(&format!("DELETE FROM record WHERE {offset} IN (2, 5)"), [])
        .unwrap();
    let mut seen = Vec::new();
    for from in [0, 2, 3, 5] {
        seen.push(match log.read(&at(from), ReadLimit::default()).await.unwrap() {
            Read::Records(records) => format!("{} records", records.len()),
            Read::Gap { resume } => format!("gap to {resume}"),
        });
    }
    assert_eq!(seen, ["2 records", "gap to 3", "2 records", "gap to 6"]);
}

/// After a restore from an older backup the head is behind what was read before.
#[tokio::test]
async fn beyond_the_head_is_a_gap_back_to_the_earliest() {
    let (_dir, path) = home();
    let log = SqliteLog::open(&path).unwrap();
    log.append(&[write(event("price/1", 1, 1))]).await.unwrap();
    let answer = log.read(&at(9), ReadLimit::default()).await.unwrap();
    assert!(matches!(answer, Read::Gap { resume: Offset(0) }), "{answer:?}");
}
