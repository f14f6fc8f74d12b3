//! How each fault is done. Each returns once its cause is gone, with what it did, and fails if it did nothing: a fault
//! without an effect proves nothing.

use anyhow::Result;

use super::episode::World;
use super::fault::Fault;

mod data;
mod processes;
mod servers;

pub(crate) use data::recorded;

/// Why a fault cannot be injected on this machine.
pub(crate) fn refused(world: &World<'_>, fault: Fault) -> Option<String> {
    match fault {
        Fault::DiskFull(engine) => world.stage.disk(engine).err(),
        _ => None,
    }
}

/// Does it, from its beginning to its end; says what it hit.
pub(crate) fn inject(world: &mut World<'_>, fault: Fault) -> Result<String> {
    let lasts = fault.lasts();
    match fault {
        Fault::KillLeader => processes::kill_leader(world),
        Fault::PauseLeader => processes::pause_leader(world, lasts),
        Fault::LeaderGone => processes::keep_leader_away(world, lasts),
        Fault::KillCopy => processes::kill_copy(world),
        Fault::PauseCopy => processes::pause_copy(world, lasts),
        Fault::Kill(engine) => servers::kill(world, engine, lasts),
        Fault::Pause(engine) => servers::pause(world, engine, lasts),
        Fault::Restart(engine) => servers::restart(world, engine),
        Fault::StopAtOnce(engine) => servers::stop_at_once(world, engine, lasts),
        Fault::Cut(engine) => servers::cut(world, engine, lasts),
        Fault::Delay(engine) => servers::delay(world, engine, lasts),
        Fault::HalfOpen(engine) => servers::half_open(world, engine, lasts),
        Fault::Throttle(engine) => servers::throttle(world, engine, lasts),
        Fault::DiskFull(engine) => servers::fill_disk(world, engine, lasts),
        Fault::Flush => data::flush(world),
        Fault::OldDump => data::old_dump(world, lasts),
        Fault::Evict => data::evict(world, lasts),
        Fault::SlotDropped => data::drop_slot(world),
        Fault::Truncated => data::truncate(world, lasts),
        Fault::SentAgain => data::send_again(world),
    }
}
