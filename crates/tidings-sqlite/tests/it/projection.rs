//! A read model and its position are one.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, params};
use tempfile::TempDir;
use tidings_core::port::{Batch, Store};
use tidings_core::{Code, Error, Event, Offset, Position, Time};
use tidings_sqlite::{SqliteProjection, fault};

use crate::support::{at, event, partition};

const SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS price_view (sku TEXT PRIMARY KEY, version INTEGER, data TEXT)";

/// A projection of the newest event of each entity; an event of `bad/..` fails, one of `worse/..` panics.
pub(crate) fn prices(path: &Path) -> Arc<SqliteProjection> {
    let apply = |tx: &rusqlite::Transaction<'_>, event: &Event| {
        let sql = "INSERT INTO price_view VALUES (?1, ?2, ?3) ON CONFLICT (sku) DO UPDATE
                   SET version = excluded.version, data = excluded.data WHERE excluded.version > version";
        let version = event.stamp.version.number() as i64;
        tx.execute(sql, params![event.entity.as_str(), version, format!("{:?}", event.data)])
            .map_err(fault)?;
        match event.entity.kind() {
            "bad" => Err(Error::new(Code::DATA_UNREADABLE, "as the test wants")),
            "worse" => panic!("as the test wants"),
            _ => Ok(()),
        }
    };
    SqliteProjection::open(path, "prices", SCHEMA, Box::new(apply)).unwrap()
}

pub(crate) fn digest(path: &Path) -> String {
    let db = Connection::open(path).unwrap();
    let mut select = db.prepare("SELECT sku, version, data FROM price_view ORDER BY sku").unwrap();
    let rows = select.query_map([], |row| {
        Ok(format!("{} {} {}\n", row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
    });
    rows.unwrap().collect::<rusqlite::Result<String>>().unwrap()
}

async fn apply(
    store: &SqliteProjection,
    events: &[Arc<Event>],
    next: u64,
    caught_up: Option<i64>,
) -> tidings_core::Result<()> {
    let caught_up = caught_up.map(Time::from_micros);
    store
        .apply(Batch { consumer: "shop", actions: &[], events, parked: &[], next: &at(next), caught_up })
        .await
}

#[tokio::test]
async fn position_and_rows_survive_together_and_never_go_back() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("view.db");
    let store = prices(&path);
    assert_eq!((store.position(&partition(0)), store.caught_up()), (None, None));
    apply(&store, &[event("price/1", 1, 3), event("price/2", 1, 3)], 2, None).await.unwrap();
    assert_eq!((store.position(&partition(0)), store.caught_up()), (Some(Offset(2)), None));
    apply(&store, &[event("price/1", 2, 3)], 4, Some(70)).await.unwrap();
    let held = digest(&path);
    apply(&store, &[event("price/1", 1, 3)], 1, Some(50)).await.unwrap();
    drop(store);
    let store = prices(&path);
    assert_eq!(store.position(&partition(0)), Some(Offset(4)));
    assert_eq!(store.caught_up(), Some(Time::from_micros(70)));
    assert_eq!(digest(&path), held);
}

#[tokio::test]
async fn a_failed_batch_leaves_nothing_and_the_next_one_works() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("view.db");
    let store = prices(&path);
    for (bad, code) in [("bad/1", Code::DATA_UNREADABLE), ("worse/1", Code::DATA_UNREADABLE)] {
        let error = apply(&store, &[event("price/1", 1, 3), event(bad, 1, 3)], 2, Some(1)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert_eq!((store.position(&partition(0)), digest(&path).as_str()), (None, ""), "{bad}");
    }
    apply(&store, &[event("price/1", 1, 3)], 1, None).await.unwrap();
    assert_eq!(store.position(&partition(0)), Some(Offset(1)));
}

#[tokio::test]
async fn caught_up_is_what_all_partitions_have_reached() {
    let dir = TempDir::new().unwrap();
    let store = prices(&dir.path().join("view.db"));
    for (index, caught_up, expected) in [(0, Some(90), Some(90)), (1, None, None), (1, Some(40), Some(40))] {
        let next = Position { partition: partition(index), offset: Offset(1) };
        let caught_up = caught_up.map(Time::from_micros);
        store
            .apply(Batch { consumer: "shop", actions: &[], events: &[], parked: &[], next: &next, caught_up })
            .await
            .unwrap();
        assert_eq!(store.caught_up(), expected.map(Time::from_micros), "after partition {index}");
    }
}

#[tokio::test]
async fn after_a_gap_reading_may_go_on_earlier() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("view.db");
    let store = prices(&path);
    apply(&store, &[], 9, None).await.unwrap();
    store.open_epoch("the log was restored from a backup").await.unwrap();
    apply(&store, &[], 3, None).await.unwrap();
    drop(store);
    let store = prices(&path);
    assert_eq!((store.epoch(), store.position(&partition(0))), (1, Some(Offset(3))));
    let db = Connection::open(&path).unwrap();
    let why: String = db.query_row("SELECT epoch_why FROM tidings_projection", [], |row| row.get(0)).unwrap();
    assert_eq!(why, "the log was restored from a backup");
}

#[tokio::test]
async fn a_projection_does_not_claim_to_know_what_was_set_aside() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("view.db");
    let store = prices(&path);
    let time = |micros| Some(Time::from_micros(micros));
    store.begin("shop", &[partition(0)]).await.unwrap();
    assert_eq!(store.caught_up(), None, "it follows a partition that has told nothing yet");
    let set_aside = event("price/1", 2, 3);
    let parked = std::slice::from_ref(&set_aside);
    let batch = Batch {
        consumer: "shop",
        actions: &[],
        events: &[],
        parked,
        next: &at(1),
        caught_up: time(i64::MAX),
    };
    store.apply(batch).await.unwrap();
    assert_eq!(store.caught_up(), Some(set_aside.time), "complete only up to the event that is missing");
    drop(store);
    let store = prices(&path);
    assert_eq!((store.missing(), store.caught_up()), (vec!["price/1".to_owned()], Some(set_aside.time)));
    apply(&store, &[event("price/1", 1, 3), event("price/2", 9, 3)], 2, None).await.unwrap();
    assert_eq!(store.caught_up(), Some(set_aside.time), "an older version does not replace it");
    apply(&store, &[event("price/1", 3, 3)], 3, None).await.unwrap();
    assert_eq!((store.missing(), store.caught_up()), (vec![], time(i64::MAX)), "a newer one does");
}

#[tokio::test]
async fn after_a_gap_a_projection_claims_nothing_newer_until_it_is_repaired() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("view.db");
    let store = prices(&path);
    apply(&store, &[event("price/1", 1, 3)], 1, Some(50)).await.unwrap();
    assert!(store.gap().is_none());
    store.open_epoch("records from 1 to 9 are gone").await.unwrap();
    apply(&store, &[event("price/1", 9, 3)], 10, Some(90)).await.unwrap();
    drop(store);
    let store = prices(&path);
    assert_eq!(store.caught_up(), Some(Time::from_micros(50)));
    let fail = |_: &rusqlite::Transaction<'_>| Err::<(), _>(Error::new(Code::DATABASE_UNREACHABLE, "away"));
    assert!(store.repair(store.gap().unwrap(), fail).await.is_err());
    assert_eq!(store.caught_up(), Some(Time::from_micros(50)), "a repair that failed repaired nothing");
    store.repair(store.gap_opened().await, take).await.unwrap();
    assert_eq!((store.caught_up(), store.gap().is_none()), (Some(Time::from_micros(90)), true));
    drop(store);
    let store = prices(&path);
    assert_eq!((store.caught_up(), store.gap().is_none()), (Some(Time::from_micros(90)), true));
    assert!(digest(&path).contains("price/7 4 snapshot"), "{}", digest(&path));
}

/// What a snapshot of the source says.
fn take(tx: &rusqlite::Transaction<'_>) -> tidings_core::Result<()> {
    tx.execute("INSERT INTO price_view VALUES ('price/7', 4, 'snapshot')", []).map(drop).map_err(fault)
}

#[tokio::test]
async fn a_repair_says_nothing_of_what_was_missed_after_it_had_begun() {
    let dir = TempDir::new().unwrap();
    let store = prices(&dir.path().join("view.db"));
    apply(&store, &[event("price/1", 1, 3)], 1, Some(50)).await.unwrap();
    store.open_epoch("records from 1 to 9 are gone").await.unwrap();
    set_aside(&store, event("price/1", 2, 3), 10).await;
    set_aside(&store, event("price/2", 5, 3), 11).await;
    let gap = store.gap().unwrap();
    store.open_epoch("records from 11 to 20 are gone").await.unwrap();
    set_aside(&store, event("price/1", 3, 3), 20).await;
    apply(&store, &[], 21, Some(90)).await.unwrap();
    store.repair(gap, |_| Ok(())).await.unwrap();
    assert_eq!(store.missing(), ["price/1"]);
    assert_eq!(store.caught_up(), Some(Time::from_micros(50)), "{:?}", store.gap());
    store.repair(store.gap().unwrap(), |_| Ok(())).await.unwrap();
    assert!(store.missing().is_empty() && store.gap().is_none());
}

#[tokio::test]
async fn whoever_repairs_is_woken_by_a_gap() {
    let dir = TempDir::new().unwrap();
    let store = prices(&dir.path().join("view.db"));
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.gap_opened().await }
    });
    store.open_epoch("records from 1 to 9 are gone").await.unwrap();
    let gap = tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await.unwrap().unwrap();
    store.repair(gap, |_| Ok(())).await.unwrap();
    assert!(store.gap().is_none());
}

async fn set_aside(store: &SqliteProjection, event: Arc<Event>, next: u64) {
    let parked = std::slice::from_ref(&event);
    let next = at(next);
    let batch = Batch { consumer: "shop", actions: &[], events: &[], parked, next: &next, caught_up: None };
    store.apply(batch).await.unwrap();
}

#[test]
fn a_newer_or_broken_one_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("view.db");
    let open = |schema| SqliteProjection::open(&path, "prices", schema, Box::new(|_, _| Ok(()))).unwrap_err();
    assert_eq!(open("CREATE TABEL x").code(), Code::DEFECT);
    drop(prices(&path));
    Connection::open(&path).unwrap().execute("UPDATE tidings_projection SET format = 2", []).unwrap();
    assert_eq!(open(SCHEMA).code(), Code::STORE_TOO_NEW);
}
