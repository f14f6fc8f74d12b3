//! Servers are started, hurt and stopped for real.

mod guard;
mod kafka;
mod postgres;
mod redis;
mod shared;
mod support;
