//! What it takes to believe a service that uses Tidings, or a backend written for it.
//!
//! For services:
//! - [`delivery`]: the same events reordered, doubled, dropped; and [`assert_converged`] for what must come of them;
//! - [`clock`]: time that moves only when the test says so;
//! - [`until`]: waiting for a condition, with a deadline, instead of sleeping;
//! - [`faults`]: ports that fail on script, above all in the ambiguous way (it was done, but the answer was lost).
//!
//! For backends: [`conformance`], one suite per port, the first test of every implementation.
//!
//! For whole deployments: record what happened in a [`history`], and let the [`checker`] say whether the promises were
//! kept. It believes no cache's own opinion.

pub mod checker;
pub mod clock;
pub mod conformance;
pub mod convergence;
pub mod delivery;
pub mod faults;
pub mod history;
pub mod judge;
mod rng;
mod wait;

pub use checker::{Checker, Invariant, Verdict, Violation};
pub use clock::VirtualClock;
pub use convergence::assert_converged;
pub use delivery::{Disorder, Reorder, deliveries};
pub use faults::{Call, Fault, FaultyLog, FaultyOutbox, FaultyStore, Gate, Script};
pub use history::History;
pub use wait::{until, until_sync};
