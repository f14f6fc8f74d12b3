//! The invariant I7: what an answer took to be in force was so at some moment that it may speak of.

use tidings_core::Stamp;

use crate::history::{InForce, Nanos, Span};

/// The windows of one entity's versions.
#[derive(Debug, Default)]
pub(super) struct Windows {
    spans: Vec<(Stamp, Span)>,
    /// The windows of versions up to here are not known.
    unknown: Option<Stamp>,
}

impl Windows {
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.unknown = None;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(super) fn add(&mut self, stamp: Stamp, span: Span) {
        if !self.spans.contains(&(stamp, span)) {
            self.spans.push((stamp, span));
        }
    }

    pub(super) fn baseline(&mut self, stamp: Stamp) {
        self.unknown = self.unknown.max(Some(stamp));
    }

    pub(super) fn of(&self, stamp: Stamp) -> Option<Span> {
        self.spans.iter().find(|(of, _)| *of == stamp).map(|(_, span)| *span)
    }

    /// Whether of the versions up to `stamp` this was in force at some moment from `from` to `until`, both included.
    pub(super) fn fits(&self, stamp: Stamp, from: Nanos, until: Nanos, claimed: InForce) -> bool {
        let at = |moment: Nanos| {
            let in_force = self
                .spans
                .iter()
                .filter(|(of, span)| *of <= stamp && span.from <= moment && moment < span.until);
            in_force.max_by_key(|(of, span)| (span.from, *of)).map(|(of, _)| *of)
        };
        let claimed = match claimed {
            InForce::Nothing => None,
            InForce::Version(version) => Some(version),
        };
        if claimed.is_some() && claimed <= self.unknown {
            return true;
        }
        let edges = self.spans.iter().flat_map(|(_, span)| [span.from, span.until]);
        std::iter::once(from)
            .chain(edges.filter(|edge| from < *edge && *edge <= until))
            .any(|moment| at(moment) == claimed)
    }

    /// Removes what cannot be in force at `time` or later in an answer that shows `oldest` or a newer version.
    pub(super) fn forget_before(&mut self, time: Nanos, oldest: Stamp) {
        let spans = std::mem::take(&mut self.spans);
        let is_hidden = |(stamp, span): &(Stamp, Span)| {
            spans.iter().any(|(by, over)| {
                *by <= oldest
                    && (over.from, *by) > (span.from, *stamp)
                    && over.from <= time.max(span.from)
                    && over.until >= span.until
            })
        };
        let is_needed = |entry: &(Stamp, Span)| entry.1.until > time && !is_hidden(entry);
        self.spans = spans.iter().copied().filter(is_needed).collect();
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
            windows.add(stamp(number), Span { from, until });
        }
        windows
    }

    #[test]
    fn the_last_by_start_and_version_is_in_force() {
        let windows = windows();
        let one = |known, at, is: u64| windows.fits(stamp(known), at, at, InForce::Version(stamp(is)));
        for (known, at, is) in [(1, 150, 1), (2, 99, 1), (2, 100, 2), (2, 199, 2), (2, 200, 1), (3, 149, 3)] {
            for other in 1..=3 {
                assert_eq!(one(known, at, other), other == is, "of {known} at {at}: {other}");
            }
            assert!(!windows.fits(stamp(known), at, at, InForce::Nothing));
        }
        assert!(windows.fits(stamp(0), 5, 5, InForce::Nothing), "nothing is known yet");
    }

    #[test]
    fn any_moment_of_the_allowed_time_will_do() {
        let windows = windows();
        let fits = |from, until, is: u64| windows.fits(stamp(2), from, until, InForce::Version(stamp(is)));
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
                let fits = |windows: &Windows| windows.fits(stamp(3), moment, moment, claimed);
                assert_eq!(fits(&kept), fits(&all), "{is} at {moment}");
            }
        }
        kept.add(stamp(4), Span { from: 170, until: Nanos::MAX });
        kept.forget_before(300, stamp(4));
        assert_eq!(kept.spans.len(), 1, "hidden for good");
    }
}
