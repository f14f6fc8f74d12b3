//! The guards that a world can leave out, to show that it would notice.
//!
//! A guard is left out by the world, in the part of a driver or of a store that the world plays; the shipped code has no
//! switch for it. A mutant that no seed finds is a hole in the simulator.

use crate::world::Depth;

macro_rules! mutants {
    ($($(#[$doc:meta])* $guard:ident = $name:literal at [$($depth:ident),*];)*) => {
        /// A guard that is left out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Mutant { $($(#[$doc])* $guard,)* }

        impl Mutant {
            /// Every mutant.
            pub const ALL: &'static [Self] = &[$(Self::$guard),*];

            /// How it is named on the command line and in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$guard => $name),* }
            }

            /// At which depths it exists.
            #[must_use]
            pub const fn depths(self) -> &'static [Depth] {
                match self { $(Self::$guard => &[$(Depth::$depth),*]),* }
            }
        }
    };
}

mutants! {
    /// Whatever a fill brings is kept, and whatever is held is served.
    AcceptRule = "accept-rule" at [Core, Drivers];
    /// A floor is set to what the latest event says, also downwards.
    FloorMax = "floor-max" at [Core];
    /// A fill's ticket is taken after it has read the source.
    TicketBeforeRead = "ticket-before-read" at [Core, Drivers];
    /// Rows are read from the outbox in the order of their commits.
    CommitOrder = "commit-order" at [Core];
    /// A scan that left rows behind says so.
    IncompleteScan = "incomplete-scan" at [Core];
    /// Rows are acknowledged once they are in the log.
    AppendBeforeAcknowledge = "append-before-acknowledge" at [Core];
    /// A mark stands behind the batch that it speaks of.
    MarkAfterBatch = "mark-after-batch" at [Core];
    /// A row that cannot be read is a gap.
    UnreadableRowIsGap = "unreadable-row-is-gap" at [Core];
    /// A mark counts once the events before it have taken effect.
    MarkAfterEvents = "mark-after-events" at [Core];
    /// A topic is known no better than its least known partition.
    LeastKnownPartition = "least-known-partition" at [Core];
    /// A consumer that begins opens an epoch.
    BeginOpensEpoch = "begin-opens-epoch" at [Core];
    /// A gap opens an epoch.
    GapOpensEpoch = "gap-opens-epoch" at [Core];
    /// A new timeline opens an epoch.
    TimelineOpensEpoch = "timeline-opens-epoch" at [Core];
    /// A new timeline outranks every version of an old one.
    TimelineOrder = "timeline-order" at [Core];
    /// What is from before an epoch is unverified.
    EpochMakesUnverified = "epoch-makes-unverified" at [Core];
    /// After an epoch, marks vouch only for loads from when every row whose event may have been missed can be read.
    FollowedAfterVisibility = "followed-after-visibility" at [Core];
    /// Silence is not freshness: what is known must be younger than the bound.
    BoundChecked = "bound-checked" at [Core];
    /// Floors outlive the entries that they guard.
    FloorOutlivesEntry = "floor-outlives-entry" at [Core];
    /// Whoever had to forget floors refuses what they may have guarded.
    ForgettingIsKnown = "forgetting-is-known" at [Core];
    /// What a fill has seen is a floor until its event has come.
    FillsTeach = "fills-teach" at [Core];
    /// What was learned before an epoch is no settled matter before floors may be forgotten.
    EpochKeepsLearned = "epoch-keeps-learned" at [Core];
    /// A background refresh is a fill like any other.
    RefreshIsFill = "refresh-is-fill" at [Core];
    /// Of two loads of one key that tell no versions, the one that was replaced counts for nothing.
    ReplacedCountsForNothing = "replaced-counts-for-nothing" at [Core];
    /// What tells no version is kept only if it was read when every row that news was about could be read.
    UnversionedAfterVisibility = "unversioned-after-visibility" at [Core];
    /// A load is as old as its ticket.
    SeenAtTicket = "seen-at-ticket" at [Core];
    /// A label is that of the read, not of the load that it waited for.
    LabelAtBegin = "label-at-begin" at [Core];
    /// Value and version come from one snapshot.
    OneSnapshot = "one-snapshot" at [Core];
    /// A load from a replica says how old what it has read may be.
    AsOfDeclared = "as-of-declared" at [Core];
    /// An answer without a row depends on the row that may appear.
    AbsenceDepends = "absence-depends" at [Core];
    /// The regions of an answer are held to the ticket.
    RegionAtTicket = "region-at-ticket" at [Core];
    /// No answer outlives the next boundary of its windows.
    ValidUntil = "valid-until" at [Core];
    /// A session's token is honoured.
    TokenHeld = "token-held" at [Core];
    /// An update changes only the version just before it.
    UpdateFollows = "update-follows" at [Core];
    /// An update is in force by the source's clock, wherever that may stand.
    WindowOfSource = "window-of-source" at [Core];
    /// What an update puts in place ends with its window.
    UpdateEndsWithWindow = "update-ends-with-window" at [Core];
    /// A parked event raises the floor of its entity.
    ParkRaisesFloor = "park-raises-floor" at [Core];
    /// A parked event bumps every region.
    ParkBumps = "park-bumps" at [Core];
    /// A position is committed after its effects.
    ApplyBeforeCommit = "apply-before-commit" at [Core];
    /// A projection keeps the newest version.
    ProjectionComparesVersions = "projection-compares-versions" at [Core];
    /// A projection's tombstone keeps its version.
    TombstoneKeepsVersion = "tombstone-keeps-version" at [Core];
    /// A projection's position comes back with its state.
    PositionWithState = "position-with-state" at [Core];
    /// A gap in what a consumer reads opens no epoch in its copy.
    DriverGapEpoch = "driver-gap-epoch" at [Drivers];
    /// A copy that a consumer begins to follow for goes on as if it had followed all along.
    DriverBeginEpoch = "driver-begin-epoch" at [Drivers];
    /// A parked event leaves its entity's floor where it was.
    DriverParkFence = "driver-park-fence" at [Drivers];
    /// Of several floors that a batch raises, the last is forgotten.
    DriverRaise = "driver-raise" at [Drivers];
    /// A region is not bumped.
    DriverBump = "driver-bump" at [Drivers];
    /// A mark is taken to speak for the time at which it arrives.
    DriverMarkTime = "driver-mark-time" at [Drivers];
    /// A batch's mark counts before what the batch raises.
    DriverMarkOrder = "driver-mark-order" at [Drivers];
    /// A consumer's position is kept before what it read has taken effect.
    DriverCommitAfterApply = "driver-commit-after-apply" at [Drivers];
    /// The relay's rows are acknowledged before they are in the log.
    DriverAckAfterAppend = "driver-ack-after-append" at [Drivers];
    /// A scan that left rows behind is said to be complete, so that its mark is early.
    DriverCompleteScan = "driver-complete-scan" at [Drivers];
    /// A row that cannot be read is passed by in silence.
    DriverRowGap = "driver-row-gap" at [Drivers];
    /// Records that are gone or unreadable are passed by in silence.
    DriverLogGap = "driver-log-gap" at [Drivers];
    /// A session's token is not handed on.
    DriverToken = "driver-token" at [Drivers];
    /// A load does not say until when its answer holds.
    DriverValidUntil = "driver-valid-until" at [Drivers];
    /// A load does not declare all that its answer was derived from.
    DriverDependency = "driver-dependency" at [Drivers];
    /// A load from a replica does not say how far that lags.
    DriverAsOf = "driver-as-of" at [Drivers];
    /// A load from a replica says that it lags no more than its own copy.
    DriverInStep = "driver-in-step" at [Drivers];
    /// The clocks of hosts are said to agree.
    DriverClockError = "driver-clock-error" at [Drivers];
    /// A projection takes every event, whatever its version.
    DriverProjectionVersion = "driver-projection-version" at [Drivers];
    /// A projection's position is stored apart from its state, and first.
    DriverProjectionPosition = "driver-projection-position" at [Drivers];
    /// A fill lands in the shared level also where its own placeholder is gone or filled.
    SharedLease = "shared-lease" at [Core];
    /// A fill lands in the shared level below its floor.
    SharedFloor = "shared-floor" at [Core];
    /// A fill lands in the shared level although it was read from before its placeholder's minimum.
    SharedMinimum = "shared-minimum" at [Core];
    /// A fill without a version lands in the shared level although it was read from before what was heard.
    SharedHeard = "shared-heard" at [Core];
    /// A kept fill does not move the position of its bucket.
    SharedTeaches = "shared-teaches" at [Core];
    /// A control record of another life of the store is believed.
    SharedIncarnation = "shared-incarnation" at [Core];
    /// The store's incarnation is that of its process: it does not change when a replica is promoted.
    SharedPromotion = "shared-promotion" at [Core];
    /// A bucket without a control record is live, with nothing heard.
    SharedControl = "shared-control" at [Core];
    /// Epochs are counted on from what the store holds.
    SharedEpoch = "shared-epoch" at [Core];
    /// An epoch is opened without the source's position.
    SharedSeed = "shared-seed" at [Core];
    /// The source's position is read before the bucket is claimed, and kept until a claim succeeds.
    SharedClaim = "shared-claim" at [Core];
    /// News about a key that is not cached leaves a placeholder with the event's own position as its minimum.
    SharedPlaceholder = "shared-placeholder" at [Core];
    /// News about a key that is not cached does not move the position of its bucket.
    SharedPosition = "shared-position" at [Core];
    /// News raises the floor, and the older answer stays.
    SharedDrop = "shared-drop" at [Core];
    /// A value carried by an event is put wherever no newer one stands.
    SharedUpdate = "shared-update" at [Core];
    /// A value carried by an event is only held to the position at which the epoch was opened.
    SharedUpdateStart = "shared-update-start" at [Core];
    /// A new timeline of the source opens no epoch of the shared level.
    SharedTimeline = "shared-timeline" at [Core];
    /// The ticket of a promotion is taken after the shared level has answered.
    PromotionTicket = "promotion-ticket" at [Core];
    /// An answer of the shared level is put into the process's cache without asking the fence.
    PromotionFill = "promotion-fill" at [Core];
    /// The as-of of an answer of the shared level is not held against what the process has heard.
    PromotionAsOf = "promotion-as-of" at [Core];
    /// A standby that has not replayed the beginning of the new timeline says that it is in it.
    StandbyFork = "standby-fork" at [Core];
    /// The as-of of a load is read after its value, from the primary.
    AsOfSnapshot = "as-of-snapshot" at [Core];
}
