//! What the fence of the shared cache costs, beside plain commands of the same Redis.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use redis::aio::MultiplexedConnection;
use services::Redis;
use tidings_core::port::{Batch, Boxed, Store};
use tidings_core::shared::level::{Claim, Found, Key, Level, Offer, Part, Source, Thing};
use tidings_core::shared::{AsOf, POSITION};
use tidings_core::{
    Action, Data, Entity, Event, Offset, Partition, Position, Stamp, Time, Timeline, Version, Window,
};
use tidings_redis::{Follows, RedisLevel, RedisStore, Settings};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::measure::{Scale, contender, runtime, take_turns};
use crate::postgres::{KIND, topic};
use crate::report::{Report, Target};

const VALUE: [u8; 300] = [7; 300];
/// Callers at once on one connection: their commands travel together.
const MANY: usize = 64;
/// Events in one batch of a consumer.
const AT_ONCE: usize = 128;
/// Keys that are looked at after a round.
const LOOKS: usize = 16;
const LIFE: Duration = Duration::from_secs(600);
/// What somebody would write by hand: store if what is there has no newer version.
const BARE_SCRIPT: &str = "
    local there = redis.call('GETRANGE', KEYS[1], 0, 15)
    if there > ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
    return 1";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Set,
    Script,
    Fill,
    Get,
    Look,
    Del,
    Tell,
}

pub(crate) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let runtime = runtime()?;
    let shop = runtime.block_on(Shop::open())?;
    let info = shop.server.command(&["INFO", "server"])?;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown");
    report.version("redis", version.trim());
    report.section("Redis: fenced and plain, values of 300 bytes, one connection");
    let bench = Bench { shop: &shop, runtime: &runtime, rounds: scale.of(5, 1) };
    let (few, many) = (scale.of(5000, 2000), scale.of(20_000, 5000));
    report.note(format!("{few} operations in a round by one caller, {many} by {MANY} callers at once"));
    let at_most = |ratio| Some(Target::RatioAtMost(ratio));
    bench.pair(report, "l2/fill/alone", (Op::Fill, "SET", Op::Set), (1, few), at_most(1.3))?;
    bench.pair(report, "l2/look/alone", (Op::Look, "GET", Op::Get), (1, few), None)?;
    bench.pair(report, "l2/fill/pipelined", (Op::Fill, "SET", Op::Set), (MANY, many), at_most(2.5))?;
    let script = (Op::Fill, "a bare script", Op::Script);
    bench.pair(report, "l2/fill/pipelined/script", script, (MANY, many), at_most(1.15))?;
    bench.pair(report, "l2/look/pipelined", (Op::Look, "GET", Op::Get), (MANY, many), None)?;
    let tell = (Op::Tell, "DEL", Op::Del);
    bench.pair(report, "l2/invalidate/alone", tell, (1, few), None)?;
    bench.pair(report, "l2/invalidate/batches", tell, (MANY, many), at_most(1.5))
}

struct Bench<'a> {
    shop: &'a Shop,
    runtime: &'a Runtime,
    rounds: usize,
}

impl Bench<'_> {
    /// Microseconds per operation by the clock, and of the server's processor, of ours and of the plain one.
    fn pair(
        &self,
        report: &mut Report,
        name: &str,
        (ours, plain_name, plain): (Op, &str, Op),
        (callers, ops): (usize, usize),
        target: Option<Target>,
    ) -> Result<()> {
        let (ours_server, plain_server) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let run = |op, server: &RefCell<Vec<f64>>| -> Result<f64> {
            let (took, used) = self.runtime.block_on(self.shop.round(op, callers, ops))?;
            server.borrow_mut().push(used);
            Ok(took)
        };
        let figures = take_turns(
            self.rounds,
            &mut [contender(|| run(ours, &ours_server)), contender(|| run(plain, &plain_server))],
        )?;
        let [ours, plain] = figures.as_slice() else { bail!("a contender is missing") };
        report.versus(name, "us/op", ours, (plain_name, plain), target);
        // The warming rounds are in here, too.
        let (ours, plain) = (ours_server.take(), plain_server.take());
        report.versus(&format!("{name}/server"), "us/op", &ours[1..], (plain_name, &plain[1..]), None);
        Ok(())
    }
}

/// A source that stands still.
struct Place;

impl Source for Place {
    fn position(&self) -> Boxed<'_, tidings::Result<AsOf>> {
        Box::pin(async { Ok(as_of(5)) })
    }
}

fn as_of(at: u64) -> AsOf {
    AsOf { timeline: Timeline(0), at }
}

/// A cache with its readers' and its consumer's side.
struct Shop {
    server: Redis,
    level: RedisLevel,
    store: RedisStore,
    connection: MultiplexedConnection,
    script: Arc<str>,
}

impl Shop {
    async fn open() -> Result<Self> {
        let server = Redis::start(&[])?;
        let settings = Settings { timeout: Duration::from_secs(5), ..Settings::new(&server.url(), "shop") };
        let level = RedisLevel::connect(settings).await?;
        let store = RedisStore::new(level.clone(), Arc::new(Place), Follows::Group);
        let connection = redis::Client::open(server.url())?.get_multiplexed_async_connection().await?;
        let script = server.command(&["SCRIPT", "LOAD", BARE_SCRIPT])?.trim().into();
        Ok(Self { server, level, store, connection, script })
    }

    /// One round: brings about what the operation needs, and then only that is measured.
    async fn round(&self, op: Op, callers: usize, ops: usize) -> Result<(f64, f64)> {
        self.server.command(&["FLUSHALL"])?;
        self.store.tend().await?;
        let mut claims = Vec::new();
        match op {
            Op::Set | Op::Script => {}
            Op::Get | Op::Del => self.all(Op::Set, MANY, ops, Vec::new()).await?,
            Op::Fill => claims = self.claims(ops).await?,
            // Not of absent keys: of those, there would be less to do.
            Op::Look | Op::Tell => self.all(Op::Fill, MANY, ops, self.claims(ops).await?).await?,
        }
        let (cpu, start) = (self.used()?, Instant::now());
        match op {
            Op::Tell => self.tell(ops, if callers == 1 { 1 } else { AT_ONCE }).await?,
            _ => self.all(op, callers, ops, claims).await?,
        }
        let took = start.elapsed().as_secs_f64() * 1e6 / ops as f64;
        let used = (self.used()? - cpu) * 1e6 / ops as f64;
        for number in (0..ops).step_by(ops / LOOKS) {
            self.check(op, number).await?;
        }
        Ok((took, used))
    }

    /// Whether the operation has done to this key what it is for.
    async fn check(&self, op: Op, number: usize) -> Result<()> {
        let mut connection = self.connection.clone();
        let there: bool = redis::cmd("EXISTS").arg(plain_name(number)).query_async(&mut connection).await?;
        let hit = matches!(self.level.lookup(&key(number), &[]).await, Found::Hit(_));
        let right = match op {
            Op::Set | Op::Script | Op::Get => there,
            Op::Del => !there,
            Op::Fill | Op::Look => hit,
            Op::Tell => !hit,
        };
        if !right {
            bail!("key {number} is not as it must be after this round");
        }
        Ok(())
    }

    async fn claims(&self, ops: usize) -> Result<Vec<Claim>> {
        let mut claims = Vec::with_capacity(ops);
        for number in 0..ops {
            match self.level.lookup(&key(number), &[price(number)?]).await {
                Found::Claim(claim) => claims.push(claim),
                other => bail!("no claim but {other:?}"),
            }
        }
        Ok(claims)
    }

    async fn all(&self, op: Op, callers: usize, ops: usize, claims: Vec<Claim>) -> Result<()> {
        let claims = Arc::new(claims);
        let mut running = JoinSet::new();
        for caller in 0..callers {
            let (level, claims) = (self.level.clone(), claims.clone());
            let (mut connection, script) = (self.connection.clone(), self.script.clone());
            running.spawn(async move {
                for number in (caller..ops).step_by(callers) {
                    match op {
                        Op::Look => look(&level, number).await?,
                        Op::Fill => fill(&level, &claims, number).await?,
                        _ => plain(op, &script, number).exec_async(&mut connection).await?,
                    }
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// A consumer hears of each entity.
    async fn tell(&self, ops: usize, at_once: usize) -> Result<()> {
        let partition = Partition { topic: topic()?, index: 0 };
        let next = Position { partition, offset: Offset(1) };
        let numbers: Vec<_> = (0..ops).collect();
        for some in numbers.chunks(at_once) {
            let events = some.iter().map(|number| event(*number)).collect::<Result<Vec<_>>>()?;
            let raise =
                |event: &Arc<Event>| Action::Raise { entity: event.entity.clone(), floor: event.stamp };
            let actions: Vec<_> = events.iter().map(raise).collect();
            let (events, parked) = (&*events, &[]);
            let batch =
                Batch { consumer: "bench", actions: &actions, events, parked, next: &next, caught_up: None };
            self.store.apply(batch).await?;
        }
        Ok(())
    }

    /// Seconds of the server's processor so far.
    fn used(&self) -> Result<f64> {
        let info = self.server.command(&["INFO", "cpu"])?;
        let of = |name: &str| -> Result<f64> {
            let found = info.lines().find_map(|line| line.strip_prefix(name));
            Ok(found.context("the server does not say what it used")?.trim().parse()?)
        };
        Ok(of("used_cpu_user:")? + of("used_cpu_sys:")?)
    }
}

fn plain_name(number: usize) -> String {
    format!("plain:product/{number}")
}

fn plain(op: Op, script: &str, number: usize) -> redis::Cmd {
    let name = plain_name(number);
    let life = u64::try_from(LIFE.as_millis()).unwrap_or(u64::MAX);
    match op {
        Op::Set => redis::cmd("SET").arg(name).arg(&VALUE[..]).arg("PX").arg(life).to_owned(),
        Op::Script => {
            let mut call = redis::cmd("EVALSHA");
            call.arg(script).arg(1).arg(name).arg("0000000000000007").arg(&VALUE[..]).arg(life).to_owned()
        }
        Op::Del => redis::cmd("DEL").arg(name).to_owned(),
        _ => redis::cmd("GET").arg(name).to_owned(),
    }
}

async fn look(level: &RedisLevel, number: usize) -> Result<()> {
    match level.lookup(&key(number), &[]).await {
        Found::Hit(_) => Ok(()),
        other => bail!("no hit but {other:?}"),
    }
}

async fn fill(level: &RedisLevel, claims: &[Claim], number: usize) -> Result<()> {
    let parts = [Part { thing: price(number)?, stamp: Some(stamp(7)?) }];
    let offer = Offer { value: &VALUE, parts: &parts, as_of: as_of(9), soft: None, hard: LIFE, flags: 0 };
    match level.fill(&claims[number], offer).await {
        Ok(()) => Ok(()),
        Err(unfilled) => bail!("a fill was not kept: {unfilled:?}"),
    }
}

fn key(number: usize) -> Key {
    Key { view: "product".into(), key: number.to_string().into() }
}

fn price(number: usize) -> Result<Thing> {
    Ok(Thing::Entity(Entity::new("price", &number.to_string())?))
}

fn stamp(version: u64) -> Result<Stamp> {
    Ok(Stamp::of(Version::new(version).context("a version is out of range")?))
}

fn event(number: usize) -> Result<Arc<Event>> {
    Ok(Arc::new(Event {
        id: format!("price/{number}#8").into(),
        source: "/pricing".into(),
        kind: KIND.into(),
        entity: Entity::new("price", &number.to_string())?,
        stamp: stamp(8)?,
        time: Time::from_micros(0),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: vec![(POSITION.into(), "20".into())],
        data: Data::Empty,
    }))
}
