//! `tidings relay`: from the outbox of a database to the log, as a service of its own.
//!
//! - `config`: the file that says from where to where;
//! - `board`: what is known of the running relay: who answers, who leads, what was said;
//! - `watched`: the ports as the driver sees them, told about on the board, and held while the relay is paused;
//! - `service`: standing by, leading, draining;
//! - `http`: probes, metrics, pause and resume.

pub(crate) mod board;
pub(crate) mod config;
mod http;
mod service;
mod watched;

pub(crate) use service::run;
