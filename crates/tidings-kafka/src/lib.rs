//! Tidings on Apache Kafka: the durable log.
