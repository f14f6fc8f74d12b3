//! Where events that a consumer cannot apply are set aside.

use std::sync::Arc;

use super::Boxed;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::position::Position;

/// An event set aside, with its reason. Its entity's floor was raised, so nothing stale is served meanwhile.
#[derive(Debug, Clone)]
pub struct Parked {
    /// Where it stands in the log.
    pub position: Position,
    /// The event.
    pub event: Arc<Event>,
    /// Why it could not be applied.
    pub reason: Error,
}

/// A consumer's parked events: durable, visible, bounded only by the disk.
pub trait Parking: Send + Sync {
    /// Sets events aside. Parking the same position twice keeps one.
    fn park<'a>(&'a self, group: &'a str, parked: &'a [Parked]) -> Boxed<'a, Result<()>>;

    /// The parked events of a group, oldest first, at most `limit`, and how many there are in all.
    fn parked<'a>(&'a self, group: &'a str, limit: usize) -> Boxed<'a, Result<(Vec<Parked>, u64)>>;
}
