//! The cache in process, beside the engine under it and two well-known caches.

mod hit;
mod insert;
mod invalidate;
mod live;
pub(crate) mod memory;

use std::sync::Arc;

use anyhow::Result;
use foldhash::fast::RandomState;

use crate::report::Report;

/// What is cached everywhere: 100 bytes.
type Value = [u8; 100];
/// The engine under a view, by itself.
type Raw = quick_cache::sync::Cache<String, Arc<Value>>;
/// Peers get the engine's hasher: hashing is not what is compared.
type Moka = moka::sync::Cache<String, Arc<Value>, RandomState>;
type Foyer = foyer::Cache<String, Arc<Value>, RandomState>;

const ENTRIES: usize = 1_000_000;
/// Engines divide their room among shards, which fill unevenly: with this much of it, nothing is evicted.
const ROOM: usize = ENTRIES / 4 * 5;
const ROUNDS: usize = 5;

pub(crate) fn run(report: &mut Report) -> Result<()> {
    hit::run(report)?;
    insert::run(report)?;
    invalidate::run(report)?;
    memory::run(report)
}

/// The key of this number: 20 bytes.
fn key(number: usize) -> String {
    format!("product/{number:012}")
}

fn value(number: usize) -> Value {
    [number.to_le_bytes()[0]; 100]
}
