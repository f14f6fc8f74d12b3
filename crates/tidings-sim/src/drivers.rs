//! The drivers' depth: the real relay, consumers, caches and fence, over the ports in memory, on a paused runtime.
//!
//! Nothing here is a copy of what is shipped. What the world adds stands around it: `wire` makes calls slow, lost or
//! doubled, `fate` lets machines die, `load` is what services write themselves. Time is the runtime's: it stands
//! still while anybody can do anything, then moves to the next thing that waits. Who goes first is chosen by short
//! delays that every call draws from the history's `Choices`, so the same choices give the same history.
//!
//! To add a fault that strikes at calls, ask `stage::Stage::strikes` where it should strike; to add one that strikes
//! from outside, give it a line in `fate`; either is listed in `draw::FAULTS`. To add a view, give it a
//! `draw::Shape`; to add a mutant, leave its guard out in the wrapper that plays the guarded part.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tidings::memory::{MemoryLog, MemoryOutbox};
use tidings::{Error, Result};
use tidings_testkit::judge::Judge;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::choices::Choices;
use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::tally::{Sometimes, Tally};
use crate::trace::Trace;
use crate::world::{Broken, World};

mod draw;
mod fate;
mod group;
mod host;
mod link;
mod load;
mod names;
mod reader;
mod relays;
mod rest;
mod shelf;
mod stage;
#[cfg(test)]
mod tests;
mod truth;
mod wire;
mod witness;
mod writer;

use draw::Draw;
use fate::Cast;
use group::Group;
use host::Host;
use names::Names;
use reader::Reader;
use relays::RelayPost;
use stage::{Book, Stage, wall_at};
use truth::Truth;

/// The world of real drivers.
pub struct Drivers {
    engine: Option<Engine>,
    /// How many histories this runtime has seen: its clock does not go on for ever.
    seen: u32,
    names: Arc<Names>,
    /// Lent to each history, and taken back.
    judge: Judge,
    truth: Truth,
}

/// A paused runtime.
struct Engine {
    runtime: Runtime,
    /// The time at which it was made.
    epoch: Instant,
}

/// After so many histories the runtime is made anew.
const MOST_SEEN: u32 = 100_000;
/// Every history begins at a multiple of this, so that the timer's own divisions are always the same to it.
const GRID: Duration = Duration::from_millis(64 * 64);
/// The longest that a history may take before it counts as stuck.
const LONGEST: Duration = Duration::from_secs(120);

impl Drivers {
    /// The world, without a history yet.
    ///
    /// # Errors
    /// None, unless the names it is made of are no names.
    pub fn new() -> Result<Self> {
        let judge = Judge::default();
        Ok(Self { engine: None, seen: 0, names: Names::new()?, judge, truth: Truth::default() })
    }

    /// A runtime with nothing left over from another history.
    fn engine(&mut self) -> std::io::Result<Engine> {
        self.seen += 1;
        match self.engine.take().filter(|_| !self.seen.is_multiple_of(MOST_SEEN)) {
            Some(engine) => Ok(engine),
            None => {
                let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
                let epoch = runtime.block_on(async { Instant::now() });
                Ok(Engine { runtime, epoch })
            }
        }
    }
}

impl World for Drivers {
    fn run(
        &mut self,
        choices: &mut Choices,
        mutant: Option<Mutant>,
        trace: &mut Trace,
        tally: &mut Tally,
    ) -> Option<Broken> {
        let engine = match self.engine() {
            Ok(engine) => engine,
            Err(error) => return Some(stuck(format!("no runtime: {error}"))),
        };
        let draw = Draw::new(choices);
        self.truth.reset(self.names.entities.len());
        self.judge.reset();
        let book = Book::new(
            std::mem::replace(choices, Choices::seeded(0)),
            std::mem::take(trace),
            std::mem::take(&mut self.judge),
            std::mem::take(&mut self.truth),
        );
        let names = self.names.clone();
        let (stage, clean) = engine.runtime.block_on(history(engine.epoch, draw, names, mutant, book));
        if clean {
            self.engine = Some(engine);
        }
        stage.with(|book| {
            book.tally.histories += 1;
            tally.add(&book.tally);
            book.judge.finish();
            *choices = std::mem::replace(&mut book.choices, Choices::seeded(0));
            *trace = std::mem::take(&mut book.trace);
            self.truth = std::mem::take(&mut book.truth);
            self.judge = std::mem::take(&mut book.judge);
            let defect = book.defects.first().cloned();
            let found = self.judge.found().first();
            let broken =
                found.map(|found| Broken { invariant: Some(found.invariant), what: found.what.clone() });
            defect.map(stuck).or(broken)
        })
    }

    fn can(&self) -> (&[Fault], &[Sometimes]) {
        (draw::FAULTS, HAPPENS)
    }
}

/// What happens here now and then.
const HAPPENS: &[Sometimes] = &[
    Sometimes::Hit,
    Sometimes::Kept,
    Sometimes::LabelledStale,
    Sometimes::LabelledUnverified,
    Sometimes::Refused,
    Sometimes::TokenMissed,
    Sometimes::Parked,
    Sometimes::Gap,
    Sometimes::OldNews,
    Sometimes::Absent,
];

fn stuck(what: String) -> Broken {
    Broken { invariant: None, what }
}

/// One history; and whether it has left nothing behind.
async fn history(
    epoch: Instant,
    draw: Draw,
    names: Arc<Names>,
    mutant: Option<Mutant>,
    mut book: Book,
) -> (Arc<Stage>, bool) {
    let origin = begin(epoch).await;
    for _ in &names.entities {
        book.judge.entity(0);
    }
    let stage = Stage::new(draw, names, mutant, origin, book);
    let played = tokio::time::timeout(LONGEST, play(&stage)).await;
    match played {
        Ok(Ok(())) => {}
        Ok(Err(error)) => stage.defect(error.to_string()),
        Err(_) => stage.defect(format!("the history did not end within {LONGEST:?}")),
    }
    let clean = is_clean().await;
    (stage, clean)
}

/// The start of a history: a round time.
async fn begin(epoch: Instant) -> Instant {
    let passed = Instant::now().duration_since(epoch).as_nanos();
    let grid = GRID.as_nanos();
    let left = u64::try_from(grid - passed % grid).unwrap_or(0);
    tokio::time::advance(Duration::from_nanos(left)).await;
    Instant::now()
}

async fn play(stage: &Arc<Stage>) -> Result<()> {
    let cast = Arc::new(cast(stage)?);
    stage.with(|book| book.trace.tell(|| stage.draw.to_string()));
    for relay in &cast.relays {
        relay.start();
    }
    if let Some(group) = &cast.group {
        group.start()?;
    }
    let mut tasks = vec![tokio::spawn(writer::write(stage.clone(), cast.outbox.clone()))];
    for host in &cast.hosts {
        // Some join late, when there is something to miss.
        match stage.below(8).saturating_sub(6) * 60 {
            0 => host.start()?,
            late => tasks.push(tokio::spawn(start_late(stage.clone(), host.clone(), late))),
        }
    }
    if stage.draw.incidents > 0 {
        tasks.push(tokio::spawn(fate::strike(cast.clone())));
    }
    let reader = |number| {
        let (stage, hosts, group) = (stage.clone(), cast.hosts.clone(), cast.group.clone());
        Reader { stage, number, hosts, group }
    };
    let readers = (0..stage.draw.readers).map(reader);
    tasks.extend(readers.map(|reader| {
        tokio::spawn(async move {
            reader.run().await;
            Ok(())
        })
    }));
    for task in tasks {
        ended(task).await?;
    }
    cast.heal()?;
    cast.rest().await;
    Ok(())
}

async fn start_late(stage: Arc<Stage>, host: Arc<Host>, late: u32) -> Result<()> {
    stage.sleep_below(late).await;
    host.start()
}

fn cast(stage: &Arc<Stage>) -> Result<Cast> {
    let clock = {
        let stage = Arc::downgrade(stage);
        move || stage.upgrade().map_or_else(|| wall_at(0), |stage| wall_at(stage.now()))
    };
    let partitions = NonZeroU32::new(stage.draw.partitions).unwrap_or(NonZeroU32::MIN);
    let log = MemoryLog::with_clock(partitions, clock.clone());
    let outbox = MemoryOutbox::with_clock("/pricing", clock);
    let relays = if stage.draw.rate(Fault::TwoRelays) >= 80 { 2 } else { 1 };
    if relays > 1 {
        stage.struck(Fault::TwoRelays);
    }
    if stage.draw.has(Fault::Pressure) {
        stage.struck(Fault::Pressure);
    }
    Ok(Cast {
        stage: stage.clone(),
        relays: (0..relays).map(|number| RelayPost::new(stage, number, &outbox, &log)).collect(),
        hosts: (0..stage.draw.hosts).map(|number| Host::new(stage, number, &log)).collect(),
        group: stage.draw.group.then(|| Group::new(stage, &log)),
        log,
        outbox,
    })
}

/// Waits for a task; if it panicked, that is what the history ends with.
async fn ended(task: JoinHandle<Result<()>>) -> Result<()> {
    match task.await {
        Ok(result) => result,
        Err(failure) => Err(Error::new(tidings::Code::DEFECT, "a task panicked").because(failure)),
    }
}

/// Waits for what was ended to be gone, and says whether it is.
async fn is_clean() -> bool {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for _ in 0..16 {
        if alive() == 0 {
            return true;
        }
        tokio::task::yield_now().await;
    }
    // A load in the background may take its time.
    tokio::time::sleep(Duration::from_secs(10)).await;
    alive() == 0
}
