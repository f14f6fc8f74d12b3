//! What a view counts.

use std::sync::atomic::{AtomicU64, Ordering};

use tidings_core::fence::Refusal;

const LANES: usize = 16;

/// A counter on its own cache line.
#[derive(Default)]
#[repr(align(64))]
struct Lane(AtomicU64);

/// Running totals since the view was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ViewCounts {
    /// Answers from the cache. Counted without a locked instruction, so two threads that hit the same key at the same
    /// moment may count as one.
    pub hits: u64,
    /// Reads that had to load, or wait for a load.
    pub misses: u64,
    /// Of the misses, those that waited for a load already in the air.
    pub coalesced: u64,
    /// Loads begun.
    pub loads: u64,
    /// Loads that failed or timed out.
    pub load_failures: u64,
    /// Fills that the fence refused, because they were older than what is known.
    pub refused_old: u64,
    /// Fills refused for any other cause: a moved epoch, a load too long, a fence that had to forget.
    pub refused_other: u64,
    /// Answers served beyond their bound, and labelled so.
    pub stale: u64,
    /// Answers served before they could be verified, and labelled so.
    pub unverified: u64,
    /// Entries that their time to live corrected, and no event had: a missed invalidation, or one still on its way.
    pub corrected_by_ttl: u64,
    /// Panics in the code that the view was given for keys and updates; each left an answer invalidated.
    pub defects: u64,
    /// Answers that came from the shared level.
    pub l2_hits: u64,
    /// Looks that found nothing there, and loaded for it.
    pub l2_misses: u64,
    /// Reads that waited for another process to load into it.
    pub l2_waits: u64,
    /// Looks that it did not answer: it is not live, failed, or is left alone.
    pub l2_bypasses: u64,
    /// Its answers that were not taken: they were older than what is known here, or this copy knows too little to tell.
    pub l2_refused: u64,
    /// Loads that were kept here and not offered to it: they may lack something that it has heard of. A transaction of the
    /// source that stays open for long is the usual cause.
    pub l2_withheld: u64,
    /// How often the source of the shared level did not say where it stands: until it does, nothing of the level is taken.
    pub source_failures: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    hits: [Lane; LANES],
    pub(crate) misses: AtomicU64,
    pub(crate) coalesced: AtomicU64,
    pub(crate) loads: AtomicU64,
    pub(crate) load_failures: AtomicU64,
    refused_old: AtomicU64,
    refused_other: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) unverified: AtomicU64,
    pub(crate) corrected_by_ttl: AtomicU64,
    pub(crate) defects: AtomicU64,
    pub(crate) l2_hits: AtomicU64,
    pub(crate) l2_misses: AtomicU64,
    pub(crate) l2_waits: AtomicU64,
    pub(crate) l2_bypasses: AtomicU64,
    pub(crate) l2_refused: AtomicU64,
    pub(crate) l2_withheld: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// A load and a store, not a locked addition: this is the hit path.
    pub(crate) fn hit(&self, key: u64) {
        let Lane(lane) = &self.hits[usize::try_from(key).unwrap_or(0) % LANES];
        lane.store(lane.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        count(match refusal {
            Refusal::BelowFloor(_) | Refusal::Moved(_) => &self.refused_old,
            Refusal::Epoch | Refusal::Late | Refusal::Forgotten => &self.refused_other,
        });
    }

    pub(crate) fn totals(&self, source_failures: u64) -> ViewCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ViewCounts {
            hits: self.hits.iter().map(|Lane(lane)| of(lane)).sum(),
            misses: of(&self.misses),
            coalesced: of(&self.coalesced),
            loads: of(&self.loads),
            load_failures: of(&self.load_failures),
            refused_old: of(&self.refused_old),
            refused_other: of(&self.refused_other),
            stale: of(&self.stale),
            unverified: of(&self.unverified),
            corrected_by_ttl: of(&self.corrected_by_ttl),
            defects: of(&self.defects),
            l2_hits: of(&self.l2_hits),
            l2_misses: of(&self.l2_misses),
            l2_waits: of(&self.l2_waits),
            l2_bypasses: of(&self.l2_bypasses),
            l2_refused: of(&self.l2_refused),
            l2_withheld: of(&self.l2_withheld),
            source_failures,
        }
    }
}
