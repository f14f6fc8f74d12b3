//! A checker's verdict: to programs as flat JSON, to people in lines. `dev` and `check-history` say it in the same words.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tidings_testkit::checker::{Account, Counts};
use tidings_testkit::history::{Nanos, Record, Shown, State};
use tidings_testkit::{Invariant, Verdict, Violation};

use crate::units::{self, count};

/// The name of a promise.
const fn name(invariant: Invariant) -> &'static str {
    match invariant {
        Invariant::I0 => "no invention",
        Invariant::I1 => "fence",
        Invariant::I2 => "monotonic reads",
        Invariant::I3 => "read your writes",
        Invariant::I4 => "bounded staleness",
        Invariant::I5 => "truthful label",
        Invariant::I6 => "known gaps",
        Invariant::I7 => "effective time",
        Invariant::I8 => "revocation",
        Invariant::I9 => "convergence",
        Invariant::I10 => "nothing lost",
    }
}

/// The counts under flat names.
pub(crate) fn flat(counts: &Counts) -> Map<String, Value> {
    let mut flat = Map::new();
    let mut add = |name: &str, value: Value| drop(flat.insert(name.to_owned(), value));
    add("baselines", json!(counts.baselines));
    add("commits_judged", json!(counts.commits));
    add("applied_judged", json!(counts.applied));
    add("reads_judged", json!(counts.reads));
    add("answers_judged", json!(counts.answers));
    add("marks_judged", json!(counts.marks));
    add("held_judged", json!(counts.held));
    add("behind_reads", json!(counts.behind_reads));
    add("behind_ms_max", json!(counts.max_lag.as_secs_f64() * 1000.0));
    add("stale_reads", json!(counts.stale_reads));
    add("false_labels", json!(counts.false_labels));
    add("events_lost", json!(counts.lost));
    add("records_late", json!(counts.late));
    add("violations", json!(counts.violations()));
    for invariant in Invariant::ALL {
        add(&format!("violations_{invariant:?}").to_lowercase(), json!(counts.of(invariant)));
    }
    flat
}

/// The verdict in lines, with the first violations and what proves them.
pub(crate) fn text(verdict: &Verdict, shown: usize) -> String {
    let Counts {
        commits, reads, answers, applied, marks, held, baselines, behind_reads, max_lag, late, ..
    } = verdict.counts;
    let mut text = format!(
        "judged    {} reads with {} answers, {} commits, {} events applied, {} marks, {} states held in the end\n\
         before    {} entities were there\n\
         behind    {} answers began after a newer version was acknowledged, by {} at most\n",
        count(reads),
        count(answers),
        count(commits),
        count(applied),
        count(marks),
        count(held),
        count(baselines),
        count(behind_reads),
        units::duration(max_lag),
    );
    for Account { copy, expected, applied, superseded, parked, lost } in &verdict.accounts {
        text += &format!(
            "events    {} at {}: {} applied + {} superseded + {} parked + {} lost\n",
            count(*expected),
            crate::out::visible(copy),
            count(*applied),
            count(*superseded),
            count(*parked),
            count(*lost)
        );
    }
    if late > 0 {
        text +=
            &format!("late      {} records, which were not judged with what they belong to\n", count(late));
    }
    if verdict.is_clean() {
        return text + "honest    every promise was kept\n";
    }
    for invariant in Invariant::ALL {
        match verdict.counts.of(invariant) {
            0 => {}
            found => text += &format!("broken    {invariant:?} {}: {}\n", name(invariant), count(found)),
        }
    }
    text + &proofs(&verdict.violations, shown)
}

/// The first violations, each with the records that prove it.
pub(crate) fn proofs(violations: &[Violation], shown: usize) -> String {
    let mut text = String::new();
    for Violation { invariant, what, records, .. } in violations.iter().take(shown) {
        text += &format!("\n{invariant:?} {}\n", crate::out::visible(what));
        for record in records {
            text += &format!("   {}\n", crate::out::visible(&line(record)));
        }
    }
    text
}

/// One record as a line: times in seconds of the run, and no more of what it shows than can be read.
fn line(record: &Record) -> String {
    match record {
        Record::Baseline { entity, stamp, .. } => format!("before {entity} version {stamp}"),
        Record::Commit(c) => {
            let ended = c.ended.map_or_else(|| "never acknowledged".to_owned(), at);
            let what = if c.deleted { "delete" } else { "commit" };
            format!("{what} {} version {}: {} to {ended}", c.entity, c.stamp, at(c.began))
        }
        Record::Applied(a) => {
            format!("{:?} {} version {} at {}: {}", a.outcome, a.entity, a.stamp, a.copy, at(a.at))
        }
        Record::Read(r) => {
            let mut line = format!(
                "read {} {} ({:?}, {}): {} to {}: ",
                r.view,
                r.key,
                r.path,
                r.freshness,
                at(r.began),
                at(r.ended)
            );
            line += &r.shows.iter().take(3).map(shows).collect::<Vec<_>>().join(", ");
            if r.shows.len() > 3 {
                let _ = write!(line, " and {} more", r.shows.len() - 3);
            }
            if let Some((entity, stamp)) = &r.token {
                let _ = write!(line, "; asked for {entity} version {stamp} at least");
            }
            line
        }
        Record::Subscribed { copy, kind, from } => {
            format!("{copy} takes in every event of {} from {}", named(kind.as_deref()), at(*from))
        }
        Record::Marked { copy, kind, upto, at: said } => format!(
            "{copy} said at {} that it has every {} up to {}",
            at(*said),
            named(kind.as_deref()),
            at(*upto)
        ),
        Record::Epoch { copy, at: said } => {
            format!("{copy} said at {} that it may have missed something", at(*said))
        }
        Record::Held { copy, shown, upto, at: seen } => {
            format!(
                "{copy} holds at {}, having taken in all up to {}: {}",
                at(*seen),
                at(*upto),
                shows(shown)
            )
        }
        Record::Lease { copy, kind, until, at: said } => {
            format!("{copy} may serve {} until {}, said at {}", named(kind.as_deref()), at(*until), at(*said))
        }
    }
}

fn shows(shown: &Shown) -> String {
    match shown.state {
        State::At { stamp, .. } => format!("{} version {stamp}", shown.entity),
        State::Absent => format!("no {}", shown.entity),
    }
}

fn named(kind: Option<&str>) -> &str {
    kind.unwrap_or("anything")
}

fn at(nanos: Nanos) -> String {
    format!("{:.6} s", Duration::from_nanos(nanos).as_secs_f64())
}
