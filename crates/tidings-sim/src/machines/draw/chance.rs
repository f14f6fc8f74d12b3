//! How one history comes about by chance.

use std::time::Duration;

use tidings_core::Truth;

use super::theme::Theme;
use super::{Nature, Positions, React, Setup, Style, ViewSetup};
use crate::choices::Choices;
use crate::fault::Fault;

impl Setup {
    /// Draws one.
    pub(in crate::machines) fn draw(choices: &mut Choices) -> Self {
        let mut setup = Self::quiet();
        let theme = Theme::draw(choices);
        setup.draw_faults(choices, theme);
        setup.draw_sizes(choices);
        theme.narrow(&mut setup, choices);
        setup.draw_times(choices, theme);
        for view in 0..setup.view_count {
            setup.views[view] = setup.draw_view(choices, theme);
        }
        // Nothing keeps the order of answers that tell no versions: nobody else shows what they show.
        let [first, second, _] = &setup.views;
        let overlap = first.shows.iter().zip(second.shows).any(|(first, second)| *first && second);
        if overlap && (first.style != Style::Versioned || second.style != Style::Versioned) {
            setup.view_count = 1;
        }
        setup
    }

    /// Swarm: in each history about half of the faults can strike, each with its own rate.
    fn draw_faults(&mut self, choices: &mut Choices, theme: Theme) {
        if theme != Theme::Broad {
            let (always, perhaps) = theme.faults();
            for fault in always {
                self.rates[*fault as usize] = rates(*fault)[1 + choices.below(2) as usize];
            }
            for fault in perhaps {
                let rate = rates(*fault).get(choices.below(4) as usize).copied().unwrap_or(0);
                self.rates[*fault as usize] = rate;
            }
            return;
        }
        let on = choices.below(1 << DRAWN.len());
        let mut bit = 1;
        for fault in DRAWN {
            if on & bit != 0 {
                self.rates[*fault as usize] = rates(*fault)[choices.below(3) as usize];
            }
            bit <<= 1;
        }
    }

    fn draw_sizes(&mut self, choices: &mut Choices) {
        self.entities = 1 + usize::from(choices.below(3) == 2);
        self.natures[0] = match choices.below(8) {
            5..7 => Nature::Effective,
            7 => Nature::Revocable,
            _ => Nature::Plain,
        };
        self.partitions = if self.entities == 1 { 1 } else { 1 + usize::from(choices.chance(500)) };
        (self.copies, self.projection) = match choices.below(8) {
            0..4 => (1, None),
            4 => (2, None),
            5 => (1, Some(Positions::Group)),
            6 => (1, Some(Positions::Own)),
            _ => (2, Some(if choices.chance(500) { Positions::Own } else { Positions::Group })),
        };
        self.relays = 1 + usize::from(self.rate(Fault::TwoRelays) > 0);
        self.readers = 1 + usize::from(choices.chance(300));
        self.view_count = 1 + usize::from(choices.chance(400));
        self.commits = 1 + choices.below(3);
        self.reads = 2 + choices.below(5);
        self.batch = 1 + choices.below(3) as usize;
        self.tombstones = choices.chance(500);
        self.asks = choices.chance(300);
        self.follows = !choices.chance(250);
        self.exists = !choices.chance(300);
        self.steps = if choices.chance(300) { 96 } else { 48 };
    }

    fn draw_times(&mut self, choices: &mut Choices, theme: Theme) {
        if self.rate(Fault::ClockSkew) > 0 {
            let far = theme == Theme::Windows;
            self.clock_error = [4, 20][if far { 1 } else { choices.below(2) as usize }];
            let error = i64::try_from(self.clock_error).unwrap_or(0);
            self.skew = match choices.below(4) {
                // As far apart as they may be.
                1 if far => error,
                2 | 3 if far => -error,
                _ => i64::from(choices.below(u32::try_from(2 * error + 1).unwrap_or(1))) - error,
            };
        }
        if self.rate(Fault::EarlyEvent) > 0 {
            self.visibility = 16 + u64::from(choices.below(48));
        }
        if self.rate(Fault::LaggingRead) > 0 {
            self.lag = 16 + u64::from(choices.below(96));
        }
        self.attempts = 1 + choices.below(3);
        if theme == Theme::Loose && choices.chance(700) {
            self.attempts = 1;
        }
        self.load_timeout = 60;
        if self.rate(Fault::Pressure) > 0 {
            // Not of what was learned: that it had to be forgotten keeps no lagging load from going back.
            self.limits.raised = 1;
        }
        // The longest load, the source's greatest lag and the redelivery window together, and the clocks' difference.
        let keep = self.load_timeout + self.visibility + self.lag + self.clock_error;
        self.limits.keep = Duration::from_micros(keep);
    }

    fn draw_view(&self, choices: &mut Choices, theme: Theme) -> ViewSetup {
        let shows = match if self.entities == 1 { 0 } else { choices.below(3) } {
            0 => [true, false],
            1 => [false, true],
            _ => [true, true],
        };
        let style = theme.style(choices).unwrap_or_else(|| match choices.below(6) {
            0..3 => Style::Versioned,
            3 | 4 => Style::Unversioned,
            _ => Style::Region,
        });
        let bound = [160, 40, 10][choices.below(3) as usize] + self.clock_error;
        let span = Duration::from_micros(bound);
        let nature = if shows[0] { self.natures[0] } else { Nature::Plain };
        let truth = match nature {
            Nature::Effective => Truth::Effective(span),
            Nature::Revocable => Truth::Revocable(span),
            Nature::Plain if choices.chance(200) => Truth::Tolerant(span),
            Nature::Plain => Truth::Push(span),
        };
        let single = shows != [true, true] && style == Style::Versioned;
        let react = theme.react(choices).unwrap_or_else(|| {
            match choices.below(if nature == Nature::Effective { 12 } else { 4 }) {
                2 => React::Refresh,
                3.. if single => React::Update,
                _ => React::Invalidate,
            }
        });
        let ttl = if matches!(truth, Truth::Tolerant(_)) { bound } else { 300 };
        ViewSetup { shows, style, truth, bound, ttl, react }
    }
}

/// How often a fault strikes, of a thousand: what is asked at every step, or only once a commit, or load, or turn of the
/// mishaps.
const fn rates(fault: Fault) -> [u16; 3] {
    match fault {
        Fault::Delay | Fault::Loss | Fault::Double | Fault::LostAnswer => [15, 60, 200],
        Fault::SlowSource => [50, 150, 400],
        _ => [100, 300, 600],
    }
}

/// The faults that a history draws; each is off in about half of them.
const DRAWN: &[Fault] = &[
    Fault::Delay,
    Fault::Loss,
    Fault::Double,
    Fault::LostAnswer,
    Fault::Kill,
    Fault::Pause,
    Fault::ClockSkew,
    Fault::LaggingRead,
    Fault::EarlyEvent,
    Fault::Truncation,
    Fault::Rebalance,
    Fault::Wipe,
    Fault::OldDump,
    Fault::Poison,
    Fault::SlowSource,
    Fault::Pressure,
    Fault::Failover,
    Fault::TwoRelays,
    Fault::LateCommit,
];
