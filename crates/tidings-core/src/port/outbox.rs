//! The relay's view of a source's outbox.

use std::sync::Arc;
use std::time::Duration;

use super::Boxed;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::time::Time;

/// A place in the outbox, in commit order. Zero is before the first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cursor(pub u64);

/// One committed row.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Its place; resuming after it delivers everything committed later.
    pub cursor: Cursor,
    /// The event, or why the row cannot be read as one.
    pub event: std::result::Result<Arc<Event>, Arc<Error>>,
}

/// The answer to a scan.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Rows in commit order.
    pub rows: Vec<Pending>,
    /// Whether everything committed before [`Scan::time`] is in `rows` or was before the cursor.
    pub complete: bool,
    /// The source's clock, read before it was looked what is committed. Only a complete scan vouches for it.
    pub time: Time,
}

/// Where committed events wait for the relay. One resume truth: the acknowledged cursor.
pub trait Outbox: Send + Sync {
    /// Rows after `after`, oldest first, at most `limit`.
    fn scan(&self, after: Cursor, limit: usize) -> Boxed<'_, Result<Scan>>;

    /// The last acknowledged cursor.
    fn acknowledged(&self) -> Boxed<'_, Result<Cursor>>;

    /// Records that everything up to `cursor` is durable in the log. Never lowers it.
    fn acknowledge(&self, cursor: Cursor) -> Boxed<'_, Result<()>>;

    /// Sets one row aside with its reason, so that `parked` lists it; the acknowledged cursor may then pass it.
    fn park<'a>(&'a self, cursor: Cursor, reason: &'a Error) -> Boxed<'a, Result<()>>;

    /// Resolves when there may be rows after `after`, or after `at_most`; may resolve early.
    fn wait(&self, after: Cursor, at_most: Duration) -> Boxed<'_, Result<()>>;
}
