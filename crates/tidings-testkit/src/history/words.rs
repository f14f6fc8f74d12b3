//! The words of the format, each written once.

use std::time::Duration;

use tidings_core::certificate::Cause;
use tidings_core::{Freshness, Outcome, Path};

/// The version of the format that is written and read.
pub(super) const FORMAT: u64 = 1;

const OUTCOMES: [(Outcome, &str); 3] =
    [(Outcome::Applied, "applied"), (Outcome::Superseded, "superseded"), (Outcome::Parked, "parked")];

const PATHS: [(Path, &str); 5] = [
    (Path::L1, "l1"),
    (Path::L2, "l2"),
    (Path::Source, "source"),
    (Path::SourceUnkept, "source_unkept"),
    (Path::Coalesced, "coalesced"),
];

const LABELS: [(Freshness, &str); 5] = [
    (Freshness::Fresh, "fresh"),
    (Freshness::Stale(Cause::SourceFailed), "stale source_failed"),
    (Freshness::Stale(Cause::SourceBehind), "stale source_behind"),
    (Freshness::Unverified, "unverified"),
    (Freshness::Direct, "direct"),
];

const WITHIN: &str = "within ";

fn word<T: PartialEq + Copy>(words: &[(T, &'static str)], of: T) -> &'static str {
    words.iter().find(|(value, _)| *value == of).map_or("", |(_, word)| word)
}

fn value<T: Copy>(words: &[(T, &'static str)], of: &str) -> Option<T> {
    words.iter().find(|(_, word)| *word == of).map(|(value, _)| *value)
}

pub(super) fn outcome(outcome: Outcome) -> &'static str {
    word(&OUTCOMES, outcome)
}

pub(super) fn to_outcome(text: &str) -> Option<Outcome> {
    value(&OUTCOMES, text)
}

pub(super) fn path(path: Path) -> &'static str {
    word(&PATHS, path)
}

pub(super) fn to_path(text: &str) -> Option<Path> {
    value(&PATHS, text)
}

/// The word of a label; *within* is followed by its nanoseconds.
pub(super) fn label(freshness: Freshness) -> (&'static str, Option<Duration>) {
    match freshness {
        Freshness::Within(age) => (WITHIN, Some(age)),
        other => (word(&LABELS, other), None),
    }
}

pub(super) fn to_label(text: &str) -> Option<Freshness> {
    match text.strip_prefix(WITHIN) {
        Some(nanos) => nanos.parse().ok().map(|nanos| Freshness::Within(Duration::from_nanos(nanos))),
        None => value(&LABELS, text),
    }
}
