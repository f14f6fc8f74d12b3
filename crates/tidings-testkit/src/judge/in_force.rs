//! The invariant I7: what an answer took to be in force was so at some moment that it may speak of.

use tidings_core::Stamp;

use super::versions::{Entry, Versions};
use crate::history::{InForce, Nanos, Span};

/// The windows of one entity's versions. A version without one is in force from its begin on; as long as it is
/// remembered, that is not written down here.
#[derive(Debug, Default)]
pub(super) struct Windows {
    spans: Vec<(Stamp, Span)>,
    /// The newest version without a window that is forgotten, and when it began; of older ones, whose time may not be
    /// over, only if anything here has a window.
    floor: Option<(Stamp, Nanos)>,
    /// The windows of versions up to here are not known.
    unknown: Option<Stamp>,
}

/// What an answer takes to be in force, of the versions up to the one that it shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) stamp: Stamp,
    /// It may be right at any moment from here to there, both included.
    pub(super) from: Nanos,
    pub(super) until: Nanos,
    pub(super) claimed: InForce,
}

impl Windows {
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        (self.floor, self.unknown) = (None, None);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds the window of a version that had none so far, or of one whose commit is recorded again.
    pub(super) fn add(&mut self, stamp: Stamp, span: Span, is_new: bool) {
        if is_new || !self.spans.contains(&(stamp, span)) {
            self.spans.push((stamp, span));
        }
    }

    pub(super) fn baseline(&mut self, stamp: Stamp) {
        self.unknown = self.unknown.max(Some(stamp));
        let unknown = self.unknown;
        self.spans.retain(|(of, _)| Some(*of) > unknown);
    }

    pub(super) fn of(&self, stamp: Stamp) -> Option<Span> {
        self.spans.iter().find(|(of, _)| *of == stamp).map(|(_, span)| *span)
    }

    /// Keeps what still matters of a version that is forgotten.
    pub(super) fn forget(&mut self, entry: &Entry) {
        if entry.deleted {
            // It ended whatever was in force before it.
            for (_, span) in self.spans.iter_mut().filter(|(of, _)| *of < entry.stamp) {
                span.until = span.until.min(entry.began);
            }
            if let Some((of, from)) = self.floor.take() {
                self.spans.push((of, Span { from, until: entry.began }));
            }
        } else if entry.is_in_force_from_its_begin() {
            if !self.is_empty() {
                self.spans.push((entry.stamp, Span { from: entry.began, until: Nanos::MAX }));
            }
            self.floor = Some((entry.stamp, entry.began));
        }
    }

    /// Whether the claim is right at some moment.
    pub(super) fn fits(&self, versions: &Versions, claim: &Claim) -> bool {
        let Claim { stamp, from, until, claimed } = *claim;
        let claimed = match claimed {
            InForce::Nothing => None,
            InForce::Version(version) => Some(version),
        };
        if claimed.is_some() && claimed <= self.unknown {
            return true;
        }
        let edges = self.spans.iter().flat_map(|(_, span)| [span.from, span.until]);
        let begins = versions.up_to(stamp).iter().filter(|entry| !entry.has_window).map(|entry| entry.began);
        std::iter::once(from)
            .chain(edges.chain(begins).filter(|edge| from < *edge && *edge <= until))
            .any(|moment| self.at(versions, stamp, moment) == claimed)
    }

    /// What was in force then: what began last, and of those the newest version.
    fn at(&self, versions: &Versions, stamp: Stamp, moment: Nanos) -> Option<Stamp> {
        let has_begun = |entry: &&Entry| entry.began <= moment;
        let deleted = versions.deletes_up_to(stamp).rev().find(has_begun).map(|entry| entry.stamp);
        let is_in_force = |entry: &&Entry| has_begun(entry) && entry.is_in_force_from_its_begin();
        let simple = versions.up_to(stamp).iter().rev().find(is_in_force);
        let simple = simple.map(|entry| (entry.began, entry.stamp));
        let floor = self.floor.filter(|(_, began)| *began <= moment).map(|(of, began)| (began, of));
        let spans = self.spans.iter().filter(|(_, span)| span.from <= moment && moment < span.until);
        let spans = spans.map(|(of, span)| (span.from, *of));
        let all = spans.chain(simple).chain(floor);
        all.filter(|(_, of)| *of <= stamp && Some(*of) > deleted).max().map(|(_, of)| of)
    }

    /// Removes what cannot be in force at `time` or later in an answer that shows `oldest` or a newer version.
    pub(super) fn forget_before(&mut self, time: Nanos, oldest: Stamp) {
        self.spans.retain(|(_, span)| span.until > time);
        if self.spans.len() < 2 {
            return;
        }
        // What began last comes first: the later ones hide it if they last as long.
        self.spans.sort_unstable_by_key(|(of, span)| std::cmp::Reverse((span.from, *of)));
        let (mut hidden_by_now, mut hidden_from) = (0, (Nanos::MAX, 0));
        self.spans.retain(|(of, span)| {
            if hidden_from.0 != span.from {
                hidden_from = (span.from, 0);
            }
            let hidden = if span.from <= time { hidden_by_now } else { hidden_from.1 };
            if *of <= oldest {
                hidden_from.1 = hidden_from.1.max(span.until);
                if span.from <= time {
                    hidden_by_now = hidden_by_now.max(span.until);
                }
            }
            hidden < span.until
        });
    }
}

impl Entry {
    const fn is_in_force_from_its_begin(&self) -> bool {
        self.is_event && !self.has_window && !self.deleted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_core::Version;

    fn stamp(number: u64) -> Stamp {
        Stamp::of(Version::new(number).unwrap())
    }

    fn windows() -> Windows {
        let mut windows = Windows::default();
        // A regular price for ever, a promotion on top of it, and a correction of the promotion that ends it earlier.
        for (number, from, until) in [(1, 0, Nanos::MAX), (2, 100, 200), (3, 100, 150)] {
            windows.add(stamp(number), Span { from, until }, true);
        }
        windows
    }

    fn fits(windows: &Windows, known: u64, from: Nanos, until: Nanos, claimed: InForce) -> bool {
        windows.fits(&Versions::default(), &Claim { stamp: stamp(known), from, until, claimed })
    }

    #[test]
    fn the_last_by_start_and_version_is_in_force() {
        let windows = windows();
        let one = |known, at, is: u64| fits(&windows, known, at, at, InForce::Version(stamp(is)));
        for (known, at, is) in [(1, 150, 1), (2, 99, 1), (2, 100, 2), (2, 199, 2), (2, 200, 1), (3, 149, 3)] {
            for other in 1..=3 {
                assert_eq!(one(known, at, other), other == is, "of {known} at {at}: {other}");
            }
            assert!(!fits(&windows, known, at, at, InForce::Nothing));
        }
        assert!(fits(&windows, 0, 5, 5, InForce::Nothing), "nothing is known yet");
    }

    #[test]
    fn any_moment_of_the_allowed_time_will_do() {
        let windows = windows();
        let fits = |from, until, is: u64| fits(&windows, 2, from, until, InForce::Version(stamp(is)));
        assert!(fits(50, 100, 2) && fits(50, 100, 1), "it began at the last moment");
        assert!(!fits(50, 99, 2), "never early");
        assert!(fits(199, 400, 2) && !fits(200, 400, 2), "late by no more than the bound");
        assert!(fits(0, 1000, 2), "in between");
    }

    #[test]
    fn what_is_forgotten_makes_no_difference_later() {
        let (mut kept, all) = (windows(), windows());
        kept.forget_before(120, stamp(3));
        assert_eq!(kept.spans.len(), 3);
        kept.forget_before(160, stamp(3));
        assert_eq!(kept.spans.len(), 2, "the correction is over, what it corrected is not");
        for moment in 160..300 {
            for is in 1..=3 {
                let claimed = InForce::Version(stamp(is));
                let fits = |windows: &Windows| fits(windows, 3, moment, moment, claimed);
                assert_eq!(fits(&kept), fits(&all), "{is} at {moment}");
            }
        }
        kept.add(stamp(4), Span { from: 170, until: Nanos::MAX }, true);
        kept.forget_before(300, stamp(4));
        assert_eq!(kept.spans.len(), 1, "hidden for good");
    }
}
