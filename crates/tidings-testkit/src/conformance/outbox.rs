//! What every [`Outbox`] must do, together with the write side of its source.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::event::Draft;
use tidings_core::port::{Boxed, Cursor, Outbox, Pending, Scan};
use tidings_core::{Code, Error, Event, Result, Stamp};

use super::{begin, must, sample, within};

/// The outbox under test, with the source that commits into it.
pub trait OutboxHome: Send + Sync {
    /// Opens the outbox: empty the first time, later with all that was committed before, as after a restart.
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Outbox>>>;

    /// Commits these drafts in one transaction and returns their stamps.
    fn commit<'a>(&'a self, drafts: &'a [Draft]) -> Boxed<'a, Result<Vec<Stamp>>>;

    /// Records these drafts in a transaction that is rolled back; does nothing where there are no transactions.
    fn roll_back<'a>(&'a self, drafts: &'a [Draft]) -> Boxed<'a, Result<()>>;

    /// The rows set aside, oldest first.
    fn parked(&self) -> Boxed<'_, Result<Vec<Cursor>>>;

    /// Damages the row there so that it is no event any more; false if a test cannot.
    fn damage(&self, _at: Cursor) -> Boxed<'_, Result<bool>> {
        Box::pin(async { Ok(false) })
    }
}

/// Runs every behaviour below, each of which acknowledges what it committed.
///
/// # Panics
/// At the first that does not hold.
pub async fn run_all(home: &dyn OutboxHome) {
    rows_come_in_commit_order(home).await;
    a_scan_says_whether_it_is_complete(home).await;
    a_complete_scan_misses_nothing_committed_before_its_time(home).await;
    a_rollback_leaves_no_event(home).await;
    versions_are_assigned_or_checked(home).await;
    acknowledging_never_lowers(home).await;
    a_parked_row_can_be_passed(home).await;
    an_unreadable_row_is_an_answer(home).await;
    a_wait_ends_with_a_commit_or_its_limit(home).await;
    following_concurrent_commits_misses_nothing(home).await;
}

async fn open(home: &dyn OutboxHome) -> Arc<dyn Outbox> {
    must("open the outbox", home.open().await)
}

async fn commit(home: &dyn OutboxHome, drafts: &[Draft]) -> Vec<Stamp> {
    must("commit", home.commit(drafts).await)
}

async fn scan(outbox: &Arc<dyn Outbox>, after: Cursor, limit: usize) -> Scan {
    let scan = must("scan", outbox.scan(after, limit).await);
    assert!(scan.rows.len() <= limit, "{} rows in a scan of {limit}", scan.rows.len());
    let cursors: Vec<_> = std::iter::once(after).chain(scan.rows.iter().map(|row| row.cursor)).collect();
    assert!(cursors.is_sorted_by(|a, b| a < b), "cursors do not rise: {cursors:?}");
    scan
}

/// All rows after a place.
async fn rest(outbox: &Arc<dyn Outbox>, after: Cursor) -> Vec<Pending> {
    let scan = scan(outbox, after, 100_000).await;
    assert!(scan.complete, "a scan that was not limited is complete when nobody writes");
    scan.rows
}

/// Where the last behaviour left off: everything so far, acknowledged.
async fn start(outbox: &Arc<dyn Outbox>) -> Cursor {
    let from = must("acknowledged", outbox.acknowledged().await);
    let last = rest(outbox, from).await.last().map_or(from, |row| row.cursor);
    must("acknowledge", outbox.acknowledge(last).await);
    last
}

#[track_caller]
fn event(row: &Pending) -> &Event {
    match &row.event {
        Ok(event) => event,
        Err(error) => panic!("the row at {:?} cannot be read: {error}", row.cursor),
    }
}

fn ids(rows: &[Pending]) -> Vec<(String, u64)> {
    rows.iter().map(event).map(|e| (e.entity.to_string(), e.stamp.version.number())).collect()
}

/// Rows are listed as committed, transaction by transaction, and a scan resumes after any of them.
pub async fn rows_come_in_commit_order(home: &dyn OutboxHome) {
    let outbox = open(home).await;
    let from = start(&outbox).await;
    let (a, b) = (sample::draft("order/a", None), sample::draft("order/b", None));
    let stamps = commit(home, &[a.clone(), b.clone()]).await;
    assert_eq!(stamps.len(), 2, "one stamp for each draft");
    commit(home, &[b]).await;
    commit(home, &[a]).await;
    let rows = rest(&outbox, from).await;
    let expected = [("order/a", 1), ("order/b", 1), ("order/b", 2), ("order/a", 2)];
    assert_eq!(ids(&rows), expected.map(|(entity, version)| (entity.to_owned(), version)));
    for (at, row) in rows.iter().enumerate() {
        let later = rest(&outbox, row.cursor).await;
        assert_eq!(ids(&later), ids(&rows).split_off(at + 1), "after {:?}", row.cursor);
    }
    let mut unique: Vec<_> = rows.iter().map(|row| event(row).id.clone()).collect();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 4, "event ids are unique");
    let draft = sample::draft("order/a", None);
    let first = rows.first().map(event);
    assert_eq!(first.map(|e| (&e.kind, &e.data, e.window)), Some((&draft.kind, &draft.data, draft.window)));
}

/// A scan cut short by its limit is not complete; one that reached the end is.
pub async fn a_scan_says_whether_it_is_complete(home: &dyn OutboxHome) {
    let outbox = open(home).await;
    let from = start(&outbox).await;
    assert!(scan(&outbox, from, 10).await.complete, "an empty scan with nothing left");
    for _ in 0..5 {
        commit(home, &[sample::draft("complete/a", None)]).await;
    }
    let cut = scan(&outbox, from, 2).await;
    assert_eq!((cut.rows.len(), cut.complete), (2, false));
    let whole = scan(&outbox, from, 6).await;
    assert_eq!((whole.rows.len(), whole.complete), (5, true));
}

/// The time of a complete scan parts what it lists from what is committed later: what a mark will say of it.
pub async fn a_complete_scan_misses_nothing_committed_before_its_time(home: &dyn OutboxHome) {
    let outbox = open(home).await;
    let mut from = start(&outbox).await;
    let mut time = scan(&outbox, from, 10).await.time;
    for _ in 0..20 {
        commit(home, &[sample::draft("time/a", None), sample::draft("time/b", None)]).await;
        let scan = scan(&outbox, from, 10).await;
        for row in &scan.rows {
            let committed = event(row).time;
            assert!(committed >= time, "committed at {committed}, after a complete scan as of {time}");
            assert!(committed <= scan.time, "committed at {committed}, listed as of {}", scan.time);
        }
        assert!(scan.complete && scan.rows.len() == 2, "{scan:?}");
        from = scan.rows.last().map_or(from, |row| row.cursor);
        time = scan.time;
    }
}

/// Without a commit there is no event, and the next version is as if nothing had been tried.
pub async fn a_rollback_leaves_no_event(home: &dyn OutboxHome) {
    let outbox = open(home).await;
    let from = start(&outbox).await;
    commit(home, &[sample::draft("rollback/a", None)]).await;
    must("roll back", home.roll_back(&[sample::draft("rollback/a", None)]).await);
    commit(home, &[sample::draft("rollback/a", None)]).await;
    let rows = rest(&outbox, from).await;
    assert_eq!(ids(&rows), [("rollback/a".to_owned(), 1), ("rollback/a".to_owned(), 2)]);
}

/// A draft without a version gets the next; one with a version keeps it, if it is above the last. Otherwise the whole
/// transaction is refused.
pub async fn versions_are_assigned_or_checked(home: &dyn OutboxHome) {
    let outbox = open(home).await;
    let from = start(&outbox).await;
    let draft = |number| sample::draft("versions/a", number);
    let numbers = |stamps: Vec<Stamp>| stamps.iter().map(|s| s.version.number()).collect::<Vec<_>>();
    assert_eq!(numbers(commit(home, &[draft(None), draft(None)]).await), [1, 2]);
    assert_eq!(numbers(commit(home, &[draft(Some(10)), draft(None)]).await), [10, 11]);
    for stale in [11, 10, 1, 0] {
        let batch = [sample::draft("versions/b", None), draft(Some(stale))];
        match home.commit(&batch).await {
            Err(error) => assert_eq!(error.code(), Code::VERSION_REGRESSED, "version {stale}"),
            Ok(stamps) => panic!("version {stale} after 11 was accepted as {stamps:?}"),
        }
    }
    assert_eq!(numbers(commit(home, &[draft(None)]).await), [12]);
    let found: Vec<_> = ids(&rest(&outbox, from).await);
    assert_eq!(
        found,
        [1, 2, 10, 11, 12].map(|v| ("versions/a".to_owned(), v)),
        "nothing of what was refused"
    );
}

/// The acknowledged cursor survives a restart and never goes back; what follows it is still listed.
pub async fn acknowledging_never_lowers(home: &dyn OutboxHome) {
    let outbox = open(home).await;
    let from = start(&outbox).await;
    for _ in 0..3 {
        commit(home, &[sample::draft("acknowledge/a", None)]).await;
    }
    let cursors: Vec<_> = rest(&outbox, from).await.iter().map(|row| row.cursor).collect();
    let [first, second, _] = cursors[..] else { panic!("three rows were committed: {cursors:?}") };
    for lower in [second, first, from, Cursor(0), second] {
        must("acknowledge", outbox.acknowledge(lower).await);
        assert_eq!(must("acknowledged", outbox.acknowledged().await), second, "after {lower:?}");
    }
    drop(outbox);
    let outbox = open(home).await;
    assert_eq!(must("acknowledged", outbox.acknowledged().await), second, "after a restart");
    assert_eq!(ids(&rest(&outbox, second).await), [("acknowledge/a".to_owned(), 3)]);
}

/// A parked row is listed as parked, also after a restart, holds up nobody, and can be parked again.
pub async fn a_parked_row_can_be_passed(home: &dyn OutboxHome) {
    let outbox = open(home).await;
    let from = start(&outbox).await;
    commit(home, &[sample::draft("park/a", None), sample::draft("park/b", None)]).await;
    let cursors: Vec<_> = rest(&outbox, from).await.iter().map(|row| row.cursor).collect();
    let [first, second] = cursors[..] else { panic!("two rows were committed: {cursors:?}") };
    let before = must("parked", home.parked().await);
    for _ in 0..2 {
        must("park", outbox.park(first, &Error::new(Code::OVERSIZED, "too large for the log")).await);
    }
    must("acknowledge", outbox.acknowledge(first).await);
    assert_eq!(ids(&rest(&outbox, first).await), [("park/b".to_owned(), 1)]);
    must("acknowledge", outbox.acknowledge(second).await);
    drop(outbox);
    drop(open(home).await);
    let after = must("parked", home.parked().await);
    assert_eq!(after, [before, vec![first]].concat());
}

/// A row that is no event is an error in its place; the rows around it are listed as before.
pub async fn an_unreadable_row_is_an_answer(home: &dyn OutboxHome) {
    let outbox = open(home).await;
    let from = start(&outbox).await;
    for _ in 0..3 {
        commit(home, &[sample::draft("damage/a", None)]).await;
    }
    let cursors: Vec<_> = rest(&outbox, from).await.iter().map(|row| row.cursor).collect();
    let [_, second, _] = cursors[..] else { panic!("three rows were committed: {cursors:?}") };
    if must("damage", home.damage(second).await) {
        let rows = rest(&outbox, from).await;
        assert!(rows.iter().map(|row| row.event.is_ok()).eq([true, false, true]), "{rows:?}");
    }
}

/// A wait ends when there is something to read, or when its time is up, or early; never later.
pub async fn a_wait_ends_with_a_commit_or_its_limit(home: &dyn OutboxHome) {
    let hour = Duration::from_secs(3600);
    let outbox = open(home).await;
    let from = start(&outbox).await;
    must("wait", within("a wait with a short limit", outbox.wait(from, Duration::from_millis(10))).await);
    let mut wait = outbox.wait(from, hour);
    let early = begin(&mut wait).await;
    commit(home, &[sample::draft("wait/a", None)]).await;
    if early.is_none() {
        must("wait", within("a wait begun before the commit", wait).await);
    }
    must("wait", within("a wait begun after the commit", outbox.wait(from, hour)).await);
}

/// A follower beside several writers gets every committed row once, with each entity's versions rising.
pub async fn following_concurrent_commits_misses_nothing(home: &dyn OutboxHome) {
    const WRITERS: usize = 4;
    const EACH: usize = 15;
    let outbox = open(home).await;
    let mut from = start(&outbox).await;
    let entities: Vec<_> = (0..WRITERS).map(|n| format!("follow/{n}")).collect();
    let writer = async |entity: &String| {
        for _ in 0..EACH {
            let shared = sample::draft("follow/shared", None);
            commit(home, &[sample::draft(entity, None), shared]).await;
            tokio::task::yield_now().await;
        }
    };
    let mut found: Vec<(String, u64)> = Vec::new();
    let follower = async {
        while found.len() < WRITERS * EACH * 2 {
            let scan = scan(&outbox, from, 7).await;
            from = scan.rows.last().map_or(from, |row| row.cursor);
            found.extend(ids(&scan.rows));
            if scan.rows.is_empty() {
                must("wait", outbox.wait(from, Duration::from_secs(3600)).await);
            } else {
                tokio::task::yield_now().await;
            }
        }
    };
    let [a, b, c, d] = &entities[..] else { panic!("{WRITERS} writers") };
    within("following", async { tokio::join!(follower, writer(a), writer(b), writer(c), writer(d)) }).await;
    for (entity, count) in
        entities.iter().map(|e| (e.as_str(), EACH)).chain([("follow/shared", WRITERS * EACH)])
    {
        let versions: Vec<_> = found.iter().filter(|(e, _)| e == entity).map(|(_, v)| *v as usize).collect();
        assert_eq!(versions, (1..=count).collect::<Vec<_>>(), "{entity}");
    }
}
