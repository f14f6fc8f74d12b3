//! What can be done to a run: the catalogue.

use std::time::Duration;

/// A server that the platform stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Engine {
    Postgres,
    Kafka,
    Redis,
}

/// One thing that goes wrong, and is over after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// kill -9 of the relay that leads.
    KillLeader,
    /// SIGSTOP of the relay that leads, and SIGCONT later.
    PauseLeader,
    /// The relay that leads is killed whenever it comes back: the other one has to lead.
    LeaderGone,
    KillCopy,
    PauseCopy,
    Kill(Engine),
    Pause(Engine),
    /// A clean stop and start.
    Restart(Engine),
    /// A stop without a checkpoint, and a start.
    StopAtOnce(Engine),
    Cut(Engine),
    Delay(Engine),
    HalfOpen(Engine),
    /// So few bytes per second that a backlog grows.
    Throttle(Engine),
    /// Redis's FLUSHALL.
    Flush,
    /// Redis comes back with a dump from before.
    OldDump,
    /// Redis has room for next to nothing.
    Evict,
    SlotDropped,
    /// The log forgets what a copy has not yet read.
    Truncated,
    /// Everything is published again, after newer events.
    SentAgain,
    DiskFull(Engine),
}

use Engine::{Kafka, Postgres, Redis};
use Fault::{
    Cut, Delay, DiskFull, Evict, Flush, HalfOpen, Kill, KillCopy, KillLeader, LeaderGone, OldDump, Pause,
    PauseCopy, PauseLeader, Restart, SentAgain, SlotDropped, StopAtOnce, Throttle, Truncated,
};

/// Every fault with its name, its family, and for how many seconds it lasts.
const CATALOGUE: &[(Fault, &str, &str, u64)] = &[
    (KillLeader, "relay-kill", "relay", 0),
    (PauseLeader, "relay-pause", "relay", 8),
    (LeaderGone, "relay-gone", "relay", 12),
    (KillCopy, "copy-kill", "copy", 0),
    (PauseCopy, "copy-pause", "copy", 8),
    (Kill(Kafka), "kafka-kill", "kafka", 3),
    (Pause(Kafka), "kafka-pause", "kafka", 8),
    (Restart(Kafka), "kafka-restart", "kafka", 0),
    (StopAtOnce(Postgres), "postgres-stop", "postgres", 2),
    (Kill(Postgres), "postgres-kill", "postgres", 2),
    (Pause(Postgres), "postgres-pause", "postgres", 8),
    (Kill(Redis), "redis-kill", "redis", 3),
    (Pause(Redis), "redis-pause", "redis", 8),
    (Flush, "redis-flush", "redis", 0),
    (OldDump, "redis-old-dump", "redis", 5),
    (Evict, "redis-evict", "redis", 8),
    (Cut(Postgres), "postgres-cut", "network", 5),
    (Delay(Postgres), "postgres-delay", "network", 8),
    (HalfOpen(Postgres), "postgres-half-open", "network", 8),
    (Cut(Kafka), "kafka-cut", "network", 5),
    (Delay(Kafka), "kafka-delay", "network", 8),
    (HalfOpen(Kafka), "kafka-half-open", "network", 8),
    (Throttle(Kafka), "kafka-throttle", "network", 8),
    (Cut(Redis), "redis-cut", "network", 5),
    (Delay(Redis), "redis-delay", "network", 8),
    (HalfOpen(Redis), "redis-half-open", "network", 8),
    (SlotDropped, "slot-dropped", "loss", 0),
    (Truncated, "topic-truncated", "loss", 5),
    (SentAgain, "sent-again", "repeat", 0),
    (DiskFull(Postgres), "postgres-disk-full", "disk", 10),
    (DiskFull(Kafka), "kafka-disk-full", "disk", 10),
];

/// What is not in the catalogue, and why: said in the table, so that nobody thinks that it was run.
pub(crate) const NOT_BUILT: &[(&str, &str)] =
    &[("group-rewound", "a group's committed positions cannot be set back while it has members")];

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Postgres => "PostgreSQL",
            Kafka => "Kafka",
            Redis => "Redis",
        }
    }
}

impl Fault {
    /// All of them, in the order of the table.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        CATALOGUE.iter().map(|(fault, ..)| *fault)
    }

    pub(crate) fn name(self) -> &'static str {
        self.entry().map_or("", |(_, name, ..)| name)
    }

    /// The name of the run that it is in: a start is dear, so families share it, but nobody shares the log that lost something or
    /// the disks that are small.
    pub(crate) fn run(self) -> &'static str {
        match self.family() {
            "relay" | "copy" | "repeat" => "processes",
            "kafka" | "postgres" | "redis" => "servers",
            family => family,
        }
    }

    /// The name of those that are alike.
    pub(crate) fn family(self) -> &'static str {
        self.entry().map_or("", |(_, _, family, _)| family)
    }

    /// How long it lasts.
    pub(crate) fn lasts(self) -> Duration {
        Duration::from_secs(self.entry().map_or(0, |(.., seconds)| *seconds))
    }

    /// How long after its end everything has to be well again. That is for what never recovers: on a machine that has other
    /// things to do, what takes two seconds can take a minute.
    pub(crate) fn deadline(self) -> Duration {
        Duration::from_secs(match self {
            // The server itself has to come up, and then everybody's pauses to run out.
            DiskFull(_) | Kill(Kafka) | Restart(Kafka) => 240,
            // All of the outbox goes through the log once more.
            SentAgain | SlotDropped | Truncated => 240,
            _ => 180,
        })
    }

    fn entry(self) -> Option<&'static (Self, &'static str, &'static str, u64)> {
        CATALOGUE.iter().find(|(fault, ..)| *fault == self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_has_one_name_and_a_family() {
        let names: BTreeSet<_> = Fault::all().map(Fault::name).collect();
        let faults: BTreeSet<_> = Fault::all().collect();
        assert_eq!((names.len(), faults.len()), (CATALOGUE.len(), CATALOGUE.len()));
        assert!(Fault::all().all(|fault| !fault.family().is_empty() && !names.contains(fault.family())));
    }
}
