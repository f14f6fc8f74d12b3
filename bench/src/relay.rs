//! From PostgreSQL's outbox to the log: how fast, how soon, in how much memory.

mod claim;
mod decode;
mod delay;
mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use services::Kafka;
use tidings::Relay;
use tidings_core::port::{Append, Log};
use tidings_postgres::Discovery;

use crate::measure::{Scale, process_cpu, runtime, wait};
use crate::postgres::{Source, topic};
use crate::report::Report;
use crate::sink::{Noting, Nowhere, events as events_of};

/// Far beyond what any backlog takes.
const DEADLINE: Duration = Duration::from_secs(300);

pub(crate) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let kafka = Kafka::start(&[])?;
    decode::run(report, scale, &kafka)?;
    claim::run(report, scale)?;
    delay::run(report, scale, &kafka)?;
    drop(kafka);
    memory::run(report, scale)
}

/// A log that keeps nothing.
fn nowhere() -> Result<Arc<dyn Log>> {
    Ok(Arc::new(Nowhere))
}

/// A backlog's way through a relay.
struct Through {
    /// Events per second, from before the relay connects.
    rate: f64,
    /// Microseconds of this process for each.
    cpu: f64,
}

/// Through a relay into a log that is opened within its runtime: a backlog of so many events and one more.
fn through(
    source: &Source,
    discovery: Discovery,
    log: impl FnOnce() -> Result<Arc<dyn Log>>,
    events: usize,
) -> Result<Through> {
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let came = Arc::new(AtomicUsize::new(0));
    let counted = came.clone();
    let note = move |batch: &[Append]| {
        counted.fetch_add(events_of(batch), Ordering::Relaxed);
    };
    let log = Arc::new(Noting { inner: log()?, note });
    runtime.block_on(log.partitions(&topic()?))?;
    let (cpu, start) = (process_cpu(), Instant::now());
    let outbox = runtime.block_on(source.open(discovery))?;
    let relay = Relay::new(topic()?, outbox, log);
    let counts = relay.counts();
    let relay = relay.spawn();
    wait("a backlog's way", DEADLINE, || counts.published() >= events as u64)?;
    let (took, used) = (start.elapsed(), process_cpu() - cpu);
    runtime.block_on(relay.stop(Duration::from_secs(10)))?;
    let came = came.load(Ordering::Relaxed);
    if came != events + 1 || counts.parked() > 0 || counts.failures() > 0 {
        let (parked, failures) = (counts.parked(), counts.failures());
        bail!("{came} events came of {}, {parked} were parked, {failures} calls failed", events + 1);
    }
    Ok(Through { rate: events as f64 / took.as_secs_f64(), cpu: used.as_secs_f64() * 1e6 / events as f64 })
}
