//! Tidings on PostgreSQL: the transactional outbox and its relay source.
