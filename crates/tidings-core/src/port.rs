//! The few places where the core meets a backend.
//!
//! Object-safe, called per batch or per miss, never on the hit path. Backends classify their failures into
//! [`crate::Error`]; the rules here and in the drivers decide what to do about them.

use std::future::Future;
use std::pin::Pin;

pub mod group;
pub mod log;
pub mod outbox;
pub mod parking;
pub mod store;

pub use group::{Change, Membership};
pub use log::{Append, Log, Read, ReadLimit, Record, Retention, Stored};
pub use outbox::{Cursor, Outbox, Pending, Scan};
pub use parking::{Parked, Parking};
pub use store::{Batch, Store};

/// What an object-safe async method returns.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
