//! The parts on real files, with real processes, kills and full disks.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod conformance;
mod crash;
mod files;
mod full_disk;
mod log;
mod outbox;
mod plain_sql;
mod projection;
mod support;
