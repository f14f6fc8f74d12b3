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
    /// The whole times after which they bind, as evidence.
    pub(super) slas: Vec<(Stamp, Duration)>,
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
        self.is_listed = false;
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
        if revoked.iter().any(|(newer, earlier)| *newer >= stamp && *earlier <= at) {
            return;
        }
        revoked.retain(|(older, later)| *older > stamp || *later < at);
        let place = revoked.partition_point(|(older, _)| *older < stamp);
        revoked.insert(place, (stamp, at));
    }
}
