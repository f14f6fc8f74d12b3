//! What papers and posts tell of caches at scale (`docs/regressions.md`).

use std::time::Duration;

use tidings_core::Truth;
use tidings_sim::machines::draw::{Nature, Positions, React, Setup};
use tidings_sim::machines::script::{Row, Script};
use tidings_sim::mutant::Mutant;
use tidings_sim::tally::Sometimes;
use tidings_testkit::Invariant;

use super::{Broken, ended, regressions, saw};

regressions! {
    tao_what_was_evicted_is_not_refilled_with_an_older_row: evict_then_refill, FloorOutlivesEntry => I1;
    meta_a_late_fill_does_not_outlive_the_entry_that_it_lost_against: evict_then_late_fill, FloorOutlivesEntry => I1;
    meta_metadata_of_a_newer_version_does_not_cover_an_older_value: same_version_metadata, UpdateFollows => I0;
    value_and_version_are_of_one_snapshot: two_statements, OneSnapshot => I0;
    a_tombstone_is_not_undone_by_what_came_before_it: resurrection, TombstoneKeepsVersion => I9;
    an_idle_partition_does_not_vouch_for_one_that_lags: idle_and_lagging, LeastKnownPartition => I6;
    an_answer_ends_with_its_window: activation, ValidUntil => I7;
    a_copy_whose_clock_is_ahead_does_not_activate_early: clock_step, WindowOfSource => I7;
    a_revocation_holds_behind_a_partition: revocation, BoundChecked => I8;
    what_a_failover_lost_is_no_longer_vouched_for: lost_by_failover, TimelineOpensEpoch => I1;
}

const ONE: usize = 0;
const OTHER: usize = 1;

/// A copy has shown the second version, which it has from the event, and evicts it before a replica has it.
fn evict_then_refill(without: Option<Mutant>) -> Broken {
    let mut setup = Setup::quiet();
    (setup.lag, setup.views[ONE].react) = (60, React::Update);
    let mut script = Script::begin(setup, without)?;
    script.news(0)?;
    script.gets(0, ONE)?;
    script.news(0)?;
    script.gets(0, ONE)?;
    script.evicts(ONE);
    let refill = script.asks(1, ONE).ok_or("a miss")?;
    script.takes_ticket(refill)?;
    script.reads_late(refill, 20)?;
    script.lands(refill)?;
    saw(&script, Sometimes::BelowFloor);
    ended(script)
}

/// A load of the first version is late; the second was cached meanwhile, and is evicted before the late one lands.
fn evict_then_late_fill(without: Option<Mutant>) -> Broken {
    let mut setup = Setup::quiet();
    setup.readers = 3;
    let mut script = Script::begin(setup, without)?;
    script.news(0)?;
    let late = script.asks(0, ONE).ok_or("a miss")?;
    script.takes_ticket(late)?;
    script.reads(late)?;
    script.news(0)?;
    script.gets(1, ONE)?;
    script.evicts(ONE);
    script.lands(late)?;
    saw(&script, Sometimes::BelowFloor);
    script.gets(2, ONE)?;
    ended(script)
}

/// What an event changes is put into the answer of a version that is not the one before it: the version says that all
/// is well from then on, and drops of what is older do nothing.
fn same_version_metadata(without: Option<Mutant>) -> Broken {
    let mut setup = Setup::quiet();
    setup.views[ONE].react = React::Update;
    let mut script = Script::begin(setup, without)?;
    script.news(0)?;
    script.gets(0, ONE)?;
    script.changes(0, Row::Poison);
    script.news(0)?;
    saw(&script, Sometimes::Parked);
    script.gets(1, ONE)?;
    ended(script)
}

fn two_statements(without: Option<Mutant>) -> Broken {
    let mut script = Script::begin(Setup::quiet(), without)?;
    script.news(0)?;
    let load = script.asks(0, ONE).ok_or("a miss")?;
    script.takes_ticket(load)?;
    script.reads(load)?;
    script.news(0)?;
    script.lands(load)?;
    script.gets(1, ONE)?;
    ended(script)
}

/// A projection has removed a row; then the event that made it is delivered again.
fn resurrection(without: Option<Mutant>) -> Broken {
    let mut setup = Setup::quiet();
    (setup.relays, setup.projection) = (2, Some(Positions::Own));
    let mut script = Script::begin(setup, without)?;
    script.changes(0, Row::Plain);
    // The second relay stands still between reading and appending.
    script.relay_steps(1, 1);
    script.is_deleted(0);
    script.spreads()?;
    script.passes(10);
    script.spreads()?;
    script.relay_steps(1, 1);
    // What is published and acknowledged by the other, it does not read again.
    script.kills_relay(1);
    script.group_hears()?;
    ended(script)
}

/// Marks of a partition without events say nothing about a partition whose events have not come.
fn idle_and_lagging(without: Option<Mutant>) -> Broken {
    let mut setup = Setup::quiet();
    setup.partitions = 2;
    let mut script = Script::begin(setup, without)?;
    script.news(1)?;
    script.gets(0, OTHER)?;
    script.changes(1, Row::Plain);
    script.publishes(0)?;
    for partition in 0..2 {
        if script.partition_of(1) != partition {
            script.hears_only(partition)?;
        }
    }
    script.gets(1, OTHER)?;
    saw(&script, Sometimes::Hit);
    ended(script)
}

fn effective(visible_error: u64, skew: i64) -> Setup {
    let mut setup = Setup::quiet();
    setup.natures[0] = Nature::Effective;
    (setup.skew, setup.clock_error) = (skew, visible_error);
    let view = &mut setup.views[ONE];
    view.bound = 20;
    view.truth = Truth::Effective(Duration::from_micros(view.bound));
    setup
}

/// What is cached ends at the next boundary, although nobody publishes anything then.
fn activation(without: Option<Mutant>) -> Broken {
    let mut script = Script::begin(effective(0, 0), without)?;
    script.changes(0, Row::InForce(0, 30));
    script.spreads()?;
    script.gets(0, ONE)?;
    script.passes(60);
    script.spreads()?;
    loads_anew(&mut script)?;
    ended(script)
}

/// The copy's clock is ahead of the source's by as much as is allowed, and the event comes just before its window.
fn clock_step(without: Option<Mutant>) -> Broken {
    let mut setup = effective(8, -8);
    setup.views[ONE].react = React::Update;
    let mut script = Script::begin(setup, without)?;
    script.news(0)?;
    script.gets(0, ONE)?;
    script.changes(0, Row::InForce(15, 44));
    script.spreads()?;
    loads_anew(&mut script)?;
    ended(script)
}

/// What was cached does not answer any more.
fn loads_anew(script: &mut Script) -> Result<(), String> {
    let load = script.asks(1, ONE);
    assert_eq!(load.is_some(), script.without().is_none(), "{script:?}");
    load.map_or(Ok(()), |load| script.lands(load))
}

/// The copy hears nothing and cannot reach the source either.
fn revocation(without: Option<Mutant>) -> Broken {
    let mut setup = Setup::quiet();
    setup.natures[0] = Nature::Revocable;
    setup.views[ONE].truth = Truth::Revocable(Duration::from_micros(setup.views[ONE].bound));
    let mut script = Script::begin(setup, without)?;
    script.news(0)?;
    script.gets(0, ONE)?;
    script.changes(0, Row::Plain);
    script.passes(1_100);
    if let Some(load) = script.asks(1, ONE) {
        script.takes_ticket(load)?;
        script.fails(load)?;
    }
    saw(&script, Sometimes::Refused);
    ended(script)
}

/// A copy has shown the second version, which it has from the event; the failover loses it. What comes next from the new
/// timeline is about something else.
fn lost_by_failover(without: Option<Mutant>) -> Broken {
    let mut setup = Setup::quiet();
    (setup.visibility, setup.views[ONE].react) = (60, React::Update);
    let mut script = Script::begin(setup, without)?;
    script.news(0)?;
    script.gets(0, ONE)?;
    let lost = script.begins(0);
    script.commits(lost, Row::Late);
    script.spreads()?;
    script.gets(0, ONE)?;
    script.fails_over();
    script.news(1)?;
    saw(&script, Sometimes::NewTimeline);
    script.gets(1, ONE)?;
    ended(script)
}
