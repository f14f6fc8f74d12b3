//! Which price is in force: pure, by the source's clock.

use tidings_core::{Time, Window};

/// A promotion as it bears on a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promotion {
    pub(super) percent: u8,
    pub(super) window: Window,
}

/// The price in force at `now`, the percentage it contains, and when that may change next.
///
/// Promotions do not add up: the best one counts. A price never falls to nothing.
pub(super) fn in_force(base: u32, promotions: &[Promotion], now: Time) -> (u32, Option<u8>, Option<Time>) {
    let active = promotions.iter().filter(|p| p.window.contains(now));
    let percent = active.map(|p| p.percent).max();
    let kept = u64::from(100 - percent.unwrap_or(0).min(100));
    let cents = u32::try_from(u64::from(base) * kept / 100).unwrap_or(base).max(1);
    let boundary = promotions.iter().filter_map(|p| p.window.boundary_after(now)).min();
    (cents, percent, boundary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_promotion_in_force_counts_until_the_next_boundary() {
        let t = Time::from_micros;
        let promotion = |percent, from, until| Promotion {
            percent,
            window: Window { from: Some(t(from)), until: Some(t(until)) },
        };
        let both = [promotion(10, 10, 40), promotion(25, 20, 30)];
        for (now, cents, percent, boundary) in [
            (0, 1000, None, Some(10)),
            (10, 900, Some(10), Some(20)),
            (20, 750, Some(25), Some(30)),
            (30, 900, Some(10), Some(40)),
            (40, 1000, None, None),
        ] {
            let expected = (cents, percent, boundary.map(t));
            assert_eq!(in_force(1000, &both, t(now)), expected, "at {now}");
        }
        assert_eq!(in_force(1, &[promotion(90, 0, 10)], t(5)).0, 1, "never nothing");
    }
}
