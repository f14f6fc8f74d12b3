//! Real servers for tests and measurements: PostgreSQL, Apache Kafka and Redis.
//!
//! A test that only needs *a* server asks for the [`address`] of the one that all tests share, and makes a database, a
//! topic or a key prefix of its own there. A test that kills, pauses, restarts or wipes a server starts one of its own:
//! [`Postgres`], [`PostgresPair`], [`Kafka`], [`Redis`], [`RedisCluster`]. Each of those lives in a temporary directory, on
//! a free port of 127.0.0.1, and is gone when its value is dropped or the program ends, however it ends.
//!
//! A test of a client in another language asks for [`python`], [`node`] or [`java`] with that client's library.

mod attempt;
mod authority;
mod cache;
mod clients;
mod found;
mod home;
mod kafka;
mod port;
mod postgres;
mod process;
mod redis;
mod shared;

pub use authority::Authority;
pub use clients::{curl, java, node, python};
pub use kafka::Kafka;
pub use postgres::{Postgres, PostgresPair};
pub use process::{signal, signal_group};
pub use redis::{Redis, RedisCluster};
pub use shared::{Addresses, EMBEDDED, SKIPPED, Service, Shared, address, embedded_only};
