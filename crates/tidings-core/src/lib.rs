//! The words, rules, state machines and ports of Tidings.
//!
//! This crate decides; others act. It has no clock, no randomness, no threads and no I/O: time and random numbers come
//! in as values, so every rule here can be tested and simulated exactly as it runs in production.
//!
//! Start with [`fence`]: the rule that the whole product stands on. Then:
//!
//! - the words: [`Entity`], [`Region`], [`Version`], [`Stamp`], [`Time`], [`Topic`], [`Position`], [`Mark`], [`Event`];
//! - [`envelope`]: an event as `CloudEvents` bytes, and back;
//! - [`decision`]: what a consumer does with an event, folded into few actions;
//! - [`shared`]: what a cache level that many processes share decides;
//! - [`relay`] and [`consumer`]: the state machines that the drivers perform;
//! - [`truth`] and [`certificate`]: what a view promises and what a read can prove;
//! - [`port`]: the few places where a backend plugs in;
//! - [`error`]: failures as instructions.

#![deny(clippy::indexing_slicing)]

pub mod certificate;
pub mod consumer;
pub mod decision;
pub mod entity;
pub mod envelope;
pub mod error;
pub mod event;
pub mod fence;
pub mod name;
pub mod port;
pub mod position;
pub mod relay;
pub mod retry;
pub mod shared;
pub mod time;
pub mod truth;
pub mod version;

pub use certificate::{Certificate, Freshness, Path};
pub use decision::{Action, Decide, Decision, Outcome, Plan};
pub use entity::{Entity, Region};
pub use envelope::DraftEvent;
pub use error::{Code, Error, Result};
pub use event::{Data, Draft, Event};
pub use position::{Mark, Offset, Partition, Position, Topic};
pub use time::{Time, Window};
pub use truth::Truth;
pub use version::{Stamp, Timeline, Version};
