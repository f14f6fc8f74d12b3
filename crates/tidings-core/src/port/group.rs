//! Sharing a group's work: who has which partitions.

use std::time::Duration;

use super::Boxed;
use crate::error::Result;
use crate::position::{Partition, Position};

/// What happened to a member's share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These partitions are this member's from now on; begin at these positions, which are the group's committed ones,
    /// or the beginning.
    Assigned(Vec<Position>),
    /// These are being taken away: stop, commit, then [`Membership::release`] them. Others wait for that.
    Revoked(Vec<Partition>),
    /// These were taken away already, and somebody else may have them: stop. Commits are refused.
    Lost(Vec<Partition>),
}

/// One member of a group that shares the partitions of some topics.
///
/// Changes are told one after another: nothing further happens to a partition that is being taken away before it was
/// released, or its member's patience is at its end.
pub trait Membership: Send + Sync {
    /// The next change of this member's share. Dropping it is safe: no change is lost.
    ///
    /// An error that can be retried is told once, and changes may follow it. [`crate::Code::STOPPING`]: the group was left.
    fn changed(&self) -> Boxed<'_, Result<Change>>;

    /// The driver of these partitions has stopped and committed: they may go to others.
    fn release(&self, partitions: &[Partition]);

    /// Records positions of partitions that this member holds, all or nothing, durably.
    ///
    /// [`crate::Code::FENCED`]: a change that was told, or will be, has taken one of them away; then nothing was recorded.
    /// It is never said of a partition that stays. A partition counts as held from when its `Assigned` was told, so that
    /// a driver that has not heard of losing it cannot record an old position over what others did since.
    fn commit<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>>;

    /// How long others wait for a release.
    fn patience(&self) -> Duration;

    /// Leaves the group: everything held may go to others at once, and nothing more is told.
    fn leave(&self);
}
