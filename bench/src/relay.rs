//! From PostgreSQL's outbox to the log: how fast, how soon, in how much memory.

mod claim;
mod decode;
mod delay;
mod memory;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tidings::Relay;
use tidings_core::port::{Append, Log};
use tidings_postgres::Discovery;

use crate::measure::{Scale, process_cpu, runtime, wait};
use crate::postgres::{Sink, Source, topic};
use crate::report::Report;

/// Far beyond what any backlog takes.
const DEADLINE: Duration = Duration::from_secs(300);

pub(crate) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    decode::run(report, scale)?;
    claim::run(report, scale)?;
    delay::run(report, scale)?;
    memory::run(report, scale)
}

/// A log that keeps nothing.
fn nowhere() -> Result<Arc<dyn Log>> {
    Ok(Arc::new(Sink(|_: &[Append]| ())))
}

/// A backlog's way through a relay.
struct Through {
    /// Events per second, from before the relay connects.
    rate: f64,
    /// Microseconds of this process for each.
    cpu: f64,
}

/// Through a relay into a log that is opened within its runtime.
fn through(
    source: &Source,
    discovery: Discovery,
    log: impl FnOnce() -> Result<Arc<dyn Log>>,
    events: usize,
) -> Result<Through> {
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let log = log()?;
    runtime.block_on(log.partitions(&topic()?))?;
    let (cpu, start) = (process_cpu(), Instant::now());
    let outbox = runtime.block_on(source.open(discovery))?;
    let relay = Relay::new(topic()?, outbox, log);
    let counts = relay.counts();
    let relay = relay.spawn();
    wait("a backlog's way", DEADLINE, || counts.published() >= events as u64)?;
    let (took, used) = (start.elapsed(), process_cpu() - cpu);
    runtime.block_on(relay.stop(Duration::from_secs(10)))?;
    if counts.parked() > 0 || counts.failures() > 0 {
        bail!("{} events were parked, {} calls failed", counts.parked(), counts.failures());
    }
    Ok(Through { rate: events as f64 / took.as_secs_f64(), cpu: used.as_secs_f64() * 1e6 / events as f64 })
}
