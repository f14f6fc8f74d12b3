//! The tests against real servers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod conformance;
mod outages;
mod races;
mod refusals;
mod support;
mod together;
mod two_levels;
