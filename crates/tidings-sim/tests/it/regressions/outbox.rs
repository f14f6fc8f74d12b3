//! Pitfalls of publishing from an outbox, P1 to P11 (`docs/regressions.md`).

use tidings_sim::machines::draw::{Positions, Setup};
use tidings_sim::machines::script::{Row, Script};
use tidings_sim::mutant::Mutant;
use tidings_sim::tally::Sometimes;
use tidings_testkit::Invariant;

use super::{Broken, ended, regressions, saw};

regressions! {
    p1_who_commits_late_is_not_passed_by: late_commit, CommitOrder => I10;
    p3_a_mark_does_not_speak_of_rows_that_were_not_read: stalled_scan, IncompleteScan => I6;
    p4_a_sequence_taken_before_the_lock_is_no_order: inverted_sequence, CommitOrder => I10;
    p5_what_two_relays_send_is_taken_by_version: two_relays, ProjectionComparesVersions => I9;
    p6_an_event_before_its_row_does_not_fill_the_cache_with_the_row_before: early_event, AcceptRule => I5;
    p11_a_row_is_acknowledged_once_it_is_in_the_log: early_acknowledgement, AppendBeforeAcknowledge => I10;
    a_row_that_cannot_be_read_is_a_gap: unreadable_row, UnreadableRowIsGap => I6;
}

const ONE: usize = 0;

/// The first to begin is the last to commit, and in between a relay has read what comes after it.
fn late_commit(without: Option<Mutant>) -> Broken {
    committed_late(without, 0, 1)
}

/// The same with one entity: its second version has the lower number.
fn inverted_sequence(without: Option<Mutant>) -> Broken {
    committed_late(without, 0, 0)
}

fn committed_late(without: Option<Mutant>, slow: usize, fast: usize) -> Broken {
    let mut script = Script::begin(Setup::quiet(), without)?;
    let (slow, fast) = (script.begins(slow), script.begins(fast));
    for transaction in [fast, slow] {
        script.commits(transaction, Row::Plain);
        script.is_told(transaction);
        script.spreads()?;
    }
    ended(script)
}

/// A relay that has read a part of the rows can say nothing of the rest, however long that takes.
fn stalled_scan(without: Option<Mutant>) -> Broken {
    let mut setup = Setup::quiet();
    setup.batch = 1;
    let mut script = Script::begin(setup, without)?;
    script.publishes(0)?;
    script.changes(0, Row::Plain);
    script.changes(1, Row::Plain);
    // It reads the first row and appends it, and stands still.
    script.relay_steps(0, 2);
    script.hears(0)?;
    ended(script)
}

fn two_relays(without: Option<Mutant>) -> Broken {
    let mut setup = Setup::quiet();
    (setup.relays, setup.projection) = (2, Some(Positions::Group));
    let mut script = Script::begin(setup, without)?;
    script.changes(0, Row::Plain);
    // The second relay has read the first version, and stands still.
    script.relay_steps(1, 1);
    script.news(0)?;
    script.passes(10);
    script.spreads()?;
    script.relay_steps(1, 1);
    // What is published and acknowledged by the other, it does not read again.
    script.kills_relay(1);
    script.group_hears()?;
    ended(script)
}

fn early_event(without: Option<Mutant>) -> Broken {
    let mut setup = Setup::quiet();
    setup.visibility = 60;
    let mut script = Script::begin(setup, without)?;
    // Until then, a load may have read a row from before the copy began.
    script.passes(100);
    script.news(0)?;
    let second = script.begins(0);
    script.commits(second, Row::Late);
    script.spreads()?;
    script.gets(0, ONE)?;
    saw(&script, Sometimes::LabelledStale);
    script.shows(second);
    script.is_told(second);
    script.publishes(0)?;
    script.passes(10);
    script.spreads()?;
    script.gets(1, ONE)?;
    ended(script)
}

/// The relay ends between reading rows and appending them.
fn early_acknowledgement(without: Option<Mutant>) -> Broken {
    let mut script = Script::begin(Setup::quiet(), without)?;
    script.changes(0, Row::Plain);
    script.relay_steps(0, 1);
    script.kills_relay(0);
    script.spreads()?;
    ended(script)
}

fn unreadable_row(without: Option<Mutant>) -> Broken {
    let mut script = Script::begin(Setup::quiet(), without)?;
    script.news(0)?;
    script.gets(0, ONE)?;
    let lost = script.begins(0);
    script.commits(lost, Row::Unreadable);
    script.is_told(lost);
    script.spreads()?;
    saw(&script, Sometimes::Gap);
    script.gets(1, ONE)?;
    ended(script)
}
