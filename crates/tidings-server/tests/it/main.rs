//! The binary itself: real processes, real files, real HTTP.

#![expect(clippy::unwrap_used, reason = "what a test sets up must succeed")]

mod bad_lines;
mod commands;
mod crash;
mod deploy;
mod dev;
mod directory;
mod distributed;
mod doctored;
mod fleet;
mod history;
mod publish;
mod relay;
mod support;
