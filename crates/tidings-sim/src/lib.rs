//! Whole simulated deployments: a seed goes in, a verdict comes out.
//!
//! - [`choices`]: every decision of a history, from a seed or read back;
//! - [`world`]: what runs histories, at two depths; [`worlds`]: which there are;
//! - [`fault`], [`mutant`]: what goes wrong, and which guards can be left out;
//! - [`trace`], [`tally`]: what happened in one history, and in all of them;
//! - [`runner`], [`campaign`]: one history after the other, on all cores; [`hunt`]: the same for every mutant;
//! - [`finding`], [`shrink`], [`token`]: a violation, made small, and the word that replays it;
//! - [`report`], [`cli`]: what is printed, and how it is asked for.

pub mod campaign;
pub mod choices;
pub mod cli;
pub mod drivers;
pub mod fault;
pub mod finding;
pub mod hunt;
pub mod machines;
pub mod mutant;
mod progress;
mod pulse;
pub mod report;
pub mod runner;
pub mod shrink;
pub mod tally;
pub mod token;
pub mod trace;
pub mod world;
pub mod worlds;
