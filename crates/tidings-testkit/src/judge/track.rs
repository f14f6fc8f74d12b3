//! What is known of one entity.

use std::time::Duration;

use tidings_core::{Stamp, Timeline};

use super::in_force::Windows;
use super::seen::Chain;
use super::versions::Versions;
use crate::history::Nanos;

/// One entity. In this order: most answers need only the newest version and what the copy was seen to show, which are
/// side by side.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Track {
    pub(super) versions: Versions,
    pub(super) seen: PerCopy<Chain>,
    pub(super) got: PerCopy<Got>,
    pub(super) windows: Windows,
    /// Revocations and the times from which nothing older may be answered; both rise.
    pub(super) revoked: Vec<(Stamp, Nanos)>,
    /// The whole times after which they bind, in the order of the versions.
    pub(super) slas: Vec<(Stamp, Duration)>,
    /// So often something was recorded of its versions.
    pub(super) commits: u32,
    pub(super) kind: u16,
    /// Whether it is among those that have something to forget.
    pub(super) is_listed: bool,
}

/// What one copy took in.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Got {
    /// The newest version applied.
    pub(super) newest: Stamp,
    /// The newest timeline heard of.
    pub(super) timeline: Option<Timeline>,
}

/// So many copies have their place beside the entity itself.
const NEAR: usize = 4;

/// Something of every copy.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct PerCopy<T> {
    near: [T; NEAR],
    far: Vec<T>,
}

impl<T: Copy + Default> PerCopy<T> {
    fn clear(&mut self) {
        self.near = Default::default();
        self.far.clear();
    }

    pub(super) fn of(&self, copy: u32) -> T {
        let at = copy as usize;
        let known = if at < NEAR { self.near.get(at) } else { self.far.get(at - NEAR) };
        known.copied().unwrap_or_default()
    }

    pub(super) fn of_mut(&mut self, copy: u32) -> Option<&mut T> {
        let at = copy as usize;
        if at < NEAR {
            return self.near.get_mut(at);
        }
        let at = at - NEAR;
        if self.far.len() <= at {
            self.far.resize(at + 1, T::default());
        }
        self.far.get_mut(at)
    }
}

impl Track {
    pub(super) fn clear(&mut self) {
        self.versions.clear();
        self.seen.clear();
        self.got.clear();
        self.windows.clear();
        self.revoked.clear();
        self.slas.clear();
        (self.commits, self.is_listed) = (0, false);
    }

    /// Whether there is, or will be, something to forget.
    pub(super) const fn has_past(&self) -> bool {
        self.versions.entries().len() > 1
            || !self.windows.is_empty()
            || !self.revoked.is_empty()
            || !self.slas.is_empty()
    }

    /// Keeps only revocations that no newer one binds earlier than.
    pub(super) fn revoke(&mut self, stamp: Stamp, at: Nanos) {
        let revoked = &mut self.revoked;
        let place = revoked.partition_point(|(older, _)| *older < stamp);
        if revoked.get(place).is_some_and(|(_, earlier)| *earlier <= at) {
            return;
        }
        // Both rise: what is older and binds no earlier is just before; of the same version there may be one after.
        let is_same = revoked.get(place).is_some_and(|(known, _)| *known == stamp);
        let from = revoked.partition_point(|(_, binds)| *binds < at).min(place);
        revoked.splice(from..place + usize::from(is_same), [(stamp, at)]);
    }

    pub(super) fn note_sla(&mut self, stamp: Stamp, sla: Duration) {
        let place = self.slas.partition_point(|(of, _)| *of <= stamp);
        self.slas.insert(place, (stamp, sla));
    }

    /// More than one only if the commit was recorded more than once.
    pub(super) fn slas_of(&self, stamp: Stamp) -> impl Iterator<Item = Duration> {
        let from = self.slas.partition_point(|(of, _)| *of < stamp);
        self.slas.iter().skip(from).take_while(move |(of, _)| *of == stamp).map(|(_, sla)| *sla)
    }

    /// The newest revocation that bound before then.
    pub(super) fn revoked_before(&self, time: Nanos) -> Option<Stamp> {
        let bound = self.revoked.partition_point(|(_, at)| *at < time);
        self.revoked.get(bound.checked_sub(1)?).map(|(stamp, _)| *stamp)
    }

    /// Forgets what no longer counts once this is known to have been before the history.
    pub(super) fn start_at(&mut self, stamp: Stamp) {
        self.windows.baseline(stamp);
        self.revoked.retain(|(revoked, _)| *revoked > stamp);
        self.slas.retain(|(revoking, _)| *revoking > stamp);
    }
}
