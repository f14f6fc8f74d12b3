//! What is done to what the servers hold.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::processes;
use crate::faults::episode::World;
use crate::faults::fault::Engine;
use crate::faults::platform::Platform;
use crate::faults::stage::Stage;

/// How long it may take until everything was sent again.
const AGAIN: Duration = Duration::from_secs(240);

/// Ends the walsender that uses the slot and drops it, until nobody is faster.
const DROP_SLOT: &str = "DO $$ BEGIN
    FOR attempt IN 1..200 LOOP
        PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'SLOT' AND active;
        BEGIN
            PERFORM pg_drop_replication_slot('SLOT');
            RETURN;
        EXCEPTION WHEN object_in_use THEN
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    RAISE EXCEPTION 'the slot is in use all the time';
END $$";

/// As if nothing had ever been acknowledged: the relay that leads is fenced off, and its successor reads all rows.
const FORGET: &str =
    "UPDATE tidings.relay SET done = '1:1:', next = NULL, seq = 0, lsn = NULL, epoch = epoch + 1";

pub(super) fn flush(world: &mut World<'_>) -> Result<String> {
    world.stage.prove(Engine::Redis)?;
    let keys = keys(world)?;
    ensure!(keys > 0, "Redis held nothing that could be flushed");
    world.stage.redis.command(&["FLUSHALL"])?;
    Ok(format!("flushed {keys} keys"))
}

/// What is written between the dump and its return is what comes back stale.
pub(super) fn old_dump(world: &mut World<'_>, lasts: Duration) -> Result<String> {
    world.stage.prove(Engine::Redis)?;
    let keys = keys(world)?;
    ensure!(keys > 0, "Redis held nothing that could be dumped");
    let dump = world.stage.redis.dump()?;
    world.stop.pass(lasts)?;
    world.stage.redis.restore(&dump)?;
    Ok(format!("put back {keys} keys from {} s ago", lasts.as_secs()))
}

/// Half of what it uses now; a maximum that is below what it needs for itself evicts whatever may be evicted.
pub(super) fn evict(world: &mut World<'_>, lasts: Duration) -> Result<String> {
    world.stage.prove(Engine::Redis)?;
    let used: u64 = info(world, "used_memory")?;
    let before: u64 = info(world, "evicted_keys")?;
    let limit = |bytes: u64| world.stage.redis.command(&["CONFIG", "SET", "maxmemory", &bytes.to_string()]);
    limit(used / 2)?;
    let passed = world.stop.pass(lasts);
    let evicted = info(world, "evicted_keys").map(|after: u64| after - before);
    limit(0)?;
    passed?;
    let evicted = evicted?;
    ensure!(evicted > 0, "Redis evicted nothing with half of its {used} bytes");
    Ok(format!("evicted {evicted} keys in {} s", lasts.as_secs()))
}

pub(super) fn drop_slot(world: &mut World<'_>) -> Result<String> {
    world.stage.prove(Engine::Postgres)?;
    let (context, database) = database(world)?;
    let slots = world.stage.postgres.query(&format!(
        "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical' AND database = '{database}'"
    ))?;
    let slot = slots.lines().next().with_context(|| format!("{context} has no slot"))?;
    world.stage.postgres.query_in(&database, &DROP_SLOT.replace("SLOT", slot))?;
    Ok(format!("dropped the slot {slot}"))
}

/// While a copy is stopped: it comes back to a log that begins after what it was about to read.
pub(super) fn truncate(world: &mut World<'_>, lasts: Duration) -> Result<String> {
    world.stage.prove(Engine::Kafka)?;
    let copy = processes::copy(world)?;
    let contexts = world.platform.contexts();
    let context = world.draw.one(&contexts).cloned().context("there are no relays")?;
    let topics = world.stage.kafka.topics()?;
    let of = |(name, _): &&(String, i32)| is_of(name, &context);
    let (topic, partitions) =
        topics.iter().find(of).with_context(|| format!("{context} has no topic"))?.clone();
    let owned = processes::stop(world, &copy)?;
    let ends = |world: &World<'_>| -> Result<Vec<i64>> {
        (0..partitions).map(|partition| Ok(world.stage.kafka.offsets(&topic, partition)?.1)).collect()
    };
    let truncated = ends(world).and_then(|at_stop| {
        world.stop.pass(lasts)?;
        let mut missed = 0;
        for (partition, end) in (0..partitions).zip(at_stop) {
            missed += world.stage.kafka.delete_records(&topic, partition, -1)? - end;
        }
        Ok(missed)
    });
    owned.signal("CONT")?;
    let missed = truncated?;
    ensure!(missed > 0, "nothing was written to {topic} while {} was stopped", copy.name);
    Ok(format!(
        "deleted {topic} up to its end, {missed} records of it written while {} was stopped",
        copy.name
    ))
}

pub(super) fn send_again(world: &mut World<'_>) -> Result<String> {
    world.stage.prove(Engine::Postgres)?;
    let (context, database) = database(world)?;
    let rows = world.stage.postgres.query_in(&database, "SELECT count(*) FROM tidings.outbox")?;
    let rows: i64 = rows.parse().context("the outbox has no count")?;
    ensure!(rows > 0, "the outbox of {context} is empty");
    let newest = "SELECT coalesce(max(seq), 0) FROM tidings.outbox";
    let newest = world.stage.postgres.query_in(&database, newest)?;
    world.stage.postgres.query_in(&database, FORGET)?;
    let acknowledged = format!(
        "SELECT lsn IS NOT NULL AND pg_visible_in_snapshot((SELECT xid FROM tidings.outbox WHERE seq = {newest}), done) \
         FROM tidings.relay"
    );
    let all = world.stop.until(AGAIN, || {
        Ok(world.stage.postgres.query_in(&database, &acknowledged).is_ok_and(|answer| answer == "t"))
    })?;
    ensure!(all, "the relay of {context} did not send its {rows} rows again within {AGAIN:?}");
    Ok(format!("had {rows} events of {context} sent again"))
}

/// How many events were recorded so far, in all contexts.
pub(crate) fn recorded(stage: &Stage, platform: &Platform) -> Result<u64> {
    let mut sum = 0;
    for context in platform.contexts() {
        let newest = "SELECT coalesce(max(seq), 0) FROM tidings.outbox";
        let newest = stage.postgres.query_in(&database_of(stage, &context)?, newest)?;
        sum += newest.parse::<u64>().context("the outbox has no newest row")?;
    }
    Ok(sum)
}

/// A context with relays, as it is drawn, and its database.
fn database(world: &mut World<'_>) -> Result<(String, String)> {
    let contexts = world.platform.contexts();
    let context = world.draw.one(&contexts).cloned().context("there are no relays")?;
    let database = database_of(world.stage, &context)?;
    Ok((context, database))
}

fn database_of(stage: &Stage, context: &str) -> Result<String> {
    let names = stage.postgres.query("SELECT datname FROM pg_database WHERE NOT datistemplate")?;
    let name = names.lines().find(|name| is_of(name, context));
    Ok(name.with_context(|| format!("{context} has no database: {names}"))?.to_owned())
}

/// Whether a topic or a database is this context's: by its name, perhaps with something before it.
fn is_of(name: &str, context: &str) -> bool {
    let before = name.strip_suffix(context);
    let is_apart = |before: &str| !before.ends_with(|last: char| last.is_alphanumeric());
    before.is_some_and(|before| is_apart(before) && !before.ends_with("parked."))
}

fn keys(world: &World<'_>) -> Result<u64> {
    world.stage.redis.command(&["DBSIZE"])?.parse().context("Redis does not say how many keys it has")
}

fn info(world: &World<'_>, name: &str) -> Result<u64> {
    let info = world.stage.redis.command(&["INFO"])?;
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value
        .and_then(|value| value.trim().parse().ok())
        .with_context(|| format!("Redis does not say its {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_found_behind_a_prefix_and_not_inside_another_name() {
        for name in ["pricing", "run-1.pricing", "retail_pricing"] {
            assert!(is_of(name, "pricing"), "{name}");
        }
        for name in ["repricing", "pricing.parked", "run-1.parked.pricing", "catalog", ""] {
            assert!(!is_of(name, "pricing"), "{name}");
        }
    }
}
