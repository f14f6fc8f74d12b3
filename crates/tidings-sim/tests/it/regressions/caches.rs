//! Races of fills and invalidations in a process's cache, R1 to R14 (`docs/regressions.md`).

use tidings_sim::machines::draw::{React, Setup, Style};
use tidings_sim::machines::script::{Row, Script};
use tidings_sim::mutant::Mutant;
use tidings_sim::tally::Sometimes;
use tidings_testkit::Invariant;

use super::{Broken, ended, regressions, saw};

regressions! {
    r1_a_late_fill_cannot_land: late_fill, AcceptRule => I5;
    r2_who_joins_a_load_is_told_how_old_it_is: joined_flight, LabelAtBegin => I5;
    r3_a_background_refresh_is_a_fill: late_refresh, RefreshIsFill => I1;
    r4_a_bump_reaches_the_fill_in_flight: late_fill_under_a_region, RegionAtTicket => I1;
    r7_a_replayed_event_does_not_lower_the_floor: replayed_event, FloorMax => I5;
    r11_a_copy_that_hears_nothing_knows_that_it_is_blind: silence, BoundChecked => I4;
    r12_a_composite_is_held_to_what_it_read_first: composite, TicketBeforeRead => I1;
    r14_absence_is_held_to_the_row_that_appears: negative, AbsenceDepends => I1;
}

/// Views: of one entity, of another (or the same), of both.
const ONE: usize = 0;
const OTHER: usize = 1;
const BOTH: usize = 2;

/// All views are of this style, but for one that shows the first entity with its version.
fn of_style(style: Style) -> Setup {
    let mut setup = Setup::quiet();
    setup.views[ONE].style = style;
    setup.views[BOTH].style = style;
    setup.views[OTHER].shows = setup.views[ONE].shows;
    setup.readers = 3;
    setup
}

/// The new version is shown by one view, and after that the old one must not be shown by another, to whomever.
fn shows_no_older(mut script: Script, view: usize) -> Broken {
    script.gets(1, OTHER)?;
    script.gets(2, view)?;
    ended(script)
}

/// The first version is known everywhere, and cached nowhere.
fn begin(setup: Setup, without: Option<Mutant>) -> Result<Script, String> {
    let mut script = Script::begin(setup, without)?;
    script.news(0)?;
    script.news(1)?;
    Ok(script)
}

fn late_fill(without: Option<Mutant>) -> Broken {
    let mut script = begin(Setup::quiet(), without)?;
    let load = script.asks(0, ONE).ok_or("a miss")?;
    script.takes_ticket(load)?;
    script.reads(load)?;
    script.news(0)?;
    script.lands(load)?;
    saw(&script, Sometimes::BelowFloor);
    script.gets(1, ONE)?;
    ended(script)
}

/// A load that read the old state is joined by somebody who comes after the commit, of which nobody here has heard.
fn joined_flight(without: Option<Mutant>) -> Broken {
    let mut script = begin(Setup::quiet(), without)?;
    let load = script.asks(0, ONE).ok_or("a miss")?;
    script.takes_ticket(load)?;
    script.reads(load)?;
    script.changes(0, Row::Plain);
    assert_eq!(script.asks(1, ONE), Some(load));
    script.lands(load)?;
    ended(script)
}

/// What the refresh reads is the row from before its event, which cannot be read yet.
fn late_refresh(without: Option<Mutant>) -> Broken {
    let mut setup = of_style(Style::Unversioned);
    (setup.visibility, setup.views[ONE].react) = (60, React::Refresh);
    let mut script = Script::begin(setup, without)?;
    script.news(0)?;
    let refresh = script.newest_load(ONE).ok_or("a refresh")?;
    script.takes_ticket(refresh)?;
    let second = script.begins(0);
    script.commits(second, Row::Late);
    script.spreads()?;
    script.reads(refresh)?;
    script.lands(refresh)?;
    saw(&script, Sometimes::Moved);
    script.shows(second);
    script.is_told(second);
    shows_no_older(script, ONE)
}

fn late_fill_under_a_region(without: Option<Mutant>) -> Broken {
    let mut script = begin(of_style(Style::Region), without)?;
    let load = script.asks(0, ONE).ok_or("a miss")?;
    script.takes_ticket(load)?;
    script.reads(load)?;
    script.news(0)?;
    script.lands(load)?;
    saw(&script, Sometimes::Moved);
    shows_no_older(script, ONE)
}

fn replayed_event(without: Option<Mutant>) -> Broken {
    let mut setup = Setup::quiet();
    (setup.relays, setup.batch) = (2, 1);
    let mut script = Script::begin(setup, without)?;
    // The other relay finds nothing to publish, and stands still.
    script.relay_steps(1, 1);
    script.news(0)?;
    let load = script.asks(0, ONE).ok_or("a miss")?;
    script.takes_ticket(load)?;
    script.reads(load)?;
    script.news(0)?;
    // It sends its mark, reads the first version, and sends that.
    script.relay_steps(1, 3);
    script.hears(0)?;
    saw(&script, Sometimes::OldNews);
    script.lands(load)?;
    saw(&script, Sometimes::BelowFloor);
    script.gets(1, ONE)?;
    ended(script)
}

fn silence(without: Option<Mutant>) -> Broken {
    let mut script = begin(Setup::quiet(), without)?;
    script.gets(0, ONE)?;
    script.changes(0, Row::Plain);
    // Neither the event nor a mark comes.
    script.passes(1_100);
    let load = script.asks(1, ONE);
    assert_eq!(load.is_some(), without != Some(Mutant::BoundChecked), "it asks the source");
    load.map_or(Ok(()), |load| script.lands(load))?;
    ended(script)
}

/// The first part changes while the second is read.
fn composite(without: Option<Mutant>) -> Broken {
    let mut script = begin(of_style(Style::Unversioned), without)?;
    let load = script.asks(0, BOTH).ok_or("a miss")?;
    script.takes_ticket(load)?;
    script.reads(load)?;
    script.news(0)?;
    script.reads(load)?;
    script.lands(load)?;
    saw(&script, Sometimes::Moved);
    shows_no_older(script, BOTH)
}

/// Uber's read of one's own insert: that there is no row was cached, and then there is one.
fn negative(without: Option<Mutant>) -> Broken {
    let mut script = Script::begin(of_style(Style::Versioned), without)?;
    script.gets(0, ONE)?;
    assert!(script.happened(Sometimes::Absent));
    script.news(0)?;
    shows_no_older(script, ONE)
}
