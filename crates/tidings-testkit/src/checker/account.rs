//! Who must account for which events.

use std::sync::Arc;

use tidings_core::Entity;

use crate::history::Nanos;

/// Copies are bits of a word.
pub(super) const MOST_COPIES: usize = 64;

/// One copy's duty.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) copy: usize,
    pub(super) kind: Option<Arc<str>>,
    pub(super) from: Nanos,
}

/// A copy and the time from which its events are expected.
pub(super) type Expected = (usize, Nanos);

/// The bit of a copy; none for one beyond the limit, which the verdict refuses.
pub(super) const fn bit(copy: usize) -> u64 {
    if copy < MOST_COPIES { 1 << copy } else { 0 }
}

pub(super) fn subscribe(subscriptions: &mut Vec<Subscription>, new: Subscription) {
    match subscriptions.iter_mut().find(|known| known.copy == new.copy && known.kind == new.kind) {
        Some(known) => known.from = known.from.max(new.from),
        None => subscriptions.push(new),
    }
}

/// The copies that must account for this entity's events, each once.
pub(super) fn expected_of(subscriptions: &[Subscription], entity: &Entity) -> Vec<Expected> {
    let mut expected: Vec<Expected> = subscriptions
        .iter()
        .filter(|s| s.copy < MOST_COPIES && s.kind.as_deref().is_none_or(|kind| kind == entity.kind()))
        .map(|s| (s.copy, s.from))
        .collect();
    expected.sort_unstable();
    // Two subscriptions of one copy that both cover the entity: the earlier time stands.
    expected.dedup_by_key(|(copy, _)| *copy);
    expected
}
