//! What loads teach.

use tidings::{Truth, View};

use tidings_core::port::Store;

use super::{BEHIND, EARLY, bare, begin, early, heard, key, mark, ms, versioned};
use crate::shop::{BOUND, Rule, Shop, within};

/// Marks settle it for the views that hear them, and for the others with them.
#[tokio::test(start_paused = true)]
async fn i1_what_a_view_without_sources_has_shown_binds_the_others() {
    let shop = Shop::open(Rule::On);
    begin(&shop).await;
    let view = heard(&shop);
    let deaf: View<String, u64> =
        View::builder("deaf", &shop.fence).truth(Truth::Push(BOUND)).build().unwrap();
    let shown = within(deaf.get(&key(), |fill| versioned(fill, 2))).await.unwrap();
    assert_eq!(shown.value(), Some(&2));
    // The event has not come yet, and a replica lags.
    let hit = within(view.get(&key(), |fill| versioned(fill, 1))).await.unwrap();
    assert_eq!(hit.freshness(), BEHIND);
    assert!(view.cached(&key()).is_none());
}

/// Marks say nothing of an event that came before this copy followed, or in a gap; its row may be read only later.
#[tokio::test(start_paused = true)]
async fn i1_marks_do_not_settle_what_was_learned_of_an_event_that_may_have_been_missed() {
    // What was loaded while the row could not be read is served for longer than that, if nothing speaks against it.
    for (is_gap, learned_after) in [(false, EARLY - ms(1)), (true, EARLY - ms(1)), (true, EARLY + ms(1))] {
        let (shop, view) = early();
        begin(&shop).await;
        if is_gap {
            shop.clock.advance(ms(5_000));
            shop.fence.open_epoch("a gap").await.unwrap();
        }
        let other = "pair".to_owned();
        within(view.get(&other, |fill| bare(fill, 0))).await.unwrap();
        shop.clock.advance(learned_after);
        let shown = within(view.get(&key(), |fill| versioned(fill, 1))).await.unwrap();
        assert_eq!(shown.value(), Some(&1));
        shop.clock.advance(ms(1_000));
        mark(&shop).await;
        assert!(view.cached(&other).is_none(), "gap {is_gap}, learned after {learned_after:?}");
    }
}

/// Its event must still come, and marks wait for it.
#[tokio::test(start_paused = true)]
async fn marks_settle_what_was_learned_of_an_event_that_cannot_have_been_missed() {
    let (shop, view) = early();
    begin(&shop).await;
    shop.clock.advance(EARLY + view.bound());
    within(view.get(&key(), |fill| versioned(fill, 1))).await.unwrap();
    assert_eq!(shop.fence.floors(), 1);
    shop.clock.advance(ms(1));
    mark(&shop).await;
    assert_eq!(shop.fence.floors(), 0);
}
