//! A machine that serves cached answers: its process has a fence, views and a consumer, and loses them all when it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidings::memory::MemoryLog;
use tidings::{
    Clock, Code, Consumer, Decision, Error, Event, Fence, FenceSettings, Result, Running, Start, Time, View,
};
use tidings_core::consumer::Settings;
use tidings_core::retry::Backoff;
use tidings_testkit::history::{Nanos, State};
use tokio::sync::Notify;

use super::draw::{Shape, Spec, Tactic};
use super::link::Link;
use super::load::{Answer, Loader, entities};
use super::names::Names;
use super::shelf::carried;
use super::stage::{Stage, Who, wall_at};
use super::wire::{LogWire, StoreWire};
use super::witness::{Of, Witness};
use crate::fault::Fault;
use crate::mutant::Mutant;

/// A machine.
pub(super) struct Host {
    stage: Arc<Stage>,
    who: Who,
    log: Arc<MemoryLog>,
    pub(super) link: Arc<Link>,
    process: Mutex<Option<Arc<Process>>>,
}

/// One life of a host's service.
pub(super) struct Process {
    pub(super) copy: u32,
    pub(super) views: Vec<View<u32, Answer>>,
    pub(super) loaders: Vec<Loader>,
    pub(super) clock: Clock,
    pub(super) killed: Notify,
    running: Mutex<Option<Running>>,
}

impl Host {
    pub(super) fn new(stage: &Arc<Stage>, number: u32, log: &Arc<MemoryLog>) -> Arc<Self> {
        let who = Who::Host(number);
        let link = Link::new(stage, who);
        Arc::new(Self { stage: stage.clone(), who, log: log.clone(), link, process: Mutex::new(None) })
    }

    /// The process that runs here now, if any does.
    pub(super) fn process(&self) -> Option<Arc<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a process, with nothing, unless one runs.
    pub(super) fn start(&self) -> Result<()> {
        if self.process().is_some() {
            return Ok(());
        }
        let stage = &self.stage;
        let copy = stage.new_copy();
        stage.step(self.who, 0x500, || format!("starts as copy {copy}"));
        let skew = i64::from(stage.draw.clock_error);
        let skewed = i64::from(stage.below(2 * stage.draw.clock_error + 1)) - skew;
        let skewed = if stage.draw.has(Fault::ClockSkew) { skewed } else { 0 };
        if skewed != 0 {
            stage.struck(Fault::ClockSkew);
        }
        let clock = stage.clock(skewed);
        let fence = self.fence(&clock);
        let specs = stage.draw.specs.iter().enumerate();
        let loaders: Vec<_> =
            stage.draw.specs.iter().map(|spec| Loader { link: self.link.clone(), spec: *spec }).collect();
        let views = specs.zip(&loaders).map(|((place, spec), loader)| self.view(place, spec, &fence, loader));
        let views = views.collect::<Result<Vec<_>>>()?;
        let running = self.consumer(copy, &fence)?.spawn();
        let process = Process {
            copy,
            views,
            loaders,
            clock,
            killed: Notify::new(),
            running: Mutex::new(Some(running)),
        };
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(process));
        Ok(())
    }

    /// Ends the process at once.
    pub(super) fn kill(&self) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(process) = process else { return };
        self.stage.step(self.who, 0x501, || format!("copy {} is killed", process.copy));
        drop(process.take_running());
        process.killed.notify_waiters();
        // Nothing more can be expected of it.
        self.stage.with(|book| book.judge.subscribed(process.copy, None, Nanos::MAX));
    }

    fn fence(&self, clock: &Clock) -> Arc<Fence> {
        let stage = &self.stage;
        let declared = if stage.lacks(Mutant::DriverClockError) { 0 } else { stage.draw.clock_error };
        let settings = FenceSettings {
            floors: stage.draw.floors,
            keep: Duration::from_millis(400),
            clock_error: Duration::from_micros(declared.into()),
            visible_within: stage.draw.visible_within(),
            seed: Some(7),
        };
        match stage.lacks(Mutant::AcceptRule) {
            true => Fence::without_accept_rule(settings, clock.clone()),
            false => Fence::new(settings, clock.clone()),
        }
    }

    fn view(
        &self,
        place: usize,
        spec: &Spec,
        fence: &Arc<Fence>,
        loader: &Loader,
    ) -> Result<View<u32, Answer>> {
        let names = &self.stage.names;
        let name = names.views.get(place).ok_or_else(|| Error::new(Code::DEFECT, "too many views"))?;
        let (loader, known) = (loader.clone(), names.clone());
        let mut view = View::builder(name, fence)
            .truth(spec.truth)
            .capacity(spec.capacity)
            .jitter(0.0)
            .load_timeout(Duration::from_millis(350))
            .loader(move |key, fill| loader.clone().load(key, fill, None))
            .keys(|key| key.parse().ok())
            .updated_by(move |_, old, event| update(&known, old, event));
        if spec.heard {
            view = view.sources([&names.topic]);
        }
        if let Some(soft) = spec.soft {
            view = view.soft_ttl(Duration::from_millis(soft.into()));
        }
        view.build()
    }

    fn consumer(&self, copy: u32, fence: &Arc<Fence>) -> Result<Consumer> {
        let stage = self.stage.clone();
        let names = self.stage.names.clone();
        let store = StoreWire::new(fence.clone(), &self.link);
        Consumer::builder("host", LogWire::new(&self.log, &self.link))
            .topics([&names.topic])
            .start(Start::Head)
            .settings(settings())
            .on_type(&names.changed, move |event| decide(&stage, event))
            .store(store)
            .observer(Witness::new(&self.stage, self.who, copy, Of::Fence(fence.clone())))
            .build()
    }
}

impl Process {
    pub(super) fn take_running(&self) -> Option<Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Sets the machine's clock, no further from the source's than it may be.
    pub(super) fn set_clock(&self, now: Nanos, off_by: i64) {
        self.clock.set_wall(Time::from_micros(wall_at(now).micros() + off_by));
    }
}

/// How the drivers of this world work: impatiently, since time costs nothing and steps do.
pub(super) fn settings() -> Settings {
    Settings { commit_every: Duration::from_millis(20), backoff: backoff() }
}

pub(super) fn backoff() -> Backoff {
    Backoff { first: Duration::from_millis(4), longest: Duration::from_millis(16) }
}

/// What this service decides about an event: of every view that shows its entity, what that view's tactic says.
fn decide(stage: &Stage, event: &Event) -> Result<Vec<Decision>> {
    let names = &stage.names;
    if carried(event).is_none() {
        return Err(Error::new(Code::DATA_UNREADABLE, format!("{} is poison", event.entity)));
    }
    let Some(number) = names.number(&event.entity) else { return Ok(vec![Decision::Invalidate]) };
    let mut decisions = vec![Decision::Invalidate];
    for (spec, view) in stage.draw.specs.iter().zip(&names.views) {
        let key = if spec.shape == Shape::Item { number } else { 0 };
        if !entities(spec.shape, key).contains(&number) {
            continue;
        }
        if spec.shape == Shape::Listing {
            decisions.push(Decision::Bump(names.region.clone()));
        }
        let Some(key) = names.keys.get(key as usize) else { continue };
        match spec.tactic {
            Tactic::Invalidate => {}
            Tactic::Refresh => decisions.push(Decision::Refresh { view: view.clone(), key: key.clone() }),
            Tactic::Update if matches!(spec.shape, Shape::Item | Shape::Pair) => {
                decisions.push(Decision::Update { view: view.clone(), key: key.clone() });
            }
            Tactic::Update => {}
        }
    }
    Ok(decisions)
}

/// Puts what an event carries in the place of what is shown of its entity; what is gone is left to be loaded.
fn update(names: &Names, old: &Answer, event: &Event) -> Option<Answer> {
    let state = carried(event).filter(|state| *state != State::Absent)?;
    let number = names.number(&event.entity)?;
    let mut shows = old.shows.clone();
    shows.iter_mut().find(|shown| shown.entity == number)?.state = state;
    Some(Answer { shows })
}
