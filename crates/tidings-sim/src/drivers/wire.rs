//! The ports as a process sees them: the real ones, at the other end of its link.
//!
//! Some mutants live here too: a wrapper that does what a driver without its guard would have done.

mod log;
mod outbox;
mod store;

pub(super) use log::LogWire;
pub(super) use outbox::OutboxWire;
pub(super) use store::StoreWire;
