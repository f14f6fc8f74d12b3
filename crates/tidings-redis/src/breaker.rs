//! A store that fails is left alone for a while: reads go to the source at once instead of after a timeout.

use std::time::Duration;

use tidings_core::retry::Backoff;

/// When the store is left alone, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// So many failures in a row open it.
    pub failures: u32,
    /// So many requests at once try a store that was left alone.
    pub probes: u32,
    /// How long it is left alone: longer after each vain try.
    pub rest: Backoff,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        let rest = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(10) };
        Self { failures: 5, probes: 1, rest }
    }
}

/// What is allowed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// Ask.
    Normal,
    /// Ask, and say what came of it: others wait for that.
    Probe,
    /// Do not ask.
    Rest,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration, opened: u32 },
    HalfOpen { probing: u32, since: Duration, opened: u32 },
}

/// Closed, open or half-open; without a clock of its own.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
    /// A probe that says nothing for so long has failed.
    patience: Duration,
    state: State,
}

impl Breaker {
    pub(crate) const fn new(settings: BreakerSettings, patience: Duration) -> Self {
        Self { settings, patience, state: State::Closed { failures: 0 } }
    }

    /// Whether to ask.
    pub(crate) fn permit(&mut self, now: Duration) -> Permit {
        match self.state {
            State::Closed { .. } => Permit::Normal,
            State::Open { until, .. } if now < until => Permit::Rest,
            State::Open { opened, .. } => self.probe(0, now, opened),
            // Probes that were dropped halfway must not close the way for ever.
            State::HalfOpen { since, opened, .. } if now.saturating_sub(since) > self.patience => {
                self.probe(0, now, opened)
            }
            State::HalfOpen { probing, since, opened } if probing < self.settings.probes => {
                self.probe(probing, since, opened)
            }
            State::HalfOpen { .. } => Permit::Rest,
        }
    }

    const fn probe(&mut self, probing: u32, since: Duration, opened: u32) -> Permit {
        self.state = State::HalfOpen { probing: probing + 1, since, opened };
        Permit::Probe
    }

    /// What came of asking.
    pub(crate) fn told(&mut self, permit: Permit, worked: bool, now: Duration, random: u64) {
        self.state = match (self.state, permit, worked) {
            (State::Closed { .. }, _, true) | (State::HalfOpen { .. }, Permit::Probe, true) => {
                State::Closed { failures: 0 }
            }
            (State::Closed { failures }, _, false) if failures + 1 < self.settings.failures => {
                State::Closed { failures: failures + 1 }
            }
            (State::Closed { .. }, _, false) => self.open(1, now, random),
            (State::HalfOpen { opened, .. }, Permit::Probe, false) => self.open(opened + 1, now, random),
            // Asked before it was opened: says nothing about now.
            (state, ..) => state,
        };
    }

    fn open(&self, opened: u32, now: Duration, random: u64) -> State {
        State::Open { until: now + self.settings.rest.wait(opened, random), opened }
    }

    /// Whether requests are let through.
    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn broken() -> Breaker {
        let rest = Backoff { first: at(100), longest: at(1000) };
        let mut breaker = Breaker::new(BreakerSettings { failures: 3, probes: 2, rest }, at(500));
        for _ in 0..3 {
            assert_eq!(breaker.permit(at(0)), Permit::Normal);
            breaker.told(Permit::Normal, false, at(0), 0);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let mut breaker = broken();
        assert_eq!(breaker.permit(at(49)), Permit::Rest);
        let mut breaker2 = Breaker::new(breaker.settings, at(500));
        for worked in [false, false, true, false, false] {
            breaker2.told(Permit::Normal, worked, at(0), 0);
        }
        assert_eq!((breaker.permit(at(0)), breaker2.permit(at(0))), (Permit::Rest, Permit::Normal));
    }

    #[test]
    fn after_its_rest_a_bounded_number_try_and_one_that_works_closes_it() {
        let mut breaker = broken();
        let tries: Vec<_> = (0..4).map(|_| breaker.permit(at(60))).collect();
        assert_eq!(tries, [Permit::Probe, Permit::Probe, Permit::Rest, Permit::Rest]);
        breaker.told(Permit::Normal, true, at(61), 0);
        assert!(!breaker.is_closed(), "an answer to what was asked before");
        breaker.told(Permit::Probe, true, at(61), 0);
        assert_eq!(breaker.permit(at(61)), Permit::Normal);
    }

    #[test]
    fn a_vain_try_rests_longer() {
        let mut breaker = broken();
        assert_eq!(breaker.permit(at(60)), Permit::Probe);
        breaker.told(Permit::Probe, false, at(60), 0);
        assert_eq!(breaker.permit(at(60 + 99)), Permit::Rest);
        assert_eq!(breaker.permit(at(60 + 100)), Permit::Probe);
    }

    #[test]
    fn tries_that_were_dropped_are_replaced() {
        let mut breaker = broken();
        assert_eq!((breaker.permit(at(60)), breaker.permit(at(60))), (Permit::Probe, Permit::Probe));
        assert_eq!(breaker.permit(at(560)), Permit::Rest);
        assert_eq!(breaker.permit(at(561)), Permit::Probe);
    }
}
