//! The same for programs.

use serde_json::{Value, json};

use crate::campaign::{Plan, Totals};
use crate::finding::{Finding, Size};
use crate::hunt::Hunted;

/// Everything that [`super::totals`] and [`super::finding`] print.
#[must_use]
pub fn totals_json(plan: &Plan, totals: &Totals) -> Value {
    let tally = &totals.tally;
    let faults = totals.faults.iter().map(|fault| (fault.name().to_owned(), tally.faults(*fault).into()));
    let sometimes =
        totals.sometimes.iter().map(|what| (what.name().to_owned(), tally.sometimes(*what).into()));
    json!({
        "depth": plan.depth.to_string(),
        "mutant": plan.mutant.map(|mutant| mutant.name()),
        "from": plan.from,
        "seeds": totals.seeds,
        "interrupted": totals.interrupted,
        "histories": tally.histories,
        "operations": tally.operations,
        "commits": tally.commits,
        "reads": tally.reads,
        "threads": plan.threads,
        "seconds": totals.elapsed.as_secs_f64(),
        "thread_seconds": totals.busy.as_secs_f64(),
        "cpu_seconds": totals.cpu.as_secs_f64(),
        "histories_per_second_and_core": totals.rate(),
        "faults": faults.collect::<serde_json::Map<_, _>>(),
        "sometimes": sometimes.collect::<serde_json::Map<_, _>>(),
        "never": totals.never(),
        "traces": { "compared": totals.traces.0, "distinct": totals.traces.1 },
        "repeated": { "seeds": totals.repeated, "differed": totals.differed },
        "fingerprint": format!("{:016x}", totals.fingerprint),
        "violations": totals.violations,
        "bound": (totals.violations == 0 && totals.seeds > 0).then(|| 3.0 / totals.seeds as f64),
        "findings": totals.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "problems": totals.problems(),
    })
}

fn finding_json(finding: &Finding) -> Value {
    let size = |size: Size| json!({ "choices": size.choices, "operations": size.operations });
    json!({
        "invariant": finding.broken.invariant.map(|invariant| format!("{invariant:?}")),
        "what": finding.broken.what,
        "seed": finding.seed,
        "before": size(finding.before),
        "after": size(finding.after),
        "tries": finding.tries,
        "reproduced": finding.reproduced,
        "timeline": finding.timeline,
        "token": finding.token.to_string(),
    })
}

/// Everything that [`super::hunted`] prints of each.
#[must_use]
pub fn hunted_json(all: &[Hunted]) -> Value {
    let one = |hunted: &Hunted| {
        json!({
            "mutant": hunted.mutant.name(),
            "depth": hunted.depth.to_string(),
            "needed": hunted.needed,
            "median": hunted.median(),
            "batches": hunted.batches(),
            "limit": hunted.limit,
            "broke": hunted.broke,
            "passed_over": hunted.passed_over,
            "survived": hunted.survived(),
        })
    };
    all.iter().map(one).collect()
}
