//! The tests against a real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backlog;
mod bad_input;
mod clients;
mod conformance;
mod doctor;
mod hand_over;
mod pitfalls;
mod positions;
mod prompt;
mod publishing;
mod recovery;
mod support;
mod upkeep;
mod volume;
