//! What the fence costs, as ratios to plain commands of the same server. Run in release:
//! `cargo test --release -p tidings-redis -- --ignored --nocapture measure`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use services::Redis;
use tidings_core::shared::level::{Found, Key, Level, Part, Thing};
use tidings_core::{Action, Entity};
use tidings_redis::Settings;
use tokio::task::JoinSet;

use crate::support::{Shop, apply, at, event, offer};

const VALUE: [u8; 300] = [7; 300];
const OPS: usize = 20_000;

#[derive(Clone, Copy, PartialEq)]
enum Op {
    Get,
    Set,
    Del,
    Look,
    Fill,
}

fn key(n: usize) -> Key {
    Key { view: "product".into(), key: n.to_string().into() }
}

fn price(n: usize) -> Thing {
    Thing::Entity(Entity::new("price", &n.to_string()).unwrap())
}

/// Operations per second, and microseconds of the server's processor for each, by so many callers at once.
async fn run(shop: &Arc<Shop>, server: &Redis, op: Op, callers: usize, ops: usize) -> (f64, f64) {
    let connection =
        redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut claims = Vec::new();
    if op == Op::Fill {
        server.command(&["FLUSHALL"]).unwrap();
        shop.store.tend().await.unwrap();
        for n in 0..ops {
            let Found::Claim(claim) = shop.level.lookup(&key(n), &[price(n)]).await else { panic!() };
            claims.push(claim);
        }
    }
    let claims = Arc::new(claims);
    let (cpu, began) = (used(server), Instant::now());
    let mut running = JoinSet::new();
    for caller in 0..callers {
        let (shop, claims, mut connection) = (shop.clone(), claims.clone(), connection.clone());
        running.spawn(async move {
            for n in (caller..ops).step_by(callers) {
                let name = format!("plain:product/{n}");
                match op {
                    Op::Get => {
                        drop(redis::cmd("GET").arg(name).query_async::<redis::Value>(&mut connection).await)
                    }
                    Op::Del => {
                        drop(redis::cmd("DEL").arg(name).query_async::<redis::Value>(&mut connection).await)
                    }
                    Op::Set => {
                        let set =
                            redis::cmd("SET").arg(name).arg(&VALUE[..]).arg("PX").arg(600_000).to_owned();
                        set.query_async::<()>(&mut connection).await.unwrap();
                    }
                    Op::Look => {
                        let found = shop.level.lookup(&key(n), &[]).await;
                        assert!(matches!(found, Found::Hit(_)), "{found:?}");
                    }
                    Op::Fill => {
                        let parts = [Part { thing: price(n), stamp: Some(at(7)) }];
                        shop.level.fill(&claims[n], offer(&VALUE, &parts, 9)).await.unwrap();
                    }
                }
            }
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    let (seconds, spent) = (began.elapsed().as_secs_f64(), used(server) - cpu);
    (ops as f64 / seconds, spent * 1e6 / ops as f64)
}

fn used(server: &Redis) -> f64 {
    let info = server.command(&["INFO", "cpu"]).unwrap();
    let of = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok()).unwrap()
    };
    of("used_cpu_user:") + of("used_cpu_sys:")
}

async fn invalidate(shop: &Shop, server: &Redis, at_once: usize) -> (f64, f64) {
    let (cpu, began) = (used(server), Instant::now());
    for first in (0..OPS).step_by(at_once) {
        let events: Vec<_> =
            (first..first + at_once).map(|n| Arc::new(event(&format!("price/{n}"), 8, Some(20)))).collect();
        let actions: Vec<_> = events
            .iter()
            .map(|event| Action::Raise { entity: event.entity.clone(), floor: event.stamp })
            .collect();
        apply(&shop.store, &actions, &events).await.unwrap();
    }
    let (seconds, spent) = (began.elapsed().as_secs_f64(), used(server) - cpu);
    (OPS as f64 / seconds, spent * 1e6 / OPS as f64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure() {
    let server = Redis::start(&[]).unwrap();
    let settings = Settings { timeout: Duration::from_secs(5), ..Settings::new(&server.url(), "shop") };
    let shop = Arc::new(Shop::open(settings).await);
    for (callers, ops) in [(1, OPS / 4), (64, OPS)] {
        let line = |name: &str, (rate, cpu): (f64, f64), plain: Option<(f64, f64)>| {
            let ratio = plain.map(|(r, c)| format!("  time x{:.2}, server x{:.2}", r / rate, cpu / c));
            println!(
                "{callers:3} callers  {name:22} {rate:9.0}/s  server {cpu:6.2} us/op{}",
                ratio.unwrap_or_default()
            );
        };
        let set = run(&shop, &server, Op::Set, callers, ops).await;
        line("SET .. PX", set, None);
        let get = run(&shop, &server, Op::Get, callers, ops).await;
        line("GET", get, None);
        let fill = run(&shop, &server, Op::Fill, callers, ops).await;
        line("fenced fill", fill, Some(set));
        let look = run(&shop, &server, Op::Look, callers, ops).await;
        line("fenced look, hit", look, Some(get));
        run(&shop, &server, Op::Set, callers, ops).await;
        let del = run(&shop, &server, Op::Del, callers, ops).await;
        line("DEL", del, None);
        for at_once in [1, 128] {
            let told = invalidate(&shop, &server, at_once).await;
            line(&format!("news, {at_once} at once"), told, Some(del));
        }
    }
}
