//! What can go wrong in a world. Every kind is counted, and a campaign in which one never struck proves nothing of it.

macro_rules! faults {
    ($($(#[$doc:meta])* $kind:ident = $name:literal;)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Fault { $($(#[$doc])* $kind,)* }

        impl Fault {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// How it is printed.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }
        }
    };
}

faults! {
    /// A message or call takes longer than others.
    Delay = "delay";
    /// A message is lost on the wire; whoever sent it sees a failure or a timeout.
    Loss = "loss";
    /// A message arrives twice.
    Double = "double";
    /// Messages of different entities overtake each other.
    Reorder = "reorder";
    /// It was done, but the caller saw an error.
    LostAnswer = "lost answer";
    /// A process ends at once, and starts again with what was durable.
    Kill = "kill";
    /// A process stands still, and goes on as if nothing had happened.
    Pause = "pause";
    /// A process is cut off from the others.
    Partition = "partition";
    /// The clocks of two machines differ.
    ClockSkew = "clock skew";
    /// A wall clock is set.
    ClockJump = "clock jump";
    /// A read is answered by a replica that lags.
    LaggingRead = "lagging read";
    /// An event is published before its row can be read.
    EarlyEvent = "event before visibility";
    /// Records are removed from the log before they were read.
    Truncation = "log truncation";
    /// A partition changes hands within a group; the old owner may not know.
    Rebalance = "rebalance";
    /// A cache loses everything.
    Wipe = "wipe";
    /// A store comes back from an old dump.
    OldDump = "old dump";
    /// An event that cannot be read or handled.
    Poison = "poison";
    /// A source takes long to answer, or fails.
    SlowSource = "slow source";
    /// Floors and entries are forgotten for want of memory.
    Pressure = "memory pressure";
    /// The source fails over, and issues versions again.
    Failover = "failover";
    /// Two relays publish the same rows.
    TwoRelays = "two relays";
    /// A transaction takes its place early and commits late.
    LateCommit = "late commit";
    /// One entry of a shared store goes, in silence.
    Eviction = "eviction";
    /// The control record of a shared store's bucket goes, and its slots stay.
    ControlLost = "control record lost";
    /// A replica of the shared store takes over with what it has.
    StoreFailover = "store failover";
}
