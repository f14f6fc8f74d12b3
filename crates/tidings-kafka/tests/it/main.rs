//! The log against a real broker.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod anew;
mod clients;
mod conformance;
mod consumers;
mod envelope;
mod faults;
mod group;
mod refused;
mod speed;
mod support;
