//! The tests against a real server.

mod conformance;
mod recovery;
mod support;
