//! Rows that follow their events.

use tidings_core::port::Store;

use super::{EARLY, age, bare, begin, early, key, mark, ms, versioned};
use crate::shop::within;

/// The row of an event may follow it, and the event may lie before the head that a consumer begins at, or in a gap.
#[tokio::test(start_paused = true)]
async fn marks_do_not_vouch_for_a_row_that_may_follow_an_event_which_was_missed() {
    for is_gap in [false, true] {
        let (shop, view) = early();
        if is_gap {
            begin(&shop).await;
            shop.clock.advance(ms(5_000));
            shop.fence.open_epoch("a gap").await.unwrap();
        } else {
            begin(&shop).await;
        }
        // Version 2 was published just before, and can be read in a moment.
        shop.clock.advance(EARLY - ms(100));
        within(view.get(&key(), |fill| versioned(fill, 1))).await.unwrap();
        shop.clock.advance(ms(50));
        let visible = shop.clock.elapsed();
        shop.clock.advance(ms(3_000));
        mark(&shop).await;
        let told = age(&view).unwrap();
        assert!(told >= shop.clock.elapsed() - visible, "gap {is_gap}: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn marks_do_not_vouch_for_a_row_that_may_follow_an_event_which_was_heard() {
    let (shop, view) = early();
    begin(&shop).await;
    shop.clock.advance(ms(5_000));
    shop.hear("price", "42", 2);
    shop.clock.advance(EARLY - ms(100));
    within(view.get(&key(), |fill| bare(fill, 1))).await.unwrap();
    shop.clock.advance(ms(50));
    let visible = shop.clock.elapsed();
    shop.clock.advance(ms(3_000));
    mark(&shop).await;
    let told = age(&view);
    assert!(told.is_none_or(|told| told >= shop.clock.elapsed() - visible), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn marks_vouch_for_what_was_loaded_once_every_row_could_be_read() {
    let (shop, view) = early();
    begin(&shop).await;
    shop.hear("price", "42", 2);
    shop.clock.advance(EARLY);
    within(view.get(&key(), |fill| bare(fill, 2))).await.unwrap();
    shop.clock.advance(ms(5_000));
    mark(&shop).await;
    let told = age(&view).unwrap();
    assert!(told <= ms(100), "{told:?}");
}
