//! Whole simulated deployments: a seed goes in, a verdict comes out.
//!
//! - [`choices`]: every decision of a history, from a seed or read back;
//! - [`world`]: what runs histories, at two depths;
//! - [`fault`], [`mutant`]: what goes wrong, and which guards can be left out;
//! - [`trace`], [`tally`]: what happened in one history, and in all of them.

pub mod choices;
pub mod fault;
pub mod mutant;
pub mod tally;
pub mod trace;
pub mod world;
