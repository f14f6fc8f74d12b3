//! `kill -9` at random moments under load: every committed event is applied in the end, and no version goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Dev, path, run, tail, until};

const KILLS: usize = 50;
/// One in so many is killed while it starts.
const EARLY: u32 = 10;

#[test]
fn s53_fifty_kills_lose_nothing_and_no_version_goes_back() {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let seed = seed.to_string();
    let args = ["--data", path(dir.path()), "--load", "300", "--products", "300", "--seed", &seed];
    Dev::start(&args).kill();
    watch_versions(dir.path());
    let mut promised = Vec::new();
    let mut early = 0;
    for _ in 0..KILLS {
        if random.random_ratio(1, EARLY) {
            let dev = Dev::begin(&args);
            pause(random.random_range(0..400));
            dev.kill();
            early += 1;
            continue;
        }
        let dev = Dev::start(&args);
        let heads = heads(&dev.status());
        let after = random.random_range(0..60);
        let moment = Duration::from_millis(random.random_range(50..400));
        let began = Instant::now();
        // So long, and until something happened.
        while began.elapsed() < moment || self::heads(&dev.status()) < heads + after {
            let change =
                json!({ "region": "eu", "amount_cents": random.random_range(100..99_999) }).to_string();
            let sku = format!("/prices/SKU-{:05}", random.random_range(1..=300));
            let (code, body) = dev.ask("PUT", &sku, &change).unwrap();
            assert_eq!(code, 200, "{body}");
            let answer: Value = serde_json::from_str(&body).unwrap();
            promised.push(answer["token"].as_str().unwrap().to_owned());
        }
        dev.kill();
    }
    let last = ["--for", "1s", "--port", "0"];
    let drained = run(&[&["dev"], &args[..], &last[..]].concat());
    let published = check_published(dir.path());
    check_applied(dir.path());
    check_promised(dir.path(), &promised);
    println!(
        "{KILLS} kills ({early} while starting), {published} events published, {} changes acknowledged over HTTP",
        promised.len()
    );
    assert_eq!(drained.code, Some(0), "the checker's verdict on what was resumed: {drained:?}");
}

/// The moment of a kill.
fn pause(millis: u64) {
    let moment = Instant::now() + Duration::from_millis(millis);
    until("the moment has come", || (Instant::now() >= moment).then_some(()));
}

fn heads(status: &Value) -> u64 {
    status["partitions"].as_array().unwrap().iter().map(|kept| kept["head"].as_u64().unwrap()).sum()
}

fn open(dir: &Path, file: &str) -> Connection {
    let db = Connection::open(dir.join(file)).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    db
}

/// From here on the read model notes every version that goes back, whoever writes it.
fn watch_versions(dir: &Path) {
    let sql = "CREATE TABLE went_back (what TEXT NOT NULL);
        CREATE TRIGGER product_back AFTER UPDATE ON product WHEN NEW.version < OLD.version
            BEGIN INSERT INTO went_back VALUES ('content/' || NEW.sku); END;
        CREATE TRIGGER offer_back AFTER UPDATE ON offer
            WHEN NEW.price_version < OLD.price_version OR NEW.stock_version < OLD.stock_version
            BEGIN INSERT INTO went_back VALUES ('offer/' || NEW.sku || '/' || NEW.region); END;
        CREATE TRIGGER product_gone BEFORE DELETE ON product BEGIN INSERT INTO went_back VALUES ('deleted'); END;
        CREATE TRIGGER offer_gone BEFORE DELETE ON offer BEGIN INSERT INTO went_back VALUES ('deleted'); END;";
    open(dir, "experience.db").execute_batch(sql).unwrap();
}

/// Every event that any outbox holds is in the log, in the order of its entity's versions.
fn check_published(dir: &Path) -> usize {
    let mut first_seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for line in tail(dir) {
        let event = &line["event"];
        let entity = event["subject"].as_str().unwrap().to_owned();
        let version: u64 = event["aggregateversion"].as_str().unwrap().parse().unwrap();
        if seen.insert((entity.clone(), version)) {
            first_seen.entry(entity).or_default().push(version);
        }
    }
    for (entity, versions) in &first_seen {
        assert!(versions.is_sorted(), "{entity} was published out of order: {versions:?}");
    }
    let mut committed = 0;
    for file in ["catalog.db", "pricing.db", "inventory.db"] {
        let db = open(dir, file);
        let mut select =
            db.prepare("SELECT aggregatetype || '/' || aggregateid, version FROM tidings_outbox").unwrap();
        let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))).unwrap();
        for row in rows {
            let (entity, version) = row.unwrap();
            let version = u64::try_from(version).unwrap();
            assert!(
                seen.contains(&(entity.clone(), version)),
                "{entity} version {version} was never published"
            );
            committed += 1;
        }
    }
    assert!(committed > KILLS, "only {committed} events");
    assert_eq!(seen.len(), committed, "nothing was published that was not committed");
    committed
}

/// The read model shows exactly the versions that the sources have.
fn check_applied(dir: &Path) {
    let db = open(dir, "experience.db");
    for file in ["catalog", "pricing", "inventory"] {
        db.execute("ATTACH ?1 AS ?2", [path(&dir.join(format!("{file}.db"))), file]).unwrap();
    }
    let differing = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let sql = [
        "SELECT count(*) FROM product AS p JOIN catalog.product AS c USING (sku) WHERE p.version <> c.version",
        "SELECT count(*) FROM offer AS o JOIN pricing.price AS p USING (sku, region) WHERE o.price_version <> p.version",
        "SELECT count(*) FROM offer AS o JOIN inventory.stock AS s USING (sku, region) WHERE o.stock_version <> s.version",
        "SELECT count(*) FROM went_back",
    ];
    for sql in sql {
        assert_eq!(differing(sql), 0, "{sql}");
    }
    assert_eq!(differing("SELECT count(*) FROM offer JOIN pricing.price USING (sku, region)"), 1500);
}

/// Every change that was acknowledged is there.
fn check_promised(dir: &Path, promised: &[String]) {
    let db = open(dir, "pricing.db");
    let mut there = db
        .prepare("SELECT count(*) FROM tidings_outbox WHERE aggregatetype || '/' || aggregateid = ?1 AND version = ?2")
        .unwrap();
    for token in promised {
        let (entity, version) = token.rsplit_once(':').unwrap();
        let version: i64 = version.parse().unwrap();
        let count: i64 = there.query_row((entity, version), |row| row.get(0)).unwrap();
        assert_eq!(count, 1, "{token} was acknowledged and is gone");
    }
}
