//! What is done to the platform's own processes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::faults::episode::World;
use crate::faults::owner::Owned;
use crate::faults::platform::Process;

/// How long it may take until one leads, a process is back, or a signal has arrived.
const SOON: Duration = Duration::from_secs(90);

pub(super) fn kill_leader(world: &mut World<'_>) -> Result<String> {
    let leader = leader(world)?;
    kill(world, &leader)
}

pub(super) fn pause_leader(world: &mut World<'_>, lasts: Duration) -> Result<String> {
    let leader = leader(world)?;
    pause(world, &leader, lasts)
}

/// Whenever it comes back, it is killed again. Meanwhile another one has to have taken over.
pub(super) fn keep_leader_away(world: &mut World<'_>, lasts: Duration) -> Result<String> {
    let gone = leader(world)?;
    let context = context_of(&gone)?;
    kill(world, &gone)?;
    let (mut times, ends) = (1_u32, Instant::now() + lasts);
    let mut successor = None;
    world.stop.until(lasts + SOON, || {
        let again = world.platform.processes().into_iter().find(|process| process.name == gone.name);
        if let Some(owned) = again.and_then(|process| world.platform.prove(&process).ok()) {
            owned.signal("KILL")?;
            times += 1;
        }
        let leads = world.platform.leader(&context).filter(|process| process.name != gone.name);
        successor = leads.map(|process| process.name).or(successor.take());
        Ok(successor.is_some() && Instant::now() >= ends)
    })?;
    let successor = successor.with_context(|| format!("nobody took over from {}", gone.name))?;
    Ok(format!("killed {} {times} times; {successor} led", gone.name))
}

pub(super) fn kill_copy(world: &mut World<'_>) -> Result<String> {
    let copy = copy(world)?;
    kill(world, &copy)
}

pub(super) fn pause_copy(world: &mut World<'_>, lasts: Duration) -> Result<String> {
    let copy = copy(world)?;
    pause(world, &copy, lasts)
}

/// One of the copies, as it is drawn.
pub(super) fn copy(world: &mut World<'_>) -> Result<Process> {
    let mut copies = world.platform.processes();
    copies.retain(|process| process.kind == "copy" && process.pid.is_some());
    world.draw.one(&copies).cloned().context("no copy runs")
}

/// Stops it where it is, and waits until it is.
pub(super) fn stop(world: &World<'_>, process: &Process) -> Result<Owned> {
    let owned = world.platform.prove(process)?;
    owned.signal("STOP")?;
    let is_stopped = world.stop.until(SOON, || Ok(owned.is_stopped()))?;
    ensure!(is_stopped, "{} does not stop", process.name);
    Ok(owned)
}

fn leader(world: &mut World<'_>) -> Result<Process> {
    let contexts = world.platform.contexts();
    let context = world.draw.one(&contexts).cloned().context("there are no relays")?;
    let mut leader = None;
    world.stop.until(SOON, || {
        leader = world.platform.leader(&context);
        Ok(leader.is_some())
    })?;
    leader.with_context(|| format!("no relay of {context} says that it leads"))
}

fn context_of(relay: &Process) -> Result<String> {
    let name = relay.name.trim_start_matches("relay-").rsplit_once('-');
    Ok(name.with_context(|| format!("{} is no relay's name", relay.name))?.0.to_owned())
}

fn kill(world: &World<'_>, process: &Process) -> Result<String> {
    let owned = world.platform.prove(process)?;
    owned.signal("KILL")?;
    let is_gone = world.stop.until(SOON, || Ok(!owned.runs()))?;
    ensure!(is_gone, "{} does not die", process.name);
    let is_back = world.stop.until(SOON, || {
        let again = world.platform.processes().into_iter().find(|again| again.name == process.name);
        Ok(again.is_some_and(|again| again.pid.is_some() && again.restarts > process.restarts))
    })?;
    ensure!(is_back, "{} was killed and did not come back", process.name);
    Ok(format!("killed {} (pid {})", process.name, owned.pid()))
}

fn pause(world: &World<'_>, process: &Process, lasts: Duration) -> Result<String> {
    let owned = stop(world, process)?;
    let passed = world.stop.pass(lasts);
    owned.signal("CONT")?;
    passed?;
    Ok(format!("stopped {} (pid {}) for {} s", process.name, owned.pid(), lasts.as_secs()))
}
