//! Recording, and the relay's side of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tidings_core::port::{Cursor, Outbox};
use tidings_core::{Code, Data, Draft, Error, Stamp, Time, Timeline, Version, Window};
use tidings_sqlite::{SqliteOutbox, outbox};
use tokio::time::timeout;

use crate::support::{DEADLINE, Service, draft};

fn v(number: u64) -> Stamp {
    Stamp::of(Version::new(number).unwrap())
}

#[tokio::test]
async fn s25_rollback_leaves_no_event_and_commit_leaves_one() {
    let service = Service::new();
    let mut db = service.connect();
    for (cents, commit) in [(100, false), (200, true)] {
        let tx = db.transaction().unwrap();
        tx.execute("INSERT OR REPLACE INTO price VALUES ('SKU-1', ?1)", [cents]).unwrap();
        assert_eq!(outbox::record(&tx, &draft("price/SKU-1", None)).unwrap().stamp, v(1));
        if commit {
            tx.commit().unwrap()
        } else {
            tx.rollback().unwrap()
        }
        let cents: Option<i64> = db.query_row("SELECT max(cents) FROM price", [], |row| row.get(0)).unwrap();
        assert_eq!(cents.is_some(), commit);
        assert_eq!(service.events().await.len(), usize::from(commit));
    }
}

#[tokio::test]
async fn an_event_comes_out_as_it_went_in() {
    let service = Service::new();
    let written = Draft {
        version: Version::new(41),
        window: Window { from: Some(Time::from_micros(-5)), until: Some(Time::from_micros(5)) },
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        ..draft("price/größe/商品 1", None)
    };
    let bytes =
        Data::Bytes { content_type: "image/png".into(), bytes: (0..=255).collect::<Vec<u8>>().into() };
    for data in [Data::Empty, Data::Json("[1, 2]".into()), bytes] {
        let mut db = service.connect();
        let tx = db.transaction().unwrap();
        let next = Draft { data, version: None, ..written.clone() };
        outbox::record_at(&tx, &next, Time::from_micros(1_800_000_000_123_456)).unwrap();
        tx.commit().unwrap();
        let event = service.events().await.pop().unwrap();
        assert_eq!((&event.kind, &event.entity, &event.data), (&next.kind, &next.entity, &next.data));
        assert_eq!((event.window, &event.traceparent), (next.window, &next.traceparent));
        assert_eq!(event.time, Time::from_micros(1_800_000_000_123_456));
        let id: Vec<&str> = event.id.split('-').collect();
        assert_eq!(id.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{}", event.id);
        assert!(id[2].starts_with('7') && "89ab".contains(&id[3][..1]), "not a UUIDv7: {}", event.id);
        let millis = i64::from_str_radix(&format!("{}{}", id[0], id[1]), 16).unwrap();
        assert_eq!(millis, 1_800_000_000_123);
    }
    assert_eq!(service.commit(&written).stamp, v(41));
}

#[test]
fn what_cannot_be_published_is_refused_and_the_transaction_lives_on() {
    let service = Service::new();
    let mut db = service.connect();
    let tx = db.transaction().unwrap();
    outbox::record(&tx, &draft("price/1", Some(7))).unwrap();
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let good = draft("price/1", None);
    let time = |n| Some(Time::from_micros(n));
    for (bad, code) in [
        (draft("price/1", Some(7)), Code::VERSION_REGRESSED),
        (draft("price/1", Some(6)), Code::VERSION_REGRESSED),
        (draft("price/1", Some(0)), Code::VERSION_REGRESSED),
        (draft("price/new", Some(0)), Code::ATTRIBUTE_INVALID),
        (Draft { kind: "".into(), ..good.clone() }, Code::NAME_INVALID),
        (Draft { kind: "a\u{202E}b".into(), ..good.clone() }, Code::NAME_INVALID),
        (Draft { data: Data::Json("not json".into()), ..good.clone() }, Code::MALFORMED),
        (Draft { data: Data::Json(deep.into()), ..good.clone() }, Code::TOO_DEEP),
        (
            Draft { data: Data::Json(format!("\"{}\"", "x".repeat(1 << 20)).into()), ..good.clone() },
            Code::OVERSIZED,
        ),
        (Draft { window: Window { from: time(5), until: time(4) }, ..good.clone() }, Code::ATTRIBUTE_INVALID),
    ] {
        let error = outbox::record(&tx, &bad).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().starts_with(bad.entity.as_str()), "{error}");
    }
    assert_eq!(outbox::record(&tx, &good).unwrap().stamp, v(8));
    tx.commit().unwrap();
    let count: i64 = db.query_row("SELECT count(*) FROM tidings_outbox", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2, "what was refused left something");
}

#[test]
fn an_event_without_a_transaction_is_refused() {
    let service = Service::new();
    let db = service.connect();
    let error = outbox::record(&db, &draft("price/1", None)).unwrap_err();
    assert_eq!(error.code(), Code::SETTING_INVALID, "{error}");
}

/// Also when the setting changes between two events of one connection: the statements are cached, the answer must not.
#[test]
fn a_commit_that_can_be_lost_is_refused() {
    let service = Service::new();
    let mut db = service.connect();
    let attempt = |db: &mut Connection| {
        let tx = db.transaction().unwrap();
        outbox::record(&tx, &draft("price/1", None)).map(drop).map_err(|e| e.code())
    };
    for (pragma, expected) in [
        ("synchronous=FULL", Ok(())),
        ("synchronous=NORMAL", Err(Code::NOT_DURABLE)),
        ("synchronous=EXTRA", Ok(())),
        ("synchronous=OFF", Err(Code::NOT_DURABLE)),
        ("synchronous=FULL", Ok(())),
        ("journal_mode=MEMORY", Err(Code::NOT_DURABLE)),
        ("journal_mode=DELETE", Ok(())),
        ("journal_mode=OFF", Err(Code::NOT_DURABLE)),
    ] {
        db.execute_batch(&format!("PRAGMA {pragma}")).unwrap();
        assert_eq!(attempt(&mut db), expected, "{pragma}");
    }
}

#[test]
fn a_locked_database_is_busy_and_a_distrusted_schema_is_named() {
    let service = Service::new();
    let (mut holder, mut writer) = (service.connect(), service.connect());
    writer.busy_timeout(Duration::ZERO).unwrap();
    let held = holder.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let attempt = |db: &mut Connection| {
        let tx = db.transaction().unwrap();
        outbox::record(&tx, &draft("price/1", None)).map(drop).map_err(|e| e.code())
    };
    assert_eq!(attempt(&mut writer), Err(Code::BUSY));
    held.rollback().unwrap();
    assert_eq!(attempt(&mut writer), Ok(()));
    let mut distrustful = service.connect();
    distrustful.execute_batch("PRAGMA trusted_schema=OFF").unwrap();
    assert_eq!(attempt(&mut distrustful), Err(Code::SETTING_INVALID));
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_writers_leave_no_gap_and_no_double_and_seq_is_commit_order() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 40;
    let service = Arc::new(Service::new());
    service.connect().execute_batch("CREATE TABLE turn (n INTEGER); INSERT INTO turn VALUES (0)").unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let service = service.clone();
            std::thread::spawn(move || {
                let mut db = service.connect();
                for n in 0..EACH {
                    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
                    let sql = "UPDATE turn SET n = n + 1 RETURNING n";
                    let turn: i64 = tx.query_row(sql, [], |row| row.get(0)).unwrap();
                    let data = Data::Json(turn.to_string().into());
                    outbox::record(&tx, &Draft { data, ..draft("price/shared", None) }).unwrap();
                    outbox::record(&tx, &draft(&format!("price/{writer}"), None)).unwrap();
                    // Some transactions are undone after their versions were given out.
                    if n % 5 == 4 { tx.rollback().unwrap() } else { tx.commit().unwrap() }
                }
            })
        })
        .collect();
    let expected = WRITERS * EACH * 4 / 5;
    let follower = service.outbox();
    let (mut after, mut seen) = (Cursor(0), Vec::new());
    let follow = async {
        while (seen.len() as u64) < expected * 2 {
            let scan = follower.scan(after, 7).await.unwrap();
            after = scan.rows.last().map_or(after, |row| row.cursor);
            seen.extend(scan.rows.into_iter().map(|row| row.event.unwrap()));
            follower.wait(after, Duration::from_millis(50)).await.unwrap();
        }
    };
    timeout(DEADLINE, follow).await.expect("the follower misses rows");
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let all = service.events().await;
    assert!(all.iter().map(|e| &e.id).eq(seen.iter().map(|e| &e.id)), "a row turned up behind the follower");
    let shared: Vec<_> = all.iter().filter(|e| e.entity.id() == "shared").collect();
    assert!(shared.iter().map(|e| e.stamp.version.number()).eq(1..=expected));
    let turns = shared.iter().map(|e| if let Data::Json(text) = &e.data { text.parse().unwrap() } else { 0 });
    assert!(turns.eq(1..=expected), "seq is not commit order");
    for writer in 0..WRITERS {
        let own = all.iter().filter(|e| e.entity.id() == writer.to_string());
        assert!(own.map(|e| e.stamp.version.number()).eq(1..=expected / WRITERS), "writer {writer}");
    }
}

#[tokio::test]
async fn a_new_timeline_outranks_and_may_reissue_versions() {
    let service = Service::new();
    service.commit(&draft("price/1", Some(9)));
    let db = service.connect();
    for (timeline, expected) in [(2, 2), (1, 2)] {
        outbox::begin_timeline(&db, Timeline(timeline)).unwrap();
        let found: u32 = db
            .query_row("SELECT value FROM tidings_meta WHERE name = 'timeline'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(found, expected);
    }
    let stamp = service.commit(&draft("price/1", Some(4))).stamp;
    assert_eq!(stamp, Stamp { timeline: Timeline(2), version: Version::new(4).unwrap() });
    assert_eq!(service.events().await.last().unwrap().stamp, stamp);
}

#[test]
fn the_highest_version_is_the_last_of_its_timeline() {
    let service = Service::new();
    service.commit(&draft("price/1", Some(Version::MAX.number())));
    let mut db = service.connect();
    let tx = db.transaction().unwrap();
    assert_eq!(outbox::record(&tx, &draft("price/1", None)).unwrap_err().code(), Code::VERSION_REGRESSED);
    outbox::begin_timeline(&tx, Timeline(1)).unwrap();
    let stamp = outbox::record(&tx, &draft("price/1", None)).unwrap().stamp;
    assert_eq!(stamp, Stamp { timeline: Timeline(1), version: Version::new(1).unwrap() });
}

#[tokio::test]
async fn another_connection_s_commit_ends_a_wait_without_a_wake() {
    let service = Service::new();
    let outbox = service.outbox();
    for n in 1..=3 {
        let wait = outbox.wait(Cursor(n - 1), Duration::from_secs(3600));
        let commit = async {
            service.commit(&draft("price/1", None));
        };
        let (waited, ()) =
            timeout(DEADLINE, async { tokio::join!(wait, commit) }).await.expect("never woken");
        waited.unwrap();
        // It may wake early; then waiting goes on until the row is there.
        while outbox.scan(Cursor(n - 1), 1).await.unwrap().rows.is_empty() {
            timeout(DEADLINE, outbox.wait(Cursor(n - 1), DEADLINE)).await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn two_relays_see_the_same_and_acknowledge_the_higher() {
    let service = Service::new();
    for _ in 0..5 {
        service.commit(&draft("price/1", None));
    }
    let (one, two) = (service.outbox(), service.outbox());
    let rows = |scan: tidings_core::port::Scan| scan.rows.into_iter().map(|r| r.cursor).collect::<Vec<_>>();
    assert_eq!(rows(one.scan(Cursor(0), 9).await.unwrap()), rows(two.scan(Cursor(0), 9).await.unwrap()));
    one.acknowledge(Cursor(4)).await.unwrap();
    two.acknowledge(Cursor(2)).await.unwrap();
    assert_eq!(two.acknowledged().await.unwrap(), Cursor(4));
}

#[tokio::test]
async fn pruning_takes_only_what_is_old_acknowledged_and_not_parked() {
    let service = Service::new();
    let micros = Arc::new(AtomicI64::new(0));
    let clock = micros.clone();
    let clock = Arc::new(move || Time::from_micros(clock.load(Ordering::SeqCst)));
    let outbox = SqliteOutbox::open_with(service.path(), "/pricing", clock).unwrap();
    let hour = Duration::from_secs(3600);
    let mut db = service.connect();
    let tx = db.transaction().unwrap();
    for n in 0..1500 {
        let time = Time::from_micros(0).plus(hour * u32::from(n >= 1200));
        outbox::record_at(&tx, &draft("price/1", None), time).unwrap();
    }
    tx.commit().unwrap();
    let left = async || service.rows().await.iter().map(|row| row.cursor.0).collect::<Vec<_>>();
    micros.store(Time::from_micros(0).plus(hour * 2).micros(), Ordering::SeqCst);
    assert_eq!(outbox.prune(hour).await.unwrap(), 0, "nothing is acknowledged");
    outbox.acknowledge(Cursor(1100)).await.unwrap();
    outbox.park(Cursor(3), &Error::new(Code::OVERSIZED, "as the test wants")).await.unwrap();
    assert_eq!(outbox.prune(hour).await.unwrap(), 1099);
    assert_eq!(left().await, std::iter::once(3).chain(1101..=1500).collect::<Vec<_>>());
    outbox.acknowledge(Cursor(1500)).await.unwrap();
    assert_eq!(outbox.prune(hour).await.unwrap(), 100);
    assert_eq!(outbox.prune(Duration::ZERO).await.unwrap(), 300);
    let parked = outbox.parked(10).await.unwrap();
    assert_eq!((parked.len(), parked[0].cursor, parked[0].code.as_str()), (1, Cursor(3), "TD1002"));
    let recorded = service.commit(&draft("price/1", None));
    assert_eq!(
        (recorded.cursor, recorded.stamp),
        (Cursor(1501), v(1501)),
        "neither seq nor version starts again"
    );
}

#[tokio::test]
async fn a_row_written_past_the_trigger_is_told_apart() {
    let service = Service::new();
    service.commit(&draft("price/1", None));
    let columns = "id, aggregatetype, aggregateid, type, version, timeline, time, payload";
    for values in [
        "'x', 'price', 'a' || char(10), 'T', 1, 0, 0, NULL",
        "'x', 'price', '1', 'T', 'two', 0, 0, NULL",
        "'x', 'price', '1', 'T', 0, 0, 0, NULL",
        "'x', 'price', '1', 'T', 1, -1, 0, NULL",
        "'x', 'price', '1', 'T', 1, 0, 0, 7",
        "'x', 'price', '1', CAST(x'FF' AS TEXT), 1, 0, 0, NULL",
    ] {
        service
            .connect()
            .execute_batch(&format!("INSERT INTO tidings_outbox ({columns}) VALUES ({values})"))
            .unwrap();
        let rows = service.rows().await;
        let error = rows.last().unwrap().event.as_ref().expect_err(values);
        assert!(error.to_string().starts_with(&format!("outbox row {}", rows.len())), "{error}");
    }
    let rows = service.rows().await;
    assert!(rows[0].event.is_ok());
    // Data alone does not hide what a row is about: the relay sends its news without it.
    let sql =
        format!("INSERT INTO tidings_outbox ({columns}) VALUES ('x', 'price', '1', 'T', 2, 0, 0, '{{')");
    service.connect().execute_batch(&sql).unwrap();
    assert!(service.rows().await.last().unwrap().event.is_ok());
}

#[tokio::test]
async fn other_readers_find_the_columns_they_know() {
    let service = Service::new();
    service.commit(&draft("price/SKU-1", None));
    let sql = "SELECT id, aggregatetype, aggregateid, type, payload FROM tidings_outbox";
    let row = service.connect().query_row(sql, [], |row| {
        let text = |index| row.get::<_, String>(index);
        assert_eq!(text(0)?.len(), 36);
        Ok([text(1)?, text(2)?, text(3)?, text(4)?])
    });
    assert_eq!(row.unwrap(), ["price", "SKU-1", "pricing.BasePriceChanged", "{\"cents\":1999}"]);
}

#[tokio::test]
async fn installing_is_repeatable_transactional_and_refuses_the_future() {
    let service = Service::new();
    service.commit(&draft("price/1", None));
    let mut db = service.connect();
    outbox::install(&db).unwrap();
    assert_eq!(service.events().await.len(), 1);
    db.execute("UPDATE tidings_meta SET value = 2 WHERE name = 'outbox_schema'", []).unwrap();
    assert_eq!(outbox::install(&db).unwrap_err().code(), Code::STORE_TOO_NEW);
    assert!(db.is_autocommit(), "the refusal left a transaction open");
    assert_eq!(SqliteOutbox::open(service.path(), "/x").unwrap_err().code(), Code::STORE_TOO_NEW);

    let path = service.dir.path().join("other.db");
    let mut other = Connection::open(&path).unwrap();
    let tx = other.transaction().unwrap();
    outbox::install(&tx).unwrap();
    tx.rollback().unwrap();
    assert_eq!(SqliteOutbox::open(&path, "/x").unwrap_err().code(), Code::OUTBOX_MISSING);
    let tx = other.transaction().unwrap();
    assert_eq!(outbox::record(&tx, &draft("price/1", None)).unwrap_err().code(), Code::OUTBOX_MISSING);
    drop(tx);
    drop(db.transaction().unwrap());
    assert_eq!(SqliteOutbox::open(path.join("none"), "/x").unwrap_err().code(), Code::FILE_UNREADABLE);
}
