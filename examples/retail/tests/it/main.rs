//! The platform as a whole: real files, real log, real drivers.

#![expect(clippy::unwrap_used, reason = "what a test sets up must succeed")]

mod checkout;
mod events;
mod experience;
mod fixture;
mod flow;
mod http;
mod witness;
