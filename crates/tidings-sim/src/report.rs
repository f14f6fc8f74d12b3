//! What is printed: for people, and as JSON.

use std::fmt::Write;

use crate::campaign::{Plan, Totals};
use crate::finding::Finding;
use crate::hunt::Hunted;
use crate::runner::Told;
use crate::token::Token;
use crate::world::Broken;

mod json;

pub use json::{hunted_json, totals_json};

/// A violation, with everything that is needed to work on it.
#[must_use]
pub fn finding(finding: &Finding) -> String {
    let Finding { seed, before, after, tries, token, .. } = finding;
    let mut text = format!("violation: {}\n", sentence(&finding.broken));
    let _ = writeln!(
        text,
        "  seed {seed}: {} choices, {} operations; made smaller in {tries} tries: {} choices, {} operations",
        before.choices, before.operations, after.choices, after.operations
    );
    if !finding.reproduced {
        text.push_str("  its choices alone do not give it again: this world is not deterministic\n");
    }
    for line in elided(&finding.timeline) {
        let _ = writeln!(text, "    {line}");
    }
    let _ = writeln!(text, "  replay: {}", command(token));
    text
}

/// The beginning and the end of a timeline that is too long to be read here.
fn elided(timeline: &[String]) -> Vec<String> {
    const BEGINNING: usize = 40;
    const END: usize = 80;
    let left_out = timeline.len().saturating_sub(BEGINNING + END);
    if left_out == 0 {
        return timeline.to_vec();
    }
    let mut lines = timeline.iter().take(BEGINNING).cloned().collect::<Vec<_>>();
    lines.push(format!("... {left_out} lines that the replay shows ..."));
    lines.extend(timeline.iter().skip(BEGINNING + left_out).cloned());
    lines
}

fn sentence(broken: &Broken) -> String {
    match broken.invariant {
        Some(invariant) => format!("{invariant:?}: {}", broken.what),
        None => format!("no end: {}", broken.what),
    }
}

/// The command that replays a history.
#[must_use]
pub fn command(token: &Token) -> String {
    format!("cargo xtask sim replay {token}")
}

/// The end of a campaign.
#[must_use]
pub fn totals(plan: &Plan, totals: &Totals) -> String {
    let mut text = String::new();
    let mut row = |name: &str, what: String| {
        if !what.is_empty() {
            let _ = writeln!(text, "{name:<12} {what}");
        }
    };
    let tally = &totals.tally;
    if totals.interrupted {
        row("interrupted", "by hand; these are the totals so far".to_owned());
    }
    let last = plan.from.wrapping_add(totals.seeds.saturating_sub(1));
    row("seeds", format!("{} ({} to {last}), {}", grouped(totals.seeds), plan.from, guards(plan)));
    row("histories", format!("{}, {}", grouped(tally.histories), speed(plan, totals)));
    row("operations", grouped(tally.operations));
    row("commits", grouped(tally.commits));
    row("reads", grouped(tally.reads));
    let counted = |names: Vec<(&'static str, u64)>| {
        let shown = names.into_iter().map(|(name, count)| format!("{name} {}", grouped(count)));
        wrapped(&shown.collect::<Vec<_>>())
    };
    let faults = totals.faults.iter().map(|fault| (fault.name(), tally.faults(*fault)));
    row("faults", counted(faults.collect()));
    let sometimes = totals.sometimes.iter().map(|what| (what.name(), tally.sometimes(*what)));
    row("sometimes", counted(sometimes.collect()));
    // A handful of seeds cannot be expected to show everything.
    row("never", if totals.seeds < 1_000 { String::new() } else { wrapped(&totals.never()) });
    row("traces", traces(totals));
    row("repeated", repeated(totals));
    row("fingerprint", format!("{:016x}", totals.fingerprint));
    row("violations", format!("{} in {} seeds", grouped(totals.violations), grouped(totals.seeds)));
    row("bound", bound(totals));
    for finding in &totals.findings {
        row("", format!("{}: {}", sentence(&finding.broken), command(&finding.token)));
    }
    for problem in totals.problems() {
        row("FAILED", problem);
    }
    text
}

fn guards(plan: &Plan) -> String {
    plan.mutant.map_or_else(
        || format!("depth {}", plan.depth),
        |mutant| format!("depth {}, without {}", plan.depth, mutant.name()),
    )
}

fn speed(plan: &Plan, totals: &Totals) -> String {
    let rate = grouped(totals.rate() as u64);
    format!(
        "{rate} a second and core (CPU time; {:.1} s on {} threads)",
        totals.elapsed.as_secs_f64(),
        plan.threads
    )
}

fn traces(totals: &Totals) -> String {
    let (compared, distinct) = totals.traces;
    let of = if compared as u64 == totals.seeds { "all" } else { "the first" };
    format!("{} different ones among {of} {}", grouped(distinct as u64), grouped(compared as u64))
}

fn repeated(totals: &Totals) -> String {
    let same = totals.repeated - totals.differed.len() as u64;
    format!("{} seeds run twice, {} with the same trace", grouped(totals.repeated), grouped(same))
}

/// The rule of three, and in words what it is about.
fn bound(totals: &Totals) -> String {
    if totals.violations > 0 || totals.seeds == 0 {
        return String::new();
    }
    let share = 3.0 / totals.seeds as f64;
    let words = format!(
        "of the histories that this depth draws, less than {share:.1e} break a promise (3/N, 95 % confidence); \
         nothing is said of what is not modelled"
    );
    words.replace("; ", ";\n             ")
}

/// What stands above the lines of the mutants.
#[must_use]
pub fn hunt_head() -> String {
    format!("{:<34} {:<8} {:>6}  {:<32} breaks", "guard left out", "depth", "found", "seeds needed")
}

/// The line of a mutant.
#[must_use]
pub fn hunted(hunted: &Hunted) -> String {
    let Hunted { mutant, depth, needed, limit, .. } = hunted;
    let found = format!("{}/{}", needed.len(), hunted.batches());
    let spread = match (hunted.median(), needed.first(), needed.last()) {
        (Some(median), Some(min), Some(max)) => {
            format!("{} ({} .. {})", grouped(median), grouped(*min), grouped(*max))
        }
        _ => format!("SURVIVED {} seeds", grouped(*limit)),
    };
    let broke: Vec<_> = hunted.broke.keys().cloned().collect();
    let mut broke = broke.join(", ");
    if hunted.passed_over > 0 {
        let _ = write!(broke, " ({} seeds fail without it too)", grouped(hunted.passed_over));
    }
    let depth = depth.to_string();
    let line = format!("{:<34} {depth:<8} {found:>6}  {spread:<32} {broke}", mutant.name());
    line.trim_end().to_owned()
}

/// The line below them.
#[must_use]
pub fn hunt_end(all: &[Hunted]) -> String {
    let survived = all.iter().filter(|hunted| hunted.survived()).count();
    let found = all.len() - survived;
    format!("{found} of {} found{}", all.len(), if survived > 0 { "; FAILED" } else { "" })
}

/// One history, told.
#[must_use]
pub fn told(token: &Token, told: &Told) -> String {
    let mut text = String::new();
    for line in &told.timeline {
        let _ = writeln!(text, "{line}");
    }
    let guards = token.mutant.map_or_else(String::new, |mutant| format!(", without {}", mutant.name()));
    let _ = writeln!(
        text,
        "depth {}{guards}: {} choices, {} operations, trace {:016x}",
        token.depth,
        told.made.len(),
        told.operations,
        told.hash
    );
    let _ = match &told.broken {
        Some(broken) => writeln!(text, "violation: {}", sentence(broken)),
        None => writeln!(text, "every promise was kept; a token means this only to the code that printed it"),
    };
    text
}

/// 1234567 as 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Words in lines of some length, the further ones set in as far as the first.
fn wrapped(words: &[impl AsRef<str>]) -> String {
    const WIDTH: usize = 105;
    let (mut text, mut column) = (String::new(), 0);
    for (at, word) in words.iter().map(AsRef::as_ref).enumerate() {
        if at > 0 {
            text.push(',');
            let full = column + word.len() > WIDTH;
            text.push_str(if full { "\n             " } else { " " });
            column = if full { 0 } else { column + 2 };
        }
        text.push_str(word);
        column += word.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn of_a_long_timeline_the_middle_is_left_out() {
        let lines = |many: usize| (0..many).map(|at| at.to_string()).collect::<Vec<_>>();
        assert_eq!(elided(&lines(120)), lines(120));
        let long = elided(&lines(1000));
        assert_eq!((long.len(), long[39].as_str(), long[41].as_str()), (121, "39", "920"));
        assert_eq!(long[40], "... 880 lines that the replay shows ...");
    }

    #[test]
    fn long_lists_go_on_below_their_beginning() {
        let words = vec!["x".repeat(40); 4];
        let text = wrapped(&words);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("             x")), "{text}");
    }
}
