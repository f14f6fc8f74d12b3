//! Tidings on Redis and Valkey: the shared cache.
//!
//! Many processes fill one cache, and the store that holds it can lose anything at any time: flushed, evicted,
//! restarted from an old dump, failed over to a replica that lags. The rules under which that never turns into a wrong
//! answer are `tidings_core::shared`; here they run as scripts, each one atomic step in one slot of a Cluster.
//!
//! - [`RedisLevel`]: the reader's side: look up, fill, give up ([`Level`](tidings_core::shared::level::Level));
//! - [`RedisStore`]: the consumer's side: tell what has changed, open epochs ([`Store`](tidings_core::port::Store));
//! - [`doctor()`]: whether a server is fit for it;
//! - [`layout`]: what is stored, byte by byte;
//! - `script/*.lua`: the steps.
//!
//! A bucket whose control record is absent, foreign or half-opened is *not live*: readers go to the source, fills are
//! refused, and the consumer opens a new epoch. The guide on Redis tells what an operator has to know.

#[cfg(test)]
mod against_core;
mod batch;
mod breaker;
mod count;
pub mod doctor;
mod epoch;
mod fault;
mod keys;
pub mod layout;
mod level;
mod random;
mod script;
mod settings;
mod store;
mod wire;

pub use breaker::BreakerSettings;
pub use count::Counts;
pub use doctor::{Finding, doctor};
pub use level::RedisLevel;
pub use settings::Settings;
pub use store::{Follows, RedisStore};
pub use tidings_core::shared::POSITION;
