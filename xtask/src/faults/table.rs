//! What came of it all: for people, for programs, and as one yes or no.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::fault::{Fault, NOT_BUILT};
use super::plan::Episode;

/// What became of one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything was well again so long after its end.
    Recovered(Duration),
    /// Not within its deadline: with what was seen instead.
    Missed(String),
    /// It could not be injected, or did nothing: then it proves nothing, which is no better.
    Failed(String),
    /// It was not tried, and why: the machine does not permit it, or there was no time. Nothing is shown by that, good or bad.
    NotRun(String),
}

/// What the checker said of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) committed: u64,
    pub(crate) violations: u64,
    pub(crate) stale_reads: u64,
    pub(crate) false_labels: u64,
    pub(crate) lost: u64,
    /// Answers that came from the shared levels: none, and nothing is shown of them.
    pub(crate) l2_hits: u64,
}

/// One run of the platform.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) ends: Vec<(Fault, End)>,
    pub(crate) judged: Judged,
    /// Whatever else is wrong with it, in sentences.
    pub(crate) problems: Vec<String>,
    /// Where its files are, if they were kept.
    pub(crate) kept: Option<PathBuf>,
    pub(crate) took: Duration,
}

impl Outcome {
    /// One that was not even started.
    pub(crate) fn not_run(episode: &Episode, why: &str) -> Self {
        let end = |fault: &Fault| (*fault, End::NotRun(why.to_owned()));
        Self {
            name: episode.name,
            ends: episode.faults.iter().take(episode.first).map(end).collect(),
            judged: Judged::default(),
            problems: Vec::new(),
            kept: None,
            took: Duration::ZERO,
        }
    }

    fn was_started(&self) -> bool {
        !self.took.is_zero()
    }

    /// Whether there is nothing to complain about.
    pub(crate) fn is_good(&self) -> bool {
        let Judged { violations, stale_reads, false_labels, lost, .. } = self.judged;
        self.problems.is_empty()
            && violations + stale_reads + false_labels + lost == 0
            && self.ends.iter().all(|(_, end)| matches!(end, End::Recovered(_) | End::NotRun(_)))
    }

    fn has_run(&self) -> bool {
        self.judged.committed > 0 && self.ends.iter().any(|(_, end)| matches!(end, End::Recovered(_)))
    }
}

/// One fault over all runs.
struct Row {
    name: &'static str,
    recoveries: Vec<Duration>,
    missed: u64,
    failed: u64,
    not_run: Option<String>,
    /// Of the runs that it was in: which of a run's faults is to blame, the table cannot know.
    violations: u64,
    lost: u64,
}

/// Whether the campaign shows what it is for: something was run, and nothing is wrong.
pub(crate) fn is_good(outcomes: &[Outcome]) -> bool {
    outcomes.iter().any(Outcome::has_run) && outcomes.iter().all(Outcome::is_good)
}

/// The names of the faults that were not run at all: what a good campaign says nothing about.
pub(crate) fn not_run(outcomes: &[Outcome]) -> Vec<&'static str> {
    let none = |row: &Row| row.times() == 0;
    rows(outcomes).iter().filter(|row| none(row)).map(|row| row.name).collect()
}

/// All of it in one or two lines: what was not run is said in the same breath as that the rest is good.
pub(crate) fn summary(outcomes: &[Outcome]) -> String {
    let not_run = not_run(outcomes);
    let (verdict, left) = match (is_good(outcomes), not_run.len()) {
        (false, _) => ("NOT GOOD: see above".to_owned(), not_run),
        (true, 0) => ("good: nothing was broken, lost or missed".to_owned(), not_run),
        (true, left) => {
            let all = rows(outcomes).len();
            (
                format!(
                    "good as far as it went, {} faults of {all}: nothing was broken, lost or missed",
                    all - left
                ),
                not_run,
            )
        }
    };
    if left.is_empty() {
        return verdict;
    }
    format!("{verdict}\nnothing is said about {}: not run, see above", left.join(", "))
}

/// The table and what is wrong, in sentences.
pub(crate) fn text(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "{:<20} {:>5} {:>12} {:>12} {:>7} {:>11} {:>5}\n",
        "fault", "times", "recovery p50", "max", "missed", "violations", "lost"
    );
    for row in rows(outcomes) {
        let _ = match &row.not_run {
            Some(why) if row.times() == 0 => writeln!(text, "{:<20} not run: {why}", row.name),
            _ => writeln!(
                text,
                "{:<20} {:>5} {:>12} {:>12} {:>7} {:>11} {:>5}",
                row.name,
                row.times(),
                seconds(row.recoveries.get(row.recoveries.len().saturating_sub(1) / 2)),
                seconds(row.recoveries.last()),
                row.missed + row.failed,
                row.violations,
                row.lost
            ),
        };
    }
    for (name, why) in NOT_BUILT {
        let _ = writeln!(text, "{name:<20} not built: {why}");
    }
    text.push('\n');
    for outcome in outcomes {
        text += &outcome_text(outcome);
    }
    text
}

/// The same for programs.
pub(crate) fn json(outcomes: &[Outcome], seed: u64) -> Value {
    let row = |row: Row| {
        json!({
            "fault": row.name,
            "times": row.times(),
            "recovery_ms_p50": millis(row.recoveries.get(row.recoveries.len().saturating_sub(1) / 2)),
            "recovery_ms_max": millis(row.recoveries.last()),
            "missed": row.missed,
            "failed": row.failed,
            "not_run": row.not_run,
            "violations": row.violations,
            "lost": row.lost,
        })
    };
    let run = |outcome: &Outcome| {
        let Judged { committed, violations, stale_reads, false_labels, lost, l2_hits } = outcome.judged;
        json!({
            "run": outcome.name,
            "ok": outcome.is_good(),
            "seconds": outcome.took.as_secs(),
            "faults": outcome.ends.iter().map(|(fault, end)| json!([fault.name(), said(end)])).collect::<Vec<_>>(),
            "committed": committed,
            "violations": violations,
            "stale_reads": stale_reads,
            "false_labels": false_labels,
            "lost": lost,
            "l2_hits": l2_hits,
            "problems": outcome.problems,
            "kept": outcome.kept,
        })
    };
    json!({
        "ok": is_good(outcomes),
        "seed": seed,
        "faults": rows(outcomes).into_iter().map(row).collect::<Vec<_>>(),
        "not_run": not_run(outcomes),
        "not_built": NOT_BUILT.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "runs": outcomes.iter().map(run).collect::<Vec<_>>(),
    })
}

/// What became of a fault, in a few words.
pub(crate) fn said(end: &End) -> String {
    match end {
        End::Recovered(after) => format!("recovered in {}", seconds(Some(after))),
        End::Missed(seen) => format!("NOT RECOVERED: {seen}"),
        End::Failed(why) => format!("FAILED: {why}"),
        End::NotRun(why) => format!("not run: {why}"),
    }
}

fn rows(outcomes: &[Outcome]) -> Vec<Row> {
    let mut rows = Vec::new();
    for fault in Fault::all() {
        let mut row = Row {
            name: fault.name(),
            recoveries: Vec::new(),
            missed: 0,
            failed: 0,
            not_run: None,
            violations: 0,
            lost: 0,
        };
        let mut was_there = false;
        for outcome in outcomes {
            let ends: Vec<_> = outcome.ends.iter().filter(|(of, _)| *of == fault).collect();
            for (_, end) in &ends {
                match end {
                    End::Recovered(after) => row.recoveries.push(*after),
                    End::Missed(_) => row.missed += 1,
                    End::Failed(_) => row.failed += 1,
                    End::NotRun(why) => row.not_run = Some(why.clone()),
                }
            }
            if !ends.is_empty() {
                was_there = true;
                row.violations += outcome.judged.violations;
                row.lost += outcome.judged.lost;
            }
        }
        row.recoveries.sort_unstable();
        if was_there {
            rows.push(row);
        }
    }
    rows
}

impl Row {
    fn times(&self) -> u64 {
        u64::try_from(self.recoveries.len()).unwrap_or(u64::MAX) + self.missed + self.failed
    }
}

fn outcome_text(outcome: &Outcome) -> String {
    if !outcome.was_started() {
        return format!("run {:<14} not run: no time was left\n", outcome.name);
    }
    let Judged { committed, violations, stale_reads, false_labels, lost, l2_hits } = outcome.judged;
    let mut text = format!(
        "run {:<14} {}: {committed} committed, {violations} violations, {stale_reads} stale reads, {false_labels} false \
         labels, {lost} lost, {l2_hits} answers from shared levels, {} s\n",
        outcome.name,
        if outcome.is_good() { "good" } else { "BAD" },
        outcome.took.as_secs()
    );
    for (fault, end) in outcome.ends.iter().filter(|(_, end)| matches!(end, End::Missed(_) | End::Failed(_)))
    {
        let _ = writeln!(text, "    {}: {}", fault.name(), said(end));
    }
    for problem in &outcome.problems {
        let _ = writeln!(text, "    {problem}");
    }
    if let Some(kept) = &outcome.kept {
        let _ = writeln!(text, "    its history and logs are in {}", kept.display());
    }
    text
}

fn seconds(span: Option<&Duration>) -> String {
    span.map_or_else(|| "-".to_owned(), |span| format!("{:.1} s", span.as_secs_f64()))
}

fn millis(span: Option<&Duration>) -> Option<u64> {
    span.and_then(|span| u64::try_from(span.as_millis()).ok())
}

#[cfg(test)]
mod tests {
    use super::super::fault::Engine;
    use super::*;

    fn outcome(ends: &[(Fault, End)]) -> Outcome {
        let judged = Judged { committed: 100, ..Judged::default() };
        let took = Duration::from_secs(60);
        Outcome { name: "relay", ends: ends.to_vec(), judged, problems: Vec::new(), kept: None, took }
    }

    fn after(seconds: u64) -> End {
        End::Recovered(Duration::from_secs(seconds))
    }

    #[test]
    fn nothing_run_is_no_success() {
        assert!(!is_good(&[]));
        let disk = (Fault::DiskFull(Engine::Kafka), End::NotRun("no rights".into()));
        assert!(!is_good(&[outcome(std::slice::from_ref(&disk))]));
        assert!(!is_good(&[outcome(&[])]));
        let mut idle = outcome(&[(Fault::KillCopy, after(1))]);
        assert!(is_good(std::slice::from_ref(&idle)));
        assert!(is_good(&[idle.clone(), outcome(&[disk])]));
        idle.judged.committed = 0;
        assert!(!is_good(&[idle]));
    }

    #[test]
    fn one_of_anything_wrong_is_a_failure() {
        let good = outcome(&[(Fault::KillCopy, after(1))]);
        let spoil: [fn(&mut Outcome); 7] = [
            |o| o.judged.violations = 1,
            |o| o.judged.stale_reads = 1,
            |o| o.judged.false_labels = 1,
            |o| o.judged.lost = 1,
            |o| o.problems.push("it ended with code 1".into()),
            |o| o.ends.push((Fault::KillCopy, End::Missed("copy-1 61 s".into()))),
            |o| o.ends.push((Fault::Flush, End::Failed("nothing was there to flush".into()))),
        ];
        for spoil in spoil {
            let mut bad = good.clone();
            spoil(&mut bad);
            assert!(!is_good(&[good.clone(), bad.clone()]), "{bad:?}");
            assert_eq!(json(&[bad], 1)["ok"], false);
        }
    }

    #[test]
    fn what_there_was_no_time_for_is_named_and_shows_nothing() {
        let faults = vec![Fault::Flush, Fault::Evict, Fault::Flush];
        let episode = Episode { name: "servers", faults, first: 2, until: Duration::ZERO };
        let skipped = Outcome::not_run(&episode, "no time was left");
        assert!(!is_good(std::slice::from_ref(&skipped)));
        let cut_short = outcome(&[
            (Fault::KillCopy, after(1)),
            (Fault::KillLeader, End::NotRun("no time was left".into())),
        ]);
        let all = [cut_short, skipped];
        assert!(is_good(&all));
        assert_eq!(not_run(&all), ["relay-kill", "redis-flush", "redis-evict"]);
        let text = text(&all);
        for name in ["relay-kill", "redis-flush", "redis-evict"] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(line.ends_with("not run: no time was left"), "{text}");
        }
        assert!(
            text.contains("run servers        not run") && !text.contains("servers        good"),
            "{text}"
        );
        let summary = summary(&all);
        assert!(!summary.starts_with("good:"), "{summary}");
        assert!(summary.ends_with("relay-kill, redis-flush, redis-evict: not run, see above"), "{summary}");
        assert_eq!(json(&all, 1)["faults"][0]["times"], 0);
        assert_eq!(json(&all, 1)["not_run"], serde_json::json!(["relay-kill", "redis-flush", "redis-evict"]));
    }

    #[test]
    fn the_table_adds_up_over_runs() {
        let mut first = outcome(&[(Fault::KillLeader, after(9)), (Fault::KillLeader, after(1))]);
        first.judged.lost = 3;
        first.kept = Some("kept/here".into());
        let second = outcome(&[
            (Fault::KillLeader, after(2)),
            (Fault::KillCopy, End::Missed("behind: copy-1 70.0 s".into())),
            (Fault::DiskFull(Engine::Kafka), End::NotRun("no rights".into())),
        ]);
        let text = text(&[first, second]);
        let line = |start: &str| {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("relay-kill"), "relay-kill 3 2.0 s 9.0 s 0 0 3");
        assert_eq!(line("copy-kill"), "copy-kill 1 - - 1 0 0");
        assert_eq!(line("kafka-disk-full"), "kafka-disk-full not run: no rights");
        assert!(line("group-rewound").contains("not built"));
        assert!(!text.contains("redis-flush"));
        for said in ["3 lost", "copy-kill: NOT RECOVERED: behind: copy-1 70.0 s", "are in kept/here"] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}
