//! What is said at the end: to people in a few lines, to programs as flat JSON.

use std::time::Duration;

use retail::load::LoadTotals;
use retail::platform::{Left, Stats};
use serde_json::{Map, Value, json};
use tidings_core::{Code, Error, Result};
use tidings_testkit::checker::Account;

use super::Settings;
use super::compared::Compared;
use super::distributed::Drawn;
use super::recorder::{COPY, Found};
use crate::data_dir::io_fault;
use crate::units::{self, count, ratio};
use crate::verdict;

/// A run that has ended.
pub(crate) struct Ended {
    pub(crate) ran: Duration,
    pub(crate) seed: u64,
    pub(crate) load: u32,
    /// Events that were there before and had not been applied.
    pub(crate) resumed: u64,
    pub(crate) totals: LoadTotals,
    pub(crate) http_reads: u64,
    pub(crate) http_failed: u64,
    pub(crate) stats: Stats,
    pub(crate) left: Left,
    pub(crate) parked_total: u64,
    pub(crate) found: Found,
    /// How much of the copy in this process was compared in the end.
    pub(crate) compared: Compared,
    /// Copies in processes of their own.
    pub(crate) copies: Vec<CopyEnded>,
    /// What all copies had from the levels that they share, if they share any.
    pub(crate) drawn: Option<Drawn>,
    pub(crate) failure: Option<Error>,
}

/// A copy in a process of its own.
pub(crate) struct CopyEnded {
    pub(crate) name: String,
    /// How often its process ended without being asked, and was started again.
    pub(crate) restarts: u32,
    /// How much of it was compared in the end.
    pub(crate) compared: Compared,
}

/// How many violations are shown.
const SHOWN: usize = 5;

impl Ended {
    /// Whether every promise was kept and everything was drained.
    pub(crate) fn is_clean(&self) -> bool {
        self.complaints().is_empty()
    }

    /// Says it.
    pub(crate) fn tell(&self, settings: &Settings) -> Result<()> {
        if let Some(path) = &settings.report {
            let mut text = serde_json::to_string_pretty(&self.report())
                .map_err(|e| Error::new(Code::DEFECT, "the report cannot be written as JSON").because(e))?;
            text.push('\n');
            std::fs::write(path, text).map_err(|e| io_fault(path, "the report cannot be written", e))?;
        }
        crate::out::write(self.summary().as_bytes())?;
        for complaint in self.complaints() {
            eprintln!("tidings: {complaint}");
        }
        eprint!("{}", verdict::proofs(&self.found.verdict.violations, SHOWN));
        Ok(())
    }

    fn complaints(&self) -> Vec<Error> {
        let mut complaints: Vec<_> = self.failure.clone().into_iter().collect();
        let violations = self.found.verdict.counts.violations();
        if violations > 0 {
            complaints
                .push(Error::new(Code::DEFECT, format!("{violations} promises were broken in this run")));
        }
        complaints.extend(self.found.unwritten.clone());
        if self.found.unrecorded > 0 {
            let what = format!("{} records were not judged, so nothing is proved", self.found.unrecorded);
            complaints.push(Error::new(Code::DEFECT, what));
        }
        let late = self.found.verdict.counts.late;
        if late > 0 {
            let what = format!("{late} records came too late to be judged with what they belong to");
            complaints.push(Error::new(Code::DEFECT, what));
        }
        for copy in &self.copies {
            let Account { expected, applied, superseded, parked, .. } = self.account_of(&copy.name);
            if expected != applied + superseded + parked || expected != self.account().expected {
                let what = format!(
                    "of {expected} events committed, {applied} were applied at {}, {superseded} superseded and {parked} parked",
                    copy.name
                );
                complaints.push(Error::new(Code::DEFECT, what));
            }
        }
        let Account { expected, applied, superseded, parked, .. } = self.account();
        let told: u64 = self.stats.contexts.iter().map(|context| context.events).sum();
        if self.failure.is_none() && expected != applied + superseded + parked {
            let what = format!(
                "of {expected} events committed, {applied} were applied, {superseded} superseded and {parked} parked"
            );
            complaints.push(Error::new(Code::DEFECT, what));
        }
        if expected < told {
            let what =
                format!("the contexts committed {told} events, and only {expected} were accounted for");
            complaints.push(Error::new(Code::DEFECT, what));
        }
        let Left { unpublished, unapplied } = self.left;
        if self.failure.is_none() && unpublished + unapplied > 0 {
            let what = format!("{unpublished} events are not published and {unapplied} records not applied");
            complaints.push(Error::new(Code::STOPPING, what));
        }
        complaints
    }

    /// What became of the events at the one copy that must account for them.
    fn account(&self) -> Account {
        self.account_of(COPY)
    }

    fn account_of(&self, copy: &str) -> Account {
        let mut accounts = self.found.verdict.accounts.iter();
        accounts.find(|account| &*account.copy == copy).cloned().unwrap_or_default()
    }

    fn hits_and_misses(&self) -> (u64, u64) {
        let views = self.stats.views.iter().map(|view| view.counts);
        views.fold((0, 0), |(hits, misses), counts| (hits + counts.hits, misses + counts.misses))
    }

    fn refused(&self) -> u64 {
        self.stats.views.iter().map(|view| view.counts.refused_old + view.counts.refused_other).sum()
    }

    fn summary(&self) -> String {
        let Account { expected, applied, superseded, parked, .. } = self.account();
        let counts = &self.found.verdict.counts;
        let (hits, misses) = self.hits_and_misses();
        let Left { unpublished, unapplied } = self.left;
        format!(
            "ran       {}\n\
             events    {} committed = {} applied + {} superseded + {} parked\n\
             applied   {} after the commit, half of them; 99 in 100 within {}\n\
             reads     {} judged, {:.1}% from the cache; {} over HTTP\n\
             checked   {} answers, {} marks and {} states held in the end: {} promises broken\n\
             compared  {} in the end\n\
             honest    {} stale, {} falsely labelled, {} versions went back, {} never committed, {} events lost\n\
             left      {unpublished} unpublished, {unapplied} unapplied, {} parked\n{}",
            units::duration(self.ran),
            count(expected),
            count(applied),
            count(superseded),
            count(parked),
            units::duration(Duration::from_micros(self.found.p50_us)),
            units::duration(Duration::from_micros(self.found.p99_us)),
            count(counts.reads - self.http_reads.min(counts.reads)),
            100.0 * ratio(hits, hits + misses),
            count(self.http_reads),
            count(counts.answers),
            count(counts.marks),
            count(counts.held),
            count(counts.violations()),
            self.compared.text(),
            counts.stale_reads,
            counts.false_labels,
            counts.regressions,
            counts.invented,
            counts.lost,
            self.parked_total,
            self.failed(),
        )
    }

    /// What went wrong without breaking a promise; nothing, if nothing did.
    fn failed(&self) -> String {
        let copies: Vec<_> = self
            .copies
            .iter()
            .map(|copy| {
                let Account { expected, applied, superseded, parked, .. } = self.account_of(&copy.name);
                let restarts = if copy.restarts > 0 {
                    format!(", restarted {} times", copy.restarts)
                } else {
                    String::new()
                };
                format!(
                    "{:<9} {} committed = {} applied + {} superseded + {} parked{restarts}; compared {}\n",
                    copy.name,
                    count(expected),
                    count(applied),
                    count(superseded),
                    count(parked),
                    copy.compared.text(),
                )
            })
            .collect();
        let shared = self.drawn.map_or_else(String::new, |Drawn { l2_hits, l2_bypasses, l2_refused }| {
            format!(
                "shared    {} answers from the shared level; {} times it did not answer, {} answers not taken\n",
                count(l2_hits),
                count(l2_bypasses),
                count(l2_refused)
            )
        });
        copies.concat() + &shared + &self.failures()
    }

    fn failures(&self) -> String {
        let (changes, reads) = (self.totals.changes_failed, self.totals.reads_failed);
        let (http, gaps) = (self.http_failed, self.stats.consumer.gaps);
        if changes + reads + http + gaps == 0 {
            return String::new();
        }
        format!(
            "failed    {changes} changes, {reads} reads, {http} reads over HTTP; {gaps} gaps in the log\n"
        )
    }

    fn report(&self) -> Map<String, Value> {
        let Account { expected, applied, superseded, parked, .. } = self.account();
        let counts = &self.found.verdict.counts;
        let (hits, misses) = self.hits_and_misses();
        let seconds = self.ran.as_secs_f64();
        let ms = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1000.0;
        let reads = counts.reads - self.http_reads.min(counts.reads);
        let per_second = |n: u64| (ratio(n, 1) / seconds.max(f64::MIN_POSITIVE) * 10.0).round() / 10.0;
        let value = json!({
            "events_committed": expected,
            "events_applied": applied,
            "events_superseded": superseded,
            "events_parked": parked,
            "events_resumed": self.resumed,
            "reads": reads,
            "http_reads": self.http_reads,
            "http_failed": self.http_failed,
            "hit_ratio": ratio(hits, hits + misses),
            "labelled_stale": self.stats.views.iter().map(|view| view.counts.stale + view.counts.unverified).sum::<u64>(),
            "fills_refused": self.refused(),
            "commit_to_applied_ms_p50": ms(self.found.p50_us),
            "commit_to_applied_ms_p99": ms(self.found.p99_us),
            "rss_mb_max": rss_mb_max(),
            "commits_per_s": per_second(self.stats.contexts.iter().map(|c| c.commits).sum()),
            "reads_per_s": per_second(reads),
            "changes": self.totals.changes,
            "changes_refused": self.totals.refused,
            "changes_failed": self.totals.changes_failed,
            "reads_failed": self.totals.reads_failed,
            "gaps": self.stats.consumer.gaps,
            "records_waited": self.found.waits,
            "records_unjudged": self.found.unrecorded,
            "left_unpublished": self.left.unpublished,
            "left_unapplied": self.left.unapplied,
            "seconds": seconds,
            "load": self.load,
            "seed": self.seed,
            "version": env!("CARGO_PKG_VERSION"),
        });
        match value {
            Value::Object(mut report) => {
                for copy in &self.copies {
                    let Account { expected, applied, superseded, parked, .. } = self.account_of(&copy.name);
                    let name = copy.name.replace('-', "_");
                    report.insert(format!("{name}_events_committed"), expected.into());
                    report.insert(format!("{name}_events_applied"), applied.into());
                    report.insert(format!("{name}_events_superseded"), superseded.into());
                    report.insert(format!("{name}_events_parked"), parked.into());
                    report.insert(format!("{name}_restarts"), copy.restarts.into());
                    copy.compared.add_to(&mut report, &format!("{name}_"));
                }
                self.compared.add_to(&mut report, "");
                if let Some(Drawn { l2_hits, l2_bypasses, l2_refused }) = self.drawn {
                    let all =
                        [("l2_hits", l2_hits), ("l2_bypasses", l2_bypasses), ("l2_refused", l2_refused)];
                    report.extend(all.map(|(what, number)| (what.to_owned(), number.into())));
                }
                report.extend(verdict::flat(counts));
                report
            }
            _ => Map::new(),
        }
    }
}

/// The most memory that this process has had, in MB; `null` where the system does not say.
fn rss_mb_max() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib / 1024.0 * 10.0).round() / 10.0)
}
