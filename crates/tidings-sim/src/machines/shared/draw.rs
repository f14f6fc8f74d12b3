//! What one history is made of: its size, and which faults it knows.

use super::{ENTITIES, KEYS};
use crate::choices::Choices;
use crate::fault::Fault;

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// The relay publishes the next event.
    Publish,
    /// A commit can be read, and its writer is told.
    See,
    /// A member of the group takes a step.
    Member,
    /// A process applies its next event.
    Follow,
    /// A reader takes a step, or begins another read.
    Read,
    /// Somebody commits.
    Commit,
    /// The source's replica, or the store's, catches up a little.
    Replicate,
    /// The store writes its dump.
    Save,
    /// A process's cache evicts an entry.
    EvictCopy,
    /// Something goes wrong.
    Fault(Fault),
}

/// The faults of this world that strike by themselves.
const FAULTS: [Fault; 9] = [
    Fault::Double,
    Fault::Kill,
    Fault::Rebalance,
    Fault::Wipe,
    Fault::OldDump,
    Fault::Eviction,
    Fault::ControlLost,
    Fault::StoreFailover,
    Fault::Failover,
];

/// The faults that change how others act.
const MANNERS: [Fault; 5] =
    [Fault::LaggingRead, Fault::EarlyEvent, Fault::Pressure, Fault::Partition, Fault::Pause];

/// Every fault of this world.
pub(super) const ALL: [Fault; 14] = {
    let mut all = [Fault::Double; 14];
    let mut next = 0;
    while next < all.len() {
        all[next] = if next < 9 { FAULTS[next] } else { MANNERS[next - 9] };
        next += 1;
    }
    all
};

/// Which faults a history knows, as bits, how often they strike, and whether the group's members are at work more than
/// anybody reads.
struct Mix {
    set: u32,
    rate: usize,
    stirs: bool,
}

/// Half of the faults; or only two that strike often, while everybody reads from replicas and some stand still; or what
/// makes the store forget, again and again.
fn mix(choices: &mut Choices) -> Mix {
    let all = (FAULTS.len() + MANNERS.len()) as u32;
    let lags = 1 << FAULTS.len();
    let pauses = 1 << (all - 1);
    let two = |of: u32, choices: &mut Choices| (1 << choices.below(of)) | (1 << choices.below(of));
    match choices.below(10) {
        0..5 => {
            Mix { set: choices.below(1 << all), rate: [1, 3, 9][choices.below(3) as usize], stirs: false }
        }
        5 => Mix { set: two(FAULTS.len() as u32, choices) | lags | pauses, rate: 12, stirs: false },
        _ => {
            let set = two(FORGETS, choices) << FORGETS_FROM | lags;
            // What two members do to each other is seen when one of them is slow; what loads do, when many are made.
            let stirs = choices.chance(500);
            Mix { set: if stirs { set | pauses } else { set }, rate: 9, stirs }
        }
    }
}

/// Those of the faults by which the store forgets something: so many, from this place on.
const FORGETS: u32 = 5;
const FORGETS_FROM: u32 = 3;

/// What one history is made of.
#[derive(Debug, Default)]
pub(super) struct Draw {
    /// How many steps it has before everything comes to rest.
    pub(super) steps: u32,
    /// How many processes read.
    pub(super) copies: usize,
    /// How many keys are read.
    pub(super) keys: u32,
    /// Whether processes keep nothing themselves.
    pub(super) bare: bool,
    /// How long the lease of a miss is.
    pub(super) lease: u64,
    /// How many floors a process keeps.
    pub(super) raised: usize,
    /// Whether the events carry the new state.
    pub(super) carries: bool,
    /// Whether loads tell no version.
    pub(super) untold: bool,
    manners: [bool; MANNERS.len()],
    /// What can happen, as often as it is likely.
    pub(super) acts: Vec<Act>,
}

impl Draw {
    /// Draws another one. Zero is the least of everything.
    pub(super) fn again(&mut self, choices: &mut Choices) {
        self.steps = choices.below(96);
        self.copies = 1 + choices.below(2) as usize;
        let Mix { set, rate, stirs } = mix(choices);
        self.keys = 1 + choices.below(KEYS as u32);
        self.bare = choices.chance(300);
        self.lease = if choices.chance(500) { 20 } else { 2_000 };
        self.untold = choices.chance(200);
        // What events carry has a version: a copy that shows an entity now with one and now without cannot order the two.
        self.carries = !self.untold && choices.chance(400);
        self.manners = std::array::from_fn(|index| set >> (FAULTS.len() + index) & 1 == 1);
        self.raised = if self.has(Fault::Pressure) { 1 } else { 8 };
        let strikes =
            |fault| FAULTS.iter().position(|other| *other == fault).is_some_and(|at| set >> at & 1 == 1);
        let lags = self.has(Fault::LaggingRead) || strikes(Fault::Failover) || strikes(Fault::StoreFailover);
        self.acts.clear();
        // What nothing would come of in this history only takes time.
        for (act, weight, sense) in [
            (Act::Publish, 40, true),
            (Act::See, 24, self.has(Fault::EarlyEvent)),
            (Act::Member, if stirs { 176 } else { 80 }, true),
            (Act::Follow, 24, true),
            (Act::Read, if stirs { 80 } else { 176 }, true),
            (Act::Commit, 32, true),
            (Act::Replicate, 16, lags),
            (Act::Save, 8, strikes(Fault::OldDump)),
            (Act::EvictCopy, 16, true),
        ] {
            self.acts.extend(std::iter::repeat_n(act, if sense { weight } else { 0 }));
        }
        for fault in FAULTS.into_iter().filter(|fault| strikes(*fault)) {
            let often = match fault {
                Fault::Eviction | Fault::Double => 4,
                Fault::ControlLost => 3,
                _ => 1,
            };
            self.acts.extend(std::iter::repeat_n(Act::Fault(fault), often * rate));
        }
    }

    /// Who of so many acts next. With pauses, the last of them hardly ever does.
    pub(super) fn who(&self, of: u32, choices: &mut Choices) -> usize {
        if !self.has(Fault::Pause) {
            return choices.below(of) as usize;
        }
        let pick = choices.below(of * 5);
        (if pick == of * 5 - 1 { of - 1 } else { pick % (of - 1) }) as usize
    }

    /// How many of the entities change: those that somebody reads.
    pub(super) fn entities(&self) -> u32 {
        self.keys.min(ENTITIES as u32)
    }

    /// Whether this history knows a fault that changes how others act.
    pub(super) fn has(&self, fault: Fault) -> bool {
        MANNERS.into_iter().zip(self.manners).any(|(manner, on)| manner == fault && on)
    }
}
