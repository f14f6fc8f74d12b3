//! Every interleaving of a load, its news and a read, on the shipped board.
//!
//! The board's own file is compiled a second time here, with atomics and locks of `loom`, which plays through all
//! orders in which threads can take their steps, and all values that the memory model lets a load return. Above it is
//! a small [`model`] of a view. Each scenario also runs with orders that are wrong, and with all orderings of the board
//! relaxed: what is not found out then would not have been proven.
//!
//! What a hit claims: everything committed before its mark is in it. So a read that knows the mark after the second
//! version must not be served the first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loom::thread::spawn;

#[path = "../../src/fence/board.rs"]
#[expect(dead_code, reason = "the model needs a part of it")]
mod board;
#[path = "../../src/fence/hold.rs"]
#[expect(dead_code, reason = "the model needs a part of it")]
mod hold;
mod model;
mod sync;

use board::Board;
use hold::Hold;
use model::{COMMITTED, Copy, Hit, Landed, NOW, OTHER, PRICE, Wrong, stamp, unversioned, versioned};

/// Plays a scenario through; how many executions there were, or what went wrong in the first that failed.
fn explore(scenario: fn(Wrong), wrong: Wrong, weak: bool) -> Result<u64, String> {
    let executions = Arc::new(AtomicU64::new(0));
    let counted = executions.clone();
    let mut checker = loom::model::Builder::new();
    checker.preemption_bound = None;
    sync::weaken(weak);
    let played = catch_unwind(AssertUnwindSafe(|| {
        checker.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            scenario(wrong);
        });
    }));
    sync::weaken(false);
    let count = executions.load(Ordering::Relaxed);
    played.map(|()| count).map_err(|_| format!("found in execution {count}"))
}

macro_rules! interleavings {
    ($($name:ident: $scenario:ident, wrong: [$($wrong:ident),*], relaxed: [$($relaxed:literal)?];)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn is_closed() {
                let executions = explore($scenario, Wrong::Nothing, false).unwrap();
                println!("{}: {executions} executions, no preemption bound", stringify!($name));
                // One thread after the other would be a few; then nothing was interleaved.
                assert!(executions > 20, "{executions}");
            }

            #[test]
            fn is_found_where_the_order_is_wrong() {
                $(found(stringify!($wrong), explore($scenario, Wrong::$wrong, false));)*
                $(found($relaxed, explore($scenario, Wrong::Nothing, true));)?
            }
        }
    )*};
}

fn found(what: &str, explored: Result<u64, String>) {
    println!("{what}: {explored:?}");
    assert!(explored.is_err(), "{what} is not found out");
}

interleavings! {
    r1_a_late_fill: late_fill,
        wrong: [CheckedOnce, CheckedByReads, MarkBeforeNews, FloorsBeforeMarks], relaxed: [];
    r1_a_late_fill_without_a_version: late_fill_without_a_version,
        wrong: [CheckedOnce, CheckedByReads, MarkBeforeNews, FloorsBeforeMarks, TicketAfterRead],
        relaxed: ["relaxed"];
    r4_a_late_fill_under_a_region: late_fill_under_a_region,
        wrong: [CheckedOnce, CheckedByReads, TicketAfterRead], relaxed: ["relaxed"];
    a_stamp_that_is_brought_up_to_date: stamp_brought_up,
        wrong: [CheckedOnce, MarkBeforeNews, FloorsBeforeMarks], relaxed: [];
    a_late_fill_while_another_moves_its_stripe: late_fill_on_a_shared_stripe,
        wrong: [CheckedOnce, CheckedByReads], relaxed: [];
    what_a_load_saw_before_its_news: learned, wrong: [TeachesNothing], relaxed: [];
    a_lagging_load_after_one_that_did_not_lag: learned_then_lagging,
        wrong: [CheckedOnce, CheckedByReads], relaxed: [];
    an_epoch_and_a_fill_from_before: epoch, wrong: [EpochBeforeMarks, EpochOfLanding], relaxed: [];
    r2_who_comes_after_the_news: joining, wrong: [JoinsAny, ContentWithAny], relaxed: [];
}

/// A hit is as new as it claims.
fn honest(hit: Option<Hit>) {
    if let Some(Hit { shows, known }) = hit {
        assert!(
            shows == 2 || known < COMMITTED,
            "version {shows} was served as good with the mark of {known}"
        );
    }
}

/// Nobody is served the first version from now on.
fn over(copy: &Copy) {
    assert_ne!(
        copy.look().map(|hit| hit.shows),
        Some(1),
        "the first version is served after its successor's news"
    );
}

fn raise(board: &Board) {
    board.raise(PRICE, stamp(2), NOW);
}

fn bump(board: &Board) {
    board.bump(PRICE, NOW);
}

fn race(copy: &Arc<Copy>, held: fn(u64) -> tidings_core::fence::Held, news: fn(&Board)) {
    let filler = spawn({
        let copy = copy.clone();
        move || copy.fill(held)
    });
    let consumer = spawn({
        let copy = copy.clone();
        move || {
            copy.commit();
            copy.apply(news);
        }
    });
    let during = copy.look();
    filler.join().unwrap();
    consumer.join().unwrap();
    honest(during);
    over(copy);
}

fn late_fill(wrong: Wrong) {
    race(&Copy::new(wrong), versioned, raise);
}

fn late_fill_without_a_version(wrong: Wrong) {
    race(&Copy::new(wrong), unversioned, raise);
}

fn late_fill_under_a_region(wrong: Wrong) {
    race(&Copy::new(wrong), unversioned, bump);
}

fn late_fill_on_a_shared_stripe(wrong: Wrong) {
    let copy = Copy::new(wrong);
    let ticket = copy.ticket();
    let filler = spawn({
        let copy = copy.clone();
        move || copy.land(&[Hold::new(PRICE, versioned(1))], ticket, 1)
    });
    let elsewhere = spawn({
        let copy = copy.clone();
        move || copy.board.raise(OTHER, stamp(9), NOW)
    });
    raise(&copy.board);
    filler.join().unwrap();
    elsewhere.join().unwrap();
    over(&copy);
}

fn stamp_brought_up(wrong: Wrong) {
    let copy = Copy::holding(wrong, versioned);
    let elsewhere = spawn({
        let copy = copy.clone();
        move || copy.board.raise(OTHER, stamp(9), NOW)
    });
    let consumer = spawn({
        let copy = copy.clone();
        move || {
            copy.commit();
            copy.apply(raise);
        }
    });
    honest(copy.look());
    elsewhere.join().unwrap();
    consumer.join().unwrap();
    over(&copy);
}

fn learned(wrong: Wrong) {
    let copy = Copy::holding(wrong, versioned);
    copy.commit();
    let reader = spawn({
        let copy = copy.clone();
        move || {
            // Something else that shows the entity, and is loaded before the news comes.
            let ticket = copy.ticket();
            let seen = copy.read_source();
            let _ = copy.admit(&[Hold::new(PRICE, versioned(seen))], ticket.tick);
            if seen == 2 {
                over(&copy);
            }
        }
    });
    let consumer = spawn({
        let copy = copy.clone();
        move || copy.apply(raise)
    });
    reader.join().unwrap();
    consumer.join().unwrap();
    over(&copy);
}

fn learned_then_lagging(wrong: Wrong) {
    let copy = Copy::new(wrong);
    copy.commit();
    let _ = copy.admit(&[Hold::new(PRICE, versioned(2))], copy.ticket().tick);
    // From a replica that has not seen it yet, and before the news: what begins later would have to say how old it is.
    let ticket = copy.ticket();
    let lagging = spawn({
        let copy = copy.clone();
        move || copy.land(&[Hold::new(PRICE, unversioned(1))], ticket, 1)
    });
    let consumer = spawn({
        let copy = copy.clone();
        move || copy.apply(raise)
    });
    let during = copy.look();
    lagging.join().unwrap();
    consumer.join().unwrap();
    honest(during);
    over(&copy);
}

fn epoch(wrong: Wrong) {
    let copy = Copy::new(wrong);
    let filler = spawn({
        let copy = copy.clone();
        move || copy.fill(versioned)
    });
    let consumer = spawn({
        let copy = copy.clone();
        move || {
            copy.commit();
            // The news is lost, which is noticed; marks come again.
            copy.open_epoch();
            copy.mark();
        }
    });
    let during = copy.look();
    filler.join().unwrap();
    consumer.join().unwrap();
    honest(during);
    honest(copy.look());
}

fn joining(wrong: Wrong) {
    let copy = Copy::new(wrong);
    let told = Arc::new(sync::Mutex::new(Vec::new()));
    let ticket = copy.ticket();
    let pilot = spawn({
        let (copy, told) = (copy.clone(), told.clone());
        move || {
            let seen = copy.read_source();
            let holds = vec![Hold::new(PRICE, unversioned(seen))];
            told.lock().clone_from(&holds);
            copy.land(&holds, ticket, seen)
        }
    });
    let consumer = spawn({
        let copy = copy.clone();
        move || {
            copy.commit();
            raise(&copy.board);
        }
    });
    let arrived = copy.board.tick();
    let joins = copy.joins(&ticket, &told.lock());
    let landed: Landed = pilot.join().unwrap();
    consumer.join().unwrap();
    if arrived > ticket.tick && joins && copy.takes(&landed, arrived) {
        assert_eq!(landed.shows, 2, "who came after the news was given what was loaded before");
    }
}
