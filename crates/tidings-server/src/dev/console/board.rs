//! What the board shows, in words and lengths; the template only places it.

use std::fmt::Write as _;
use std::time::Duration;

use askama::Template;
use retail::experience::ViewStats;
use retail::platform::ContextStats;

use super::Parked;
use super::series::{Sample, Series};
use crate::survey::SetAside;
use crate::units::{self, count, ratio};

/// Everything on the board.
#[derive(Template)]
#[template(path = "board.html")]
pub(super) struct Board {
    elapsed: String,
    load: u32,
    honest: bool,
    judged: String,
    wrong: Vec<(&'static str, String)>,
    violations: Vec<String>,
    rates: Vec<Spark>,
    contexts: Vec<ContextTile>,
    log: LogTile,
    consumer: ConsumerTile,
    views: Vec<ViewTile>,
    parked: Vec<ParkedLine>,
    parked_total: String,
}

struct Spark {
    id: &'static str,
    label: &'static str,
    title: &'static str,
    value: String,
    points: String,
}

struct ContextTile {
    name: &'static str,
    events: String,
    per_second: String,
    unpublished: String,
    class: &'static str,
}

struct LogTile {
    published: String,
    per_second: String,
}

struct ConsumerTile {
    applied: String,
    superseded: String,
    parked: String,
    gaps: String,
    p50: String,
    p99: String,
}

struct ViewTile {
    name: &'static str,
    bound: String,
    age: String,
    /// The age's part of the bar, in percent; the bound stands at [`MARKER`].
    length: String,
    class: &'static str,
    verdict: &'static str,
    hit: String,
    wrong: String,
    wrong_class: &'static str,
    labelled: String,
    refused: String,
    entries: String,
}

struct ParkedLine {
    place: String,
    kind: String,
    entity: String,
    reason: String,
}

/// Where on the bar the bound stands, in percent.
const MARKER: f64 = 80.0;
const SPARK: (f64, f64) = (120.0, 28.0);

impl Board {
    /// The board of a series; `None` while it is empty.
    pub(super) fn of(series: &Series, parked: &Parked, load: u32) -> Option<Self> {
        let last = series.last()?;
        let counts = &last.judged.counts;
        let named = counts.stale_reads + counts.false_labels + counts.regressions + counts.invented;
        let wrong = [
            ("stale beyond the promise", counts.stale_reads),
            ("falsely labelled", counts.false_labels),
            ("version went back", counts.regressions),
            ("never committed", counts.invented),
            ("against another promise", counts.violations().saturating_sub(named)),
        ];
        let consumer = last.stats.consumer;
        Some(Self {
            elapsed: units::duration(last.elapsed),
            load,
            honest: last.wrong() == 0,
            judged: count(counts.reads),
            wrong: wrong.into_iter().map(|(what, n)| (what, count(n))).collect(),
            violations: last.judged.violations.clone(),
            rates: rates(series, last),
            contexts: last.stats.contexts.iter().enumerate().map(|(i, c)| context(series, i, c)).collect(),
            log: LogTile {
                published: count(last.published()),
                per_second: rate(series.rate(Sample::published)),
            },
            consumer: ConsumerTile {
                applied: count(consumer.applied),
                superseded: count(consumer.superseded),
                parked: count(consumer.parked),
                gaps: count(consumer.gaps),
                p50: units::duration(Duration::from_micros(last.judged.p50_us)),
                p99: units::duration(Duration::from_micros(last.judged.p99_us)),
            },
            views: last.stats.views.iter().enumerate().map(|(i, v)| view(series, last, i, v)).collect(),
            parked: parked.shown.iter().map(parked_line).collect(),
            parked_total: count(parked.total),
        })
    }
}

fn rates(series: &Series, last: &Sample) -> Vec<Spark> {
    let latency = |sample: &Sample| Duration::from_micros(sample.judged.p50_us).as_secs_f64();
    vec![
        Spark {
            id: "rate-commits",
            label: "commits/s",
            title: "Transactions of the owning contexts, each with its event beside its state",
            value: rate(series.rate(Sample::commits)),
            points: points(&series.rates(Sample::commits)),
        },
        Spark {
            id: "rate-published",
            label: "published/s",
            title: "Events that relays carried from the outboxes to the log",
            value: rate(series.rate(Sample::published)),
            points: points(&series.rates(Sample::published)),
        },
        Spark {
            id: "rate-applied",
            label: "applied/s",
            title: "Events whose effect the consumer made, those superseded by a newer one included",
            value: rate(series.rate(applied)),
            points: points(&series.rates(applied)),
        },
        Spark {
            id: "rate-reads",
            label: "reads/s",
            title: "Answers given by the views, each with a certificate of its freshness",
            value: rate(series.rate(Sample::reads)),
            points: points(&series.rates(Sample::reads)),
        },
        Spark {
            id: "rate-latency",
            label: "commit to applied",
            title: "From a commit's acknowledgement until its news has taken effect here; half of all events were faster",
            value: units::duration(Duration::from_micros(last.judged.p50_us)),
            points: points(&series.values(latency)),
        },
    ]
}

fn applied(sample: &Sample) -> u64 {
    sample.stats.consumer.applied + sample.stats.consumer.superseded
}

fn context(series: &Series, index: usize, context: &ContextStats) -> ContextTile {
    let events = |sample: &Sample| sample.stats.contexts.get(index).map_or(0, |context| context.events);
    // What an earlier run left, and what was sent twice, makes the difference negative: nothing waits then.
    let unpublished = context.events.saturating_sub(context.published);
    ContextTile {
        name: context.name,
        events: count(context.events),
        per_second: rate(series.rate(events)),
        unpublished: count(unpublished),
        class: if unpublished > 1000 { "warn" } else { "good" },
    }
}

fn view(series: &Series, last: &Sample, index: usize, view: &ViewStats) -> ViewTile {
    let ViewStats { name, bound, knowledge_age: age, entries, counts } = *view;
    let share = age.map(|age| age.as_secs_f64() / bound.as_secs_f64().max(f64::EPSILON));
    let (class, verdict) = match share {
        None => ("warn", "not known yet"),
        Some(share) if share > 1.0 => ("bad", "blind: answers go to the source, or say that they are stale"),
        Some(share) if share > 0.5 => ("warn", "late"),
        Some(_) => ("good", "kept"),
    };
    let (hits, misses) =
        (series.recent(|sample| sample.view(index).hits), series.recent(|sample| sample.view(index).misses));
    let labelled = series.recent(|sample| sample.view(index).stale + sample.view(index).unverified);
    let wrong = series.recent(Sample::wrong);
    let judged = series.recent(|sample| sample.judged.counts.reads);
    ViewTile {
        name,
        bound: units::duration(bound),
        age: age.map_or_else(|| "unknown".to_owned(), units::duration),
        length: format!("{:.1}", (share.unwrap_or(0.0) * MARKER).clamp(0.5, 100.0)),
        class,
        verdict,
        hit: percent(ratio(hits, hits + misses)),
        wrong: percent(ratio(wrong, judged)),
        wrong_class: if last.wrong() > 0 { "bad" } else { "good" },
        labelled: percent(ratio(labelled, hits + misses)),
        refused: count(counts.refused_old + counts.refused_other),
        entries: count(entries as u64),
    }
}

fn parked_line(parked: &SetAside) -> ParkedLine {
    let clean = crate::out::visible;
    ParkedLine {
        place: clean(&format!("{} by {}", parked.position, parked.group)),
        kind: clean(&parked.kind),
        entity: clean(&parked.entity),
        reason: clean(&parked.reason),
    }
}

fn percent(ratio: f64) -> String {
    match ratio * 100.0 {
        p if p > 0.0 && p < 0.1 => "<0.1 %".to_owned(),
        p if p > 99.9 && p < 100.0 => ">99.9 %".to_owned(),
        p => format!("{p:.1} %"),
    }
}

fn rate(per_second: f64) -> String {
    if per_second < 9.95 {
        return format!("{per_second:.1}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and far below 2^63"
    )]
    let whole = per_second.round() as u64;
    count(whole)
}

/// A line through these values, scaled to its box; zero is at the bottom.
#[expect(clippy::cast_precision_loss, reason = "at most a few hundred points")]
fn points(values: &[f64]) -> String {
    let most = values.iter().copied().fold(f64::EPSILON, f64::max);
    let step = SPARK.0 / (values.len().max(2) - 1) as f64;
    let mut points = String::new();
    for (at, value) in values.iter().enumerate() {
        let (x, y) = (at as f64 * step, SPARK.1 - 1.5 - value / most * (SPARK.1 - 3.0));
        // Writing to a string does not fail.
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_never_rounded_to_perfection() {
        for (ratio, text) in
            [(0.0, "0.0 %"), (0.0001, "<0.1 %"), (0.97, "97.0 %"), (0.9999, ">99.9 %"), (1.0, "100.0 %")]
        {
            assert_eq!(percent(ratio), text);
        }
    }

    #[test]
    fn a_line_stays_in_its_box() {
        assert_eq!(points(&[0.0, 5.0, 10.0]), "0.0,26.5 60.0,14.0 120.0,1.5 ");
        assert_eq!(points(&[]), "");
        assert_eq!(points(&[3.0]), "0.0,1.5 ");
    }
}
