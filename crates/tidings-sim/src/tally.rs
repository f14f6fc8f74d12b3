//! How much was run, and what of it happened.

use crate::fault::Fault;

macro_rules! sometimes {
    ($($(#[$doc:meta])* $what:ident = $name:literal;)*) => {
        /// Something that must happen now and then, or the simulation has stopped to mean anything.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Sometimes { $($(#[$doc])* $what,)* }

        impl Sometimes {
            /// Everything of the kind.
            pub const ALL: &'static [Self] = &[$(Self::$what),*];

            /// How it is printed.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$what => $name),* }
            }
        }
    };
}

sometimes! {
    /// A read was answered from L1 as good.
    Hit = "hit";
    /// A fill was kept.
    Kept = "fill kept";
    /// A fill was refused because a newer version is known.
    BelowFloor = "fill below the floor";
    /// A fill was refused because what it was derived from had moved.
    Moved = "fill outrun";
    /// A fill was refused because an epoch had been opened.
    NewEpoch = "fill from before the epoch";
    /// A fill was refused because floors had been forgotten.
    Forgotten = "fill refused for forgotten floors";
    /// An answer was labelled stale.
    LabelledStale = "labelled stale";
    /// An answer was labelled unverified.
    LabelledUnverified = "labelled unverified";
    /// A read was refused.
    Refused = "read refused";
    /// A token was honoured by going past what was cached.
    TokenMissed = "token beyond the cache";
    /// An event was parked.
    Parked = "event parked";
    /// A gap was declared.
    Gap = "gap";
    /// An entry was brought from L2 to L1.
    Promoted = "promotion";
    /// L2 was not live, and was passed by.
    Bypassed = "L2 bypassed";
    /// A new timeline was heard of.
    NewTimeline = "new timeline";
    /// An event arrived whose effect had been overtaken.
    OldNews = "old news";
    /// A delete was shown as absence.
    Absent = "absence shown";
    /// The shared level had an answer.
    SharedHit = "L2 hit";
    /// A fill of the shared level was kept.
    SharedKept = "L2 fill kept";
    /// A fill of the shared level was refused.
    SharedRefused = "L2 fill refused";
    /// An epoch of the shared level was opened.
    SharedOpened = "L2 epoch opened";
    /// News could not be told to the shared level, and waited.
    SharedWaited = "L2 news waited";
}

/// Running totals of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Histories run.
    pub histories: u64,
    /// Steps of any actor.
    pub operations: u64,
    /// Commits made.
    pub commits: u64,
    /// Reads answered and judged.
    pub reads: u64,
    faults: [u64; Fault::ALL.len()],
    sometimes: [u64; Sometimes::ALL.len()],
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            histories: 0,
            operations: 0,
            commits: 0,
            reads: 0,
            faults: [0; Fault::ALL.len()],
            sometimes: [0; Sometimes::ALL.len()],
        }
    }
}

impl Tally {
    /// A fault has struck.
    pub fn struck(&mut self, fault: Fault) {
        if let Some(count) = self.faults.get_mut(fault as usize) {
            *count += 1;
        }
    }

    /// It has happened.
    pub fn happened(&mut self, what: Sometimes) {
        if let Some(count) = self.sometimes.get_mut(what as usize) {
            *count += 1;
        }
    }

    /// How often this fault struck.
    #[must_use]
    pub fn faults(&self, fault: Fault) -> u64 {
        self.faults.get(fault as usize).copied().unwrap_or(0)
    }

    /// How often this happened.
    #[must_use]
    pub fn sometimes(&self, what: Sometimes) -> u64 {
        self.sometimes.get(what as usize).copied().unwrap_or(0)
    }

    /// Adds another's totals.
    pub fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.operations += other.operations;
        self.commits += other.commits;
        self.reads += other.reads;
        self.faults.iter_mut().zip(other.faults).for_each(|(mine, theirs)| *mine += theirs);
        self.sometimes.iter_mut().zip(other.sometimes).for_each(|(mine, theirs)| *mine += theirs);
    }
}
