//! The suites find what is broken: each behaviour is shown a backend that lacks it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use tidings::memory::{MemoryLog, MemoryOutbox};
use tidings_core::event::Draft;
use tidings_core::port::{Batch, Boxed, Cursor, Log, Outbox, Store};
use tidings_core::{Code, Entity, Position, Result, Stamp};

use super::{LogHome, OutboxHome, StoreHome, Subject, log, outbox, store};
use crate::faults::{Call, Fault, FaultyLog, FaultyOutbox, FaultyStore, Gate, Script};

/// Runs a behaviour to its end and asserts that it panicked, and about what.
async fn must_fail(about: &str, behaviour: impl Future<Output = ()> + Send + 'static) {
    let error = tokio::spawn(behaviour).await.expect_err(about);
    let panic = error.into_panic();
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    assert!(said.contains(about), "expected to hear about {about:?}, heard: {said}");
}

fn memory_log() -> Arc<MemoryLog> {
    MemoryLog::new(NonZeroU32::new(2).unwrap())
}

fn broken_log(call: Call, fault: Fault) -> Arc<dyn Log> {
    let script = Script::seeded(3);
    script.sometimes(call, 1.0, fault);
    FaultyLog::new(memory_log(), script)
}

#[tokio::test(start_paused = true)]
async fn a_log_that_breaks_its_word_is_found() {
    use log::*;
    must_fail(
        "left == right",
        offsets_start_at_zero_and_have_no_holes(broken_log(Call::Read, Fault::Double)),
    )
    .await;
    must_fail("left == right", offsets_start_at_zero_and_have_no_holes(broken_log(Call::Read, Fault::Lose)))
        .await;
    must_fail("left == right", concurrent_appends_leave_no_hole(broken_log(Call::Append, Fault::Double)))
        .await;
    must_fail(
        "damaged on its way",
        records_come_back_as_they_were_written(broken_log(Call::Read, Fault::Garble)),
    )
    .await;
    must_fail("an unexpected gap", reads_keep_their_limits(broken_log(Call::Read, Fault::Gap))).await;
    let deaf = || broken_log(Call::Wait, Fault::Hold(Gate::closed()));
    must_fail("a wait begun before the append: nothing", a_wait_begun_before_the_append_ends(deaf())).await;
    must_fail("a wait begun after the append: nothing", a_wait_begun_after_the_append_ends(deaf())).await;
    must_fail("the wait that was kept: nothing", a_dropped_wait_harms_nobody(deaf())).await;
    must_fail("following: nothing", following_never_misses_an_append(deaf())).await;
}

/// Opens an empty log every time, and lies about having damaged a record.
struct Forgetful;

impl LogHome for Forgetful {
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Log>>> {
        Box::pin(async { Ok(memory_log() as Arc<dyn Log>) })
    }

    fn damage<'a>(&'a self, _at: &'a Position) -> Boxed<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }
}

#[tokio::test]
async fn a_log_that_forgets_is_found() {
    must_fail("left == right", async { log::appends_survive_a_restart(&Forgetful).await }).await;
    must_fail("groups-restart", async { log::committed_positions_survive_a_restart(&Forgetful).await }).await;
    must_fail("after a restart", async {
        log::offsets_continue_after_everything_was_removed(&Forgetful).await
    })
    .await;
    must_fail("left == right", async { log::an_unreadable_record_is_an_answer(&Forgetful).await }).await;
}

/// Commits what should be rolled back, lists nothing as parked, and opens its outbox with faults.
struct Careless {
    inner: Arc<MemoryOutbox>,
    script: Script,
}

impl Careless {
    fn with(call: Call, fault: Fault) -> Self {
        let script = Script::seeded(3);
        script.sometimes(call, 1.0, fault);
        Self { inner: MemoryOutbox::new("/careless"), script }
    }
}

impl OutboxHome for Careless {
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Outbox>>> {
        let outbox = FaultyOutbox::new(self.inner.clone(), self.script.clone());
        Box::pin(async { Ok(outbox as Arc<dyn Outbox>) })
    }

    fn commit<'a>(&'a self, drafts: &'a [Draft]) -> Boxed<'a, Result<Vec<Stamp>>> {
        Box::pin(async { self.inner.commit(drafts) })
    }

    fn roll_back<'a>(&'a self, drafts: &'a [Draft]) -> Boxed<'a, Result<()>> {
        Box::pin(async { self.inner.commit(drafts).map(drop) })
    }

    fn parked(&self) -> Boxed<'_, Result<Vec<Cursor>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_breaks_its_word_is_found() {
    use outbox::*;
    let sound = || {
        Careless::with(
            Call::Acknowledged,
            Fault::Hold({
                let open = Gate::closed();
                open.open();
                open
            }),
        )
    };
    rows_come_in_commit_order(&sound()).await;
    must_fail("left == right", async move { a_rollback_leaves_no_event(&sound()).await }).await;
    must_fail("left == right", async move { a_parked_row_can_be_passed(&sound()).await }).await;
    let doubled = Careless::with(Call::Scan, Fault::Double);
    must_fail("cursors do not rise", async move { rows_come_in_commit_order(&doubled).await }).await;
    let damaged = Careless::with(Call::Scan, Fault::Garble);
    must_fail("damaged on its way", async move { rows_come_in_commit_order(&damaged).await }).await;
    let deaf = Careless::with(Call::Wait, Fault::Hold(Gate::closed()));
    must_fail("a wait with a short limit: nothing", async move {
        a_wait_ends_with_a_commit_or_its_limit(&deaf).await
    })
    .await;
    let deaf = Careless::with(Call::Wait, Fault::Hold(Gate::closed()));
    must_fail("following: nothing", async move { following_concurrent_commits_misses_nothing(&deaf).await })
        .await;
}

/// Keeps each entity's newest version, or, if it is naive, the last that came.
struct Versions {
    naive: bool,
    held: Mutex<BTreeMap<Entity, Stamp>>,
}

impl Store for Versions {
    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let mut held = self.held.lock().unwrap();
            for event in batch.events {
                let newest = held.entry(event.entity.clone()).or_default();
                *newest = if self.naive { event.stamp } else { event.stamp.max(*newest) };
            }
            Ok(())
        })
    }

    fn open_epoch<'a>(&'a self, _why: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            if self.naive {
                self.held.lock().unwrap().clear();
            }
            Ok(())
        })
    }
}

struct VersionsHome {
    naive: bool,
    script: Script,
}

impl VersionsHome {
    fn new(naive: bool) -> Self {
        Self { naive, script: Script::seeded(1) }
    }
}

impl StoreHome for VersionsHome {
    fn create(&self) -> Boxed<'_, Result<Subject>> {
        let store = Arc::new(Versions { naive: self.naive, held: Mutex::default() });
        let held = store.clone();
        let digest = move || {
            let digest = format!("{:?}", held.held.lock().unwrap());
            Box::pin(async { Ok(digest) }) as Boxed<'static, _>
        };
        let store = FaultyStore::new(store, self.script.clone());
        Box::pin(async { Ok(Subject { store, digest: Box::new(digest) }) })
    }
}

#[tokio::test]
async fn a_store_that_keeps_the_newest_passes_and_one_that_keeps_the_last_is_found() {
    store::run_all(&VersionsHome::new(false)).await;
    let naive = || VersionsHome::new(true);
    must_fail("left == right", async move { store::an_older_batch_changes_nothing(&naive()).await }).await;
    must_fail("seed 0", async move { store::any_order_ends_in_the_same_state(&naive()).await }).await;
    must_fail("left == right", async move { store::an_epoch_can_be_opened_at_any_time(&naive()).await })
        .await;
}

#[tokio::test]
async fn a_sound_store_bears_doubled_and_reordered_batches() {
    let sound = VersionsHome::new(false);
    sound.script.sometimes(Call::Apply, 0.5, Fault::Double);
    sound.script.sometimes(Call::Apply, 0.5, Fault::Reorder);
    store::run_all(&sound).await;
    assert!(sound.script.met().len() > 100, "the faults did not happen");
    let failing = VersionsHome::new(false);
    failing.script.once(Call::Apply, 0, Fault::FailAfter(Code::BUSY));
    let script = failing.script.clone();
    must_fail("its answer is lost", async move { store::run_all(&failing).await }).await;
    assert_eq!(script.calls(Call::Apply), 1);
}
