//! Tidings on Apache Kafka: the durable log.
//!
//! - [`KafkaLog`]: the log port over a cluster;
//! - [`Member`]: a share of a group's partitions, which the brokers hand out;
//! - [`KafkaSettings`]: addresses, TLS, SASL, what a topic must be like, and every bound.
//!
//! Events travel as CloudEvents in binary mode, keyed by their entity, so that any Kafka client can read and write
//! them. What Kafka does not promise, and how this crate deals with it, is said in `docs/adr/0013-kafka-log.md`.

mod client;
mod codec;
mod fault;
mod log;
mod member;
mod reader;
mod settings;
mod topic;
mod writer;

pub use log::KafkaLog;
pub use member::Member;
pub use settings::{Compression, KafkaSettings, Mechanism, Sasl, Tls, TopicSettings};
