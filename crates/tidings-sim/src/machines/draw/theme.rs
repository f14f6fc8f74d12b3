//! What some histories are about: a small world in which a few things that belong together go wrong often.
//!
//! A fault that is rare and a size that is rare hardly ever meet by chance alone. A theme brings them together, and leaves
//! out what would only take steps; what happens then is still chance.

use super::{Nature, React, Setup, Style, Turns};
use crate::choices::Choices;
use crate::fault::Fault;

/// What a history is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    /// Anything.
    Broad,
    /// What is in force for a while, changed in place, by clocks that differ.
    Windows,
    /// Answers that tell no versions, and loads that are outrun.
    Loose,
    /// Rows that can be read only after their events are out, and loads that events begin.
    Early,
    /// Replicas that lag, in a process whose consumer misses news.
    Lagging,
}

impl Theme {
    /// Many histories are broad.
    pub(super) fn draw(choices: &mut Choices) -> Self {
        match choices.below(16) {
            0..6 => Self::Broad,
            6 => Self::Windows,
            7..11 => Self::Loose,
            11..13 => Self::Early,
            _ => Self::Lagging,
        }
    }

    /// The faults that it is about, and those that may come on top of them.
    pub(super) const fn faults(self) -> (&'static [Fault], &'static [Fault]) {
        match self {
            Self::Broad => (&[], &[]),
            Self::Windows => (&[Fault::ClockSkew], &[Fault::Delay, Fault::LateCommit]),
            Self::Loose => (&[Fault::Wipe], &[Fault::Poison]),
            Self::Early => (&[Fault::EarlyEvent], &[Fault::Wipe, Fault::Kill, Fault::Truncation]),
            Self::Lagging => (&[Fault::LaggingRead], &[Fault::Kill, Fault::Delay, Fault::Truncation]),
        }
    }

    /// A world no larger than it takes.
    pub(super) fn narrow(self, setup: &mut Setup, choices: &mut Choices) {
        if self == Self::Broad {
            return;
        }
        (setup.entities, setup.partitions, setup.copies, setup.view_count) = (1, 1, 1, 1);
        (setup.projection, setup.steps) = (None, 40);
        setup.natures[0] = if self == Self::Windows { Nature::Effective } else { Nature::Plain };
        setup.reads = 3 + choices.below(5);
        match self {
            Self::Broad => {}
            Self::Windows => {
                setup.exists = true;
                setup.turns = Turns { mishaps: 1, ..setup.turns };
            }
            Self::Loose => {
                (setup.exists, setup.readers, setup.commits) = (true, 2, setup.commits + 1);
                // Whoever remembers a version asks for no less, and goes past what tells none.
                setup.strangers = 700;
                setup.turns = Turns { feeds: 1, loads: 3, faults: 6, ..setup.turns };
                // It takes two loads that pass each other, and somebody who looks afterwards.
                (setup.steps, setup.reads) = (64, setup.reads + 2);
            }
            // Some consumers begin late, when there is something to miss.
            Self::Early | Self::Lagging => {
                (setup.exists, setup.follows) = (true, !choices.chance(500));
                setup.late = if setup.follows { 0 } else { choices.below(24).into() };
                setup.asks &= self == Self::Early || choices.chance(200);
                setup.turns.faults = 6;
            }
        }
    }

    /// The style of a view, if that is no matter of chance.
    pub(super) fn style(self, choices: &mut Choices) -> Option<Style> {
        let loose = match self {
            Self::Broad => return None,
            Self::Windows | Self::Lagging => false,
            Self::Loose => true,
            Self::Early => choices.chance(600),
        };
        Some(match loose {
            false => Style::Versioned,
            true if choices.chance(350) => Style::Region,
            true => Style::Unversioned,
        })
    }

    /// What the events of a view do, if that is no matter of chance.
    pub(super) fn react(self, choices: &mut Choices) -> Option<React> {
        match self {
            Self::Windows => Some(React::Update),
            Self::Early if choices.chance(500) => Some(React::Refresh),
            _ => None,
        }
    }
}
