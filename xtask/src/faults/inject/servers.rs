//! What is done to the servers, and to the way there.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::faults::episode::World;
use crate::faults::fault::Engine;
use crate::faults::proxy::Mode;

/// Slow, and different each way.
const SLOW: Mode = Mode::Delay { up: Duration::from_millis(250), down: Duration::from_millis(150) };

/// Bytes per second: less than the load writes.
const THIN: u32 = 10_000;

/// How long a server may take to notice that its disk is full.
const NOTICES: Duration = Duration::from_secs(120);

/// What servers call a full disk.
const FULL: &str = "No space left on device";

pub(super) fn kill(world: &mut World<'_>, engine: Engine, lasts: Duration) -> Result<String> {
    world.stage.kill(engine)?;
    world.stop.pass(lasts)?;
    world.stage.restart(engine)?;
    Ok(format!("killed {}, started it again after {} s", engine.name(), lasts.as_secs()))
}

pub(super) fn stop_at_once(world: &mut World<'_>, engine: Engine, lasts: Duration) -> Result<String> {
    world.stage.stop_at_once(engine)?;
    world.stop.pass(lasts)?;
    world.stage.restart(engine)?;
    Ok(format!("stopped {} without a checkpoint, started it again", engine.name()))
}

pub(super) fn restart(world: &mut World<'_>, engine: Engine) -> Result<String> {
    world.stage.prove(engine)?;
    world.stage.restart(engine)?;
    Ok(format!("restarted {}", engine.name()))
}

pub(super) fn pause(world: &mut World<'_>, engine: Engine, lasts: Duration) -> Result<String> {
    world.stage.pause(engine)?;
    let passed = world.stop.pass(lasts);
    world.stage.resume(engine)?;
    passed?;
    Ok(format!("stopped {} for {} s", engine.name(), lasts.as_secs()))
}

pub(super) fn cut(world: &mut World<'_>, engine: Engine, lasts: Duration) -> Result<String> {
    let (_, before) = world.stage.proxy(engine).counts();
    through(world, engine, Mode::Cut, lasts)?;
    let reset = world.stage.proxy(engine).counts().1 - before;
    ensure!(reset > 0, "nobody was connected to {}", engine.name());
    Ok(format!("reset {reset} connections to {} in {} s", engine.name(), lasts.as_secs()))
}

pub(super) fn delay(world: &mut World<'_>, engine: Engine, lasts: Duration) -> Result<String> {
    through(world, engine, SLOW, lasts)?;
    Ok(format!("{} was 400 ms away for {} s", engine.name(), lasts.as_secs()))
}

pub(super) fn half_open(world: &mut World<'_>, engine: Engine, lasts: Duration) -> Result<String> {
    through(world, engine, Mode::HalfOpen, lasts)?;
    Ok(format!("nothing moved to or from {} for {} s", engine.name(), lasts.as_secs()))
}

pub(super) fn throttle(world: &mut World<'_>, engine: Engine, lasts: Duration) -> Result<String> {
    through(world, engine, Mode::Throttle(THIN), lasts)?;
    Ok(format!(
        "{THIN} bytes per second and connection to and from {} for {} s",
        engine.name(),
        lasts.as_secs()
    ))
}

fn through(world: &World<'_>, engine: Engine, mode: Mode, lasts: Duration) -> Result<()> {
    let proxy = world.stage.proxy(engine);
    proxy.set(mode);
    let passed = world.stop.pass(lasts);
    proxy.set(Mode::Pass);
    passed
}

/// Keeps it full until the server has complained, and for as long as it is to last at least.
pub(super) fn fill_disk(world: &mut World<'_>, engine: Engine, lasts: Duration) -> Result<String> {
    world.stage.prove(engine)?;
    let said_before = world.stage.log(engine).matches(FULL).count();
    let (mut taken, mut has_complained, began) = (0, false, std::time::Instant::now());
    let filled = world.stop.until(NOTICES, || {
        taken += world.stage.disk(engine).map_err(anyhow::Error::msg)?.fill()?;
        if engine == Engine::Postgres && !has_complained {
            // What it has put aside for its log would do for a while. It may fail: that is what is waited for.
            let _ = world.stage.postgres.query("SELECT pg_switch_wal()");
        }
        has_complained |= world.stage.log(engine).matches(FULL).count() > said_before;
        Ok(has_complained && began.elapsed() >= lasts)
    });
    world.stage.disk(engine).map_err(anyhow::Error::msg)?.free()?;
    let has_ended = !world.stage.runs(engine);
    if has_ended {
        world.stage.restart(engine)?;
    }
    filled?;
    ensure!(has_complained, "{} did not notice within {NOTICES:?} that its disk is full", engine.name());
    let ended = if has_ended { "; it ended, and was started again" } else { "" };
    Ok(format!("{}'s disk was full ({} MB taken){ended}", engine.name(), taken >> 20))
}
